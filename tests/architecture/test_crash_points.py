"""The registry of crash points and the code say the same."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

from service.crash import NAMES, POINTS

ROOT = Path(__file__).parents[2]
CODE = [
    path for folder in ("service", "consumers", "producers", "migrations") for path in (ROOT / folder).rglob("*.py")
]


def placed() -> list[tuple[str, str]]:
    """(point, file) of every placement; a name that is not written out counts as none."""
    found = []
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "crash_point":
                (name,) = node.args
                found.append((str(getattr(name, "value", "?")), str(path.relative_to(ROOT))))
    return found


def test_every_point_is_placed_once() -> None:
    """Each declared point stands at one place in the code, and what stands there is declared."""
    assert Counter(name for name, _ in placed()) == Counter(NAMES)


def test_every_point_is_explained() -> None:
    """Names are unique, and each point has somebody who comes by and a sentence."""
    assert len(set(NAMES)) == len(NAMES)
    assert all(point.parts and point.meaning.endswith(".") for point in POINTS)


def test_the_core_has_none() -> None:
    """The core stays silent."""
    assert not [path for _, path in placed() if path.startswith("service/core/")]
