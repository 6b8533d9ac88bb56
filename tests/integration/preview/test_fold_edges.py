"""Preview by the folds and the interpreter over the facts give one answer at every edge, and in random histories."""

from __future__ import annotations

from typing import Any

from hypothesis import given, note, settings
from hypothesis import strategies as st

from service.adapters.postgres.database import Database
from service.adapters.postgres.tables import metadata
from service.core import instants
from tests.drafts import DAY, Draft, compare, lines_of, placed, refunded
from tests.drafts import NOW as EDGES_NOW
from tests.facts import Service
from tests.integration.preview.cases import VIEWED
from tests.integration.preview.support import shown, told
from tests.integration.test_criteria_sql import EDGES
from tests.oracle import spans_of
from tests.property.criteria_cases import line_of
from tests.property.effort import UNCHECKED
from tests.strategies import criteria as any_criteria
from tests.strategies import histories

LATER = instants.parse("2024-03-01T00:00:00Z")
#: All that a test of its own leaves behind.
EMPTY_TABLES = ", ".join(
    table.name for table in metadata.sorted_tables if table.name not in ("catalogue", "users", "alembic_version")
)


#: Beside the edges of the interpreter over the facts: what only the folds could get wrong.
FOLD_EDGES: dict[str, tuple[list[Draft], dict[str, Any], bool]] = {
    "a refund that lost its order has a date of its own": (
        [placed(5 * DAY), refunded(2 * DAY, 4, "o"), refunded(0, 6)],
        {"total_spent": compare("eq", 0, window={"days": 1}), "average_order_value": compare("eq", 4)},
        True,
    ),
    "a refund that found its order follows it": (
        [placed(5 * DAY), refunded(DAY, 4), refunded(0, 6, "o")],
        {"total_spent": compare("eq", 4, window={"days": 6}), "total_orders": compare("eq", 0, window={"days": 2})},
        True,
    ),
    "a refund without order is there before its window ends": (
        [placed(5 * DAY), refunded(DAY - 1, 4)],
        {"total_spent": compare("eq", -4, window={"days": 1})},
        True,
    ),
    "an order, and then not what was never done": (
        [placed(5 * DAY)],
        {"sequence": {"steps": [{"order": {}}, {"activity": VIEWED, "not": True}], "within": {"days": 5}}},
        True,
    ),
    "all names, one of them too long ago": (
        [placed(DAY, "a"), placed(0, "b", items=[{"product_id": "q"}])],
        {"purchased_products": {"all": ["p", "q"], "window": {"days": 1}}},
        False,
    ),
    "all names, each lately again": (
        [placed(DAY, "a"), placed(DAY - 1, "c"), placed(0, "b", items=[{"product_id": "q"}])],
        {"purchased_products": {"all": ["p", "q"], "window": {"days": 1}}},
        True,
    ),
}


async def test_edges(database: Database) -> None:
    """Each rule of the contract holds at its edge, in the folds as in the facts; what fails is named."""
    failed = []
    for name, (drafts, criteria, expected) in {**EDGES, **FOLD_EDGES}.items():
        service = Service(database, "EUR")
        await service.run(f"TRUNCATE {EMPTY_TABLES}")
        await service.take(lines_of(*drafts), EDGES_NOW)
        await service.fire(EDGES_NOW)
        facts = await told(database, criteria, EDGES_NOW)
        if not (await shown(database, criteria, EDGES_NOW)).count == len(facts) == expected:
            failed.append(name)

    assert failed == []


@settings(max_examples=40, deadline=None, suppress_health_check=UNCHECKED)
@given(data=st.data())
async def test_folds_equal_facts_whatever_happens(database: Database, data: st.DataObject) -> None:
    """The same for random histories, ties and edges among them, in whatever order they arrive, and random criteria."""
    events = data.draw(histories())
    several = data.draw(st.lists(any_criteria([], events), min_size=3, max_size=6))
    service = Service(database, "USD")
    await service.run(f"TRUNCATE {EMPTY_TABLES}")
    spans = sorted({0, *(span for criteria in several for span in spans_of(criteria))})
    edges = {instants.parse(event["time"]) + span + shift for event in events for span in spans for shift in (0, -1)}
    now = data.draw(st.sampled_from(sorted(edges)) | st.just(LATER))
    await service.take([line_of(event) for event in events], now, size=5)
    await service.fire(now)
    for criteria in several:
        found = await shown(database, criteria, now)
        expected = await told(database, criteria, now)
        note(f"{criteria} at {instants.to_text(now)}")

        assert {one.customer_id for one in found.sample} == expected
        assert found.count == len(expected)
