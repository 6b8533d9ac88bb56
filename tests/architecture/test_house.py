"""The house rules that a machine can check."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from service.adapters.postgres import batch_sql

ROOT = Path(__file__).parents[2]
OURS = [path for folder in ("service", "consumers", "producers") for path in (ROOT / folder).rglob("*.py")]
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
LINES_MAX = 300
FUNCTION_LINES_MAX = 60


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a file."""
    return [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_transactions_commit_in_one_place() -> None:
    """Only the database module begins a transaction; nobody else says commit or rollback (migrations apart)."""
    allowed = {"service/adapters/postgres/database.py", "service/adapters/postgres/migrate.py"}
    pattern = re.compile(r"\.(?:commit|rollback)\(\)|\.transaction\(\)|engine\.begin\(")
    found = {
        str(path.relative_to(ROOT))
        for path in OURS
        for line in path.read_text().splitlines()
        if pattern.search(line) and "database.transaction()" not in line and "producer.transaction()" not in line
    }
    assert found <= allowed


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_hold_one_subject(path: Path) -> None:
    """A file has at most 300 lines and a function at most 60: more is a sign that it holds two subjects."""
    assert len(path.read_text().splitlines()) <= LINES_MAX
    long = [one.name for one in functions(path) if one.end_lineno and one.end_lineno - one.lineno >= FUNCTION_LINES_MAX]
    assert not long


def test_every_test_says_what_it_expects() -> None:
    """Every test has a docstring: the expected behaviour as a sentence."""
    silent = [
        f"{path.relative_to(ROOT)}:{one.lineno}"
        for path in TESTS
        for one in functions(path)
        if one.name.startswith("test_") and not (ast.get_docstring(one) or "").rstrip().endswith(".")
    ]
    assert not silent


def test_hot_statements_are_keyed_by_customer() -> None:
    """Every statement of the hot path on data of customers filters by customer_id, so that the schema distributes."""
    apart = {
        "SHARE_CATALOGUE",
        "SHARE_ERASURES",
        "HOLD_ERASURES",
        "CATALOGUE_VERSION",
        "INSERT_OUTBOX",
        "INSERT_DEAD_LETTERS",
        "ADVANCE_FRONTIER",
        "FUTURE_LETTERS",
        "LOCK_DUE",
    }
    statements = {name: value for name, value in vars(batch_sql).items() if name.isupper() and not name.startswith("_")}
    for name, value in statements.items():
        for statement in (value,) if isinstance(value, str) else value:
            assert name in apart or re.search(r"customer_id (?:=|>)|\(customer_id\) SELECT", statement), name


def test_the_work_is_acknowledged_by_hand() -> None:
    """No subscriber has FastStream's default policy, which acknowledges before the work is done."""
    for path in (ROOT / "consumers").rglob("*.py"):
        text = path.read_text()
        assert text.count(".subscriber(") == text.count("ack_policy=AckPolicy.MANUAL"), path


def test_security_page_names_tests_that_are_there() -> None:
    """Each risk in docs/security.md has a test, and every test it names exists."""
    rows = [line for line in (ROOT / "docs/security.md").read_text().splitlines() if line.startswith("| API")]
    assert len(rows) == 10
    for row in rows:
        file, named = "", re.findall(r"`((?:tests/[\w/]+\.py)?(?:::\w+)*)`", row.rsplit("|", 2)[1])
        assert named, row
        for one in named:
            path, *parts = one.split("::")
            file = path or file
            source = (ROOT / file).read_text()
            for part in parts:
                assert re.search(rf"(class|def) {part}\b", source), one
