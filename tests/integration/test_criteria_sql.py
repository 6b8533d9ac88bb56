"""Criteria as SQL over the facts: the contract's edges, the known answers, any locale."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from service.adapters.postgres.criteria_sql import verdicts_at
from service.adapters.postgres.database import Database
from service.adapters.postgres.migrate import migrate
from service.core import instants
from service.core.criteria.parse import parse_criteria
from service.core.events.decode import Rejected, Rules, decode
from tests.drafts import DAY, NOW, Draft, compare, events_of, placed, refunded, updated
from tests.exact import DataSet, data_folder, data_sets
from tests.facts import fetch, stored_facts

DAY_BACK = {"window": {"days": 1}}
ONE = compare("gte", 1, **DAY_BACK)
TIER = {"traits": {"tier": compare("eq", "new")}}
#: What it shows -> (events, criteria, whether it holds at NOW).
EDGES: dict[str, tuple[list[Draft], dict[str, Any], bool]] = {
    "a window leaves out what is exactly as old": ([placed(DAY)], {"total_orders": ONE}, False),
    "a window holds what is a microsecond younger": ([placed(DAY - 1)], {"total_orders": ONE}, True),
    "what happens now counts": ([placed(0)], {"total_orders": ONE}, True),
    "what comes later does not": ([placed(-1), updated()], {"total_orders": ONE}, False),
    "within_last leaves out the edge": (
        [placed(DAY)],
        {"last_order_date": {"operator": "within_last", "days": 1}},
        False,
    ),
    "within_last ends a microsecond before": (
        [placed(DAY - 1)],
        {"last_order_date": {"operator": "within_last", "days": 1}},
        True,
    ),
    "more_than_ago holds at the edge": (
        [placed(DAY)],
        {"last_order_date": {"operator": "more_than_ago", "days": 1}},
        True,
    ),
    "more_than_ago begins there": (
        [placed(DAY - 1)],
        {"last_order_date": {"operator": "more_than_ago", "days": 1}},
        False,
    ),
    "purchases leave out the edge": ([placed(DAY)], {"purchased_products": {"any": ["p"], **DAY_BACK}}, False),
    "purchases end a microsecond before": ([placed(DAY - 1)], {"purchased_products": {"any": ["p"], **DAY_BACK}}, True),
    "all asks for every name": ([placed(0)], {"purchased_products": {"all": ["p", "q"]}}, False),
    "one product twice is one name": (
        [placed(0, items=[{"product_id": "p"}, {"product_id": "p"}])],
        {"purchased_products": {"all": ["p", "q"]}},
        False,
    ),
    "an order's date is its earliest placed": ([placed(0), placed(2 * DAY)], {"total_orders": ONE}, False),
    "an order that was not placed does not count": (
        [("order.updated", 0, {"order_id": "o", "total": 5})],
        {"total_orders": compare("eq", 0)},
        True,
    ),
    "a refund follows its order's date": (
        [placed(2 * DAY), refunded(0, 4, "o")],
        {"total_spent": compare("eq", 0, **DAY_BACK)},
        True,
    ),
    "a refund without order has its own": ([refunded(0, 4)], {"total_spent": compare("eq", -4, **DAY_BACK)}, True),
    "a corrected refund keeps its first instant": (
        [refunded(2 * DAY, 4), refunded(0, 6)],
        {"total_spent": compare("eq", 0, **DAY_BACK)},
        True,
    ),
    "a corrected refund has its latest amount": (
        [refunded(2, 4), refunded(1, 6)],
        {"total_spent": compare("eq", -6)},
        True,
    ),
    "a corrected refund has its latest order": (
        [placed(5), refunded(2, 4, "o"), refunded(1, 6)],
        {"average_order_value": compare("eq", 4)},
        True,
    ),
    "a refund of an order that is not there has no effect": (
        [refunded(0, 4, "x")],
        {"total_spent": compare("eq", 0)},
        True,
    ),
    "a sequence comes after none": (
        [updated(id="z", traits={"tier": "old"}), updated(id="a", sequence="", traits={"tier": "new"})],
        TIER,
        True,
    ),
    "ties go by event id": (
        [updated(id="b", traits={"tier": "new"}), updated(id="a", traits={"tier": "old"})],
        TIER,
        True,
    ),
    "null makes a trait missing": ([updated(traits={"tier": None})], {"traits": {"tier": compare("ne", "x")}}, False),
    "traits that are null as a whole make each missing": (
        [updated(id="a", traits={"tier": "new"}), updated(id="b", traits=None)],
        {"traits": {"tier": compare("exists", False)}},
        True,
    ),
    "traits after such a null are there": (
        [updated(id="a", traits=None), updated(id="b", traits={"tier": "new"})],
        TIER,
        True,
    ),
    "other traits before such a null are not": (
        [
            updated(id="a", traits={"tier": "new"}),
            updated(id="b", traits=None),
            updated(id="c", traits={"other": 1}),
        ],
        TIER,
        False,
    ),
    "traits that are not named stay": (
        [updated(id="a", traits={"tier": "new"}), updated(id="b", name="x")],
        TIER,
        True,
    ),
    "ne is true of another type": ([updated(traits={"tier": 1})], {"traits": {"tier": compare("ne", "1")}}, True),
    "ne is false where nothing is": ([updated()], {"traits": {"tier": compare("ne", "x")}}, False),
    "contains knows no wildcards": (
        [updated(traits={"t": "abc"})],
        {"traits": {"t": compare("contains", "a%c")}},
        False,
    ),
    "true is no number": ([updated(traits={"t": True})], {"traits": {"t": compare("gte", 0)}}, False),
    "a text is no number": ([updated(traits={"t": "5"})], {"traits": {"t": compare("in", [5, True])}}, False),
    "numbers are exact": (
        [updated(traits={"t": 12345678901234567890123456789012345678})],
        {"traits": {"t": compare("gt", 12345678901234567890123456789012345677)}},
        True,
    ),
    "location is one value": (
        [updated(id="a", location={"country": "FR", "city": "Lyon"}), updated(id="b", location={"country": "FR"})],
        {"location": {"cities": ["Lyon"]}},
        False,
    ),
    "an average needs orders": ([refunded(0, 4)], {"average_order_value": compare("lt", 100)}, False),
    "an erased customer is nobody": ([updated(), ("customer.deleted", 0, {})], {}, False),
}


async def test_edges(database: Database) -> None:
    """Each rule of the contract holds at its edge; what fails is named."""
    failed = []
    for name, (drafts, criteria, expected) in EDGES.items():
        async with stored_facts(database, events_of(*drafts)) as connection:
            rows = await fetch(connection, verdicts_at([parse_criteria(criteria)], NOW))
        if any(row.verdicts[0] for row in rows) is not expected:
            failed.append(name)

    assert failed == []


@pytest.mark.parametrize("name", data_sets())
async def test_members_equal_known_answers(database: Database, name: str) -> None:
    """On the sets with known answers every segment has exactly the expected members at every instant."""
    data = DataSet(data_folder(), name)
    rules = Rules(data.currency, 1_048_576, True)
    decoded = [decode(line, (), rules, instants.INSTANT_MAX) for line in data.lines()]
    events = [one for one in decoded if not isinstance(one, Rejected)]
    names = {one.customer_id: one.external_id for one in events}
    segments = data.segments()
    criteria = [parse_criteria(one["criteria"]) for one in segments]

    async with stored_facts(database, events) as connection:
        for expected in data.memberships():
            rows = await fetch(connection, verdicts_at(criteria, instants.parse(expected["as_of"])))

            assert len(rows) == expected["customers"]
            for place, one in enumerate(segments):
                members = sorted(names[row.customer_id] for row in rows if row.verdicts[place])
                assert members == expected["segments"][one["key"]]["members"], (expected["as_of"], one["key"])


@pytest.fixture
async def english(server_url: str) -> AsyncIterator[Database]:
    """A database whose own order of texts is that of English, not of code points."""
    name = f"english_{uuid4().hex}"
    server = Database.connect(server_url, role="tests", pool_size=1)
    made = Database.connect(f"{server_url.rsplit('/', 1)[0]}/{name}", role="tests")
    async with server.engine.connect() as connection:
        outside = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await outside.execute(
            text(f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' ENCODING 'UTF8'")
        )
        await migrate(made.engine)
        yield made
        await made.close()
        await outside.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    await server.close()


async def test_text_compares_by_code_point(english: Database) -> None:
    """Whatever the locale: capitals before small letters, composed apart from decomposed, U+FFFF before emoji."""
    traits = {"a": "B", "b": "é", "c": "\U0001f600"}
    tests = {"a": compare("lt", "a"), "b": compare("ne", "e\u0301"), "c": compare("gt", "\uffff")}
    async with stored_facts(english, events_of(updated(traits=traits))) as connection:
        rows = await fetch(connection, verdicts_at([parse_criteria({"traits": tests})], NOW))

    assert [row.verdicts for row in rows] == [[True]]
