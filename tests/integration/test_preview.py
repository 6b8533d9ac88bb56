"""Preview by the folds and the interpreter over the facts give one answer; dry runs foretell what a change does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from sqlalchemy import text

from service.adapters.postgres.criteria_sql import verdicts_at
from service.adapters.postgres.database import Database
from service.adapters.postgres.known_segments import load_segments
from service.adapters.postgres.preview import preview_store
from service.adapters.postgres.tables import metadata
from service.app.pins import ADD, REMOVE, PinChange, pin_customers, read_ids
from service.app.preview import SAMPLE_MAX, Preview, TooSlow
from service.core import instants
from service.core.criteria.parse import parse_criteria
from tests import shop
from tests.conftest import database_copy
from tests.drafts import DAY, Draft, between, compare, placed, refunded
from tests.drafts import NOW as EDGES_NOW
from tests.facts import Service, fetch
from tests.integration.test_criteria_sql import EDGES
from tests.oracle import spans_of
from tests.property.criteria_cases import line_of
from tests.strategies import criteria as any_criteria
from tests.strategies import histories
from tests.world import AUTHOR

NOW = shop.START + shop.DAYS * instants.DAY
LATER = instants.parse("2024-03-01T00:00:00Z")
CUSTOMERS = 60
#: All that a test of its own leaves behind.
EMPTY_TABLES = ", ".join(
    table.name for table in metadata.sorted_tables if table.name not in ("catalogue", "users", "alembic_version")
)
WINDOW = {"window": {"days": 40}}
WIDE = {"window": {"days": 36_500}}
VIEWED = {"name": "viewed"}


#: What it asks -> criteria; "{readers}" and "{listed}" stand for the ids of segments.
CASES: dict[str, dict[str, Any]] = {
    **shop.SEGMENTS,
    "few orders": {"total_orders": compare("lte", 4)},
    "orders between": {"total_orders": between(3, 5.5)},
    "orders in a window": {"total_orders": compare("gt", 1, **WINDOW)},
    "no orders in a window": {"total_orders": compare("eq", 0, **WINDOW)},
    "orders ever, by a window": {"total_orders": compare("gte", 6, **WIDE)},
    "spent between": {"total_spent": between("100.50", 300)},
    "spent in a window": {"total_spent": compare("gte", 90, **WINDOW)},
    "spent ever, by a window": {"total_spent": compare("gte", 300, **WIDE)},
    "in debt in a window": {"total_spent": compare("lt", 0, **WINDOW)},
    "average": {"average_order_value": compare("lte", "61.2345")},
    "average in a window": {"average_order_value": between(40, 70, **WINDOW)},
    "two windows": {
        "total_spent": compare("gte", 60, window={"days": 20}),
        "total_orders": compare("lt", 4, window={"days": 90}),
    },
    "registered before": {"registration_date": {"operator": "before", "date": "2024-02-20"}},
    "registered long ago": {"registration_date": {"operator": "more_than_ago", "days": 60}},
    "ordered between": {
        "last_order_date": {"operator": "between", "start_date": "2024-03-20", "end_date": "2024-04-05"}
    },
    "never ordered or long ago": {"not": {"last_order_date": {"operator": "within_last", "hours": 800}}},
    "login after": {"last_login": {"operator": "after", "date": "2024-03-20T12:00:00+02:00"}},
    "business": {"customer_type": "business"},
    "no e-mail": {"email_subscribed": False},
    "not known to take e-mail": {"not": {"email_subscribed": True}},
    "two countries": {"location": {"countries": ["FR", "BR"]}},
    "no city": {"location": {"cities": ["Paris"]}},
    "tier is not gold": {"traits": {"tier": compare("ne", "gold")}},
    "tier in": {"traits": {"tier": {"operator": "in", "value": ["gold", 5, True]}}},
    "tier exists": {"traits": {"tier": {"operator": "exists"}}},
    "tier is missing": {"traits": {"tier": {"operator": "exists", "value": False}}},
    "tier contains": {"traits": {"tier": compare("contains", "il")}},
    "tier is ordered": {"traits": {"tier": compare("lt", "h")}},
    "points": {"traits": {"points": between(3, 10)}},
    "any product": {"purchased_products": ["p1", "p2"]},
    "all products": {"purchased_products": {"all": ["p1", "p2"]}},
    "all products twice": {"purchased_products": {"all": ["p1", "p1"], "any": ["p3", "p4"]}},
    "all products in a window": {"purchased_products": {"all": ["p1", "p2"], "window": {"days": 60}}},
    "all of two windows": {
        "all": [
            {"purchased_categories": {"all": ["books", "toys"], "window": {"days": 60}}},
            {"purchased_categories": {"all": ["books", "games"], "window": {"days": 80}}},
        ]
    },
    "any category in a window": {"purchased_categories": {"any": ["toys"], **WINDOW}},
    "any and all": {"purchased_categories": {"any": ["toys", "games"], "all": ["books"], **WIDE}},
    "unknown product": {"purchased_products": ["nothing"]},
    "never two categories": {"never_purchased_categories": ["books", "toys"]},
    "viewed": {"activity": VIEWED},
    "viewed lately": {"activity": {**VIEWED, **WINDOW}},
    "never viewed": {"activity": {**VIEWED, "count": compare("eq", 0)}},
    "viewed by phone": {
        "activity": {**VIEWED, "where": {"device": compare("eq", "phone")}, "count": compare("gte", 2)}
    },
    "seconds": {"activity": {**VIEWED, "sum": compare("gte", 300, property="seconds")}},
    "seconds on average": {"activity": {**VIEWED, "avg": between(20, 120, property="seconds"), **WINDOW}},
    "products viewed": {"activity": {**VIEWED, "distinct": compare("gte", 7, property="product")}},
    "viewed then bought": {
        "sequence": {"steps": [{"activity": VIEWED}, {"order": {}}], "within": {"days": 5}},
    },
    "viewed and not bought": {
        "sequence": {"steps": [{"activity": VIEWED}, {"order": {}, "not": True}], "within": {"days": 9}},
    },
    "bought twice": {"sequence": {"steps": [{"order": {}}, {"order": {}}], "within": {"days": 3}}},
    "two sequences": {
        "any": [
            {"sequence": {"steps": [{"activity": VIEWED}, {"order": {}}], "within": {"hours": 20}}},
            {"sequence": {"steps": [{"order": {}}, {"activity": VIEWED}], "within": {"hours": 20}}},
        ]
    },
    "member of": {"member_of": "{readers}"},
    "not member of": {"not_member_of": "{readers}", "total_orders": compare("gte", 3)},
    "member of a list": {"member_of": "{listed}"},
    "member of a draft": {"member_of": "{draft}"},
    "not member of a draft": {"not_member_of": "{draft}"},
    "all of it": {
        "any": [
            {"all": [{"customer_type": "business"}, {"total_spent": compare("gt", 20, **WINDOW)}]},
            {"not": {"any": [{"purchased_categories": ["toys"]}, {"activity": VIEWED}, {"member_of": "{readers}"}]}},
            {"last_login": {"operator": "within_last", "days": 30}, "traits": {"tier": compare("eq", "gold")}},
        ]
    },
}


def history() -> list[bytes]:
    """A shop's events, and activities of its customers; some of them do nothing else, and one is gone."""
    found = shop.events(CUSTOMERS, 900, seed=3)
    for number in range(400):
        customer = f"c{number**2 % (CUSTOMERS + 5):04d}"
        at = shop.START + number * 389 % (shop.DAYS * 24) * instants.HOUR
        properties = {"device": ("phone", "desk")[number % 2], "seconds": number % 150, "product": f"p{number % 11}"}
        data = {"customer_id": customer, "name": ("viewed", "searched")[number % 3 // 2], "properties": properties}
        envelope = {"specversion": "1.0", "id": f"a{number}", "type": "customer.activity", "source": "/t"}
        found.append({**envelope, "time": instants.to_text(at), "data": data})
    points = {"customer_id": "c0001", "traits": {"points": 5}}
    for kind, data in (("customer.updated", points), ("customer.deleted", {"customer_id": "c0002"})):
        envelope = {"specversion": "1.0", "id": kind, "type": kind, "source": "/t"}
        found.append({**envelope, "time": instants.to_text(NOW - instants.DAY), "data": data})
    return [json.dumps(event).encode() for event in found]


async def told(database: Database, criteria: dict[str, Any], now: int) -> set[UUID]:
    """Whom the criteria hold for by the facts."""
    async with database.snapshot() as connection:
        segments = await load_segments(connection)
        rows = await fetch(connection, verdicts_at([parse_criteria(criteria)], now, segments))
    return {row.customer_id for row in rows if row.verdicts[0]}


async def shown(database: Database, criteria: dict[str, Any], now: int, sample: int = SAMPLE_MAX) -> Preview:
    """The preview."""
    async with preview_store(database, 60, "TESTS") as store:
        return await store.preview(parse_criteria(criteria), now, sample)


@pytest.fixture(scope="module")
async def shop_database(server_url: str, template: str) -> AsyncIterator[tuple[Database, dict[str, str]]]:
    """A shop with segments that others ask for: one by criteria and with pins, a list, a draft; gives their ids."""
    async with database_copy(server_url, template) as url:
        database = Database.connect(url, role="tests", pool_size=4)
        service = Service(database, "USD")
        keys = ("readers", "listed", "draft")
        ids = await service.define([{"key": key, "criteria": shop.SEGMENTS["readers"]} for key in keys])
        turn = "UPDATE customer_segments SET segment_type = 'static', criteria = '{}' WHERE id = :id"
        await service.run(turn, id=ids["listed"])
        await service.take(history(), NOW)
        await service.fire(NOW)
        # Its members have not left yet, as while a backfill runs.
        await service.run("UPDATE customer_segments SET status = 'draft' WHERE id = :id", id=ids["draft"])
        for key, action, customers in (
            ("readers", REMOVE, ["c0003", "c0004", "c0005"]),
            ("readers", ADD, ["c0006", "c0007", "c0008"]),
            ("listed", ADD, ["c0001", "c0009", "a stranger"]),
        ):
            change = PinChange(ids[key], action, AUTHOR, NOW)
            await pin_customers(service.batches, lambda: NOW, change, read_ids(customers))
        yield database, {key: str(one) for key, one in ids.items()}
        await database.close()


@pytest.mark.parametrize("name", CASES)
async def test_folds_equal_facts(shop_database: tuple[Database, dict[str, str]], name: str) -> None:
    """For every kind of criterion exactly those are shown for whom the facts say so, with their revenue."""
    database, ids = shop_database
    written = json.dumps(CASES[name])
    for key, segment_id in ids.items():
        written = written.replace(f"{{{key}}}", segment_id)
    criteria = json.loads(written)
    expected = await told(database, criteria, NOW)
    found = await shown(database, criteria, NOW)

    assert {one.customer_id for one in found.sample} == expected
    assert found.count == len(expected) == len(found.sample)
    assert found.total_orders == sum(one.total_orders or 0 for one in found.sample)
    assert found.total_spent == sum(one.total_spent or 0 for one in found.sample)


async def test_cases_tell_apart(shop_database: tuple[Database, dict[str, str]]) -> None:
    """The cases above are no comfort unless most of them hold for some and not for all."""
    database, _ = shop_database
    plain = [criteria for criteria in CASES.values() if "member_of" not in json.dumps(criteria)]
    counts = [(await shown(database, criteria, NOW, 0)).count for criteria in plain]
    everybody = max(counts)

    assert everybody > CUSTOMERS - 5
    assert sum(0 < count < everybody for count in counts) > 0.85 * len(counts)


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
        await service.take(list(lines_of(drafts)), EDGES_NOW)
        await service.fire(EDGES_NOW)
        facts = await told(database, criteria, EDGES_NOW)
        if not (await shown(database, criteria, EDGES_NOW)).count == len(facts) == expected:
            failed.append(name)

    assert failed == []


def lines_of(drafts: list[Draft]) -> Iterator[bytes]:
    """One customer's events as they come from Kafka."""
    for number, (kind, age, data) in enumerate(drafts):
        rest = dict(data)
        envelope = {"specversion": "1.0", "id": rest.pop("id", f"e{number}"), "type": kind}
        envelope |= {name: rest.pop(name) for name in ("sequence",) if name in rest}
        envelope |= {"time": instants.to_text(EDGES_NOW - age), "data": {"customer_id": "c", **rest}}
        yield json.dumps(envelope).encode()


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
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


async def test_the_first_by_id(shop_database: tuple[Database, dict[str, str]]) -> None:
    """The sample is the first of all by id, as pages of members are, and no longer than asked for."""
    database, _ = shop_database
    everybody = await shown(database, {}, NOW)
    some = await shown(database, {}, NOW, 7)

    assert [one.customer_id for one in some.sample] == sorted(one.customer_id for one in everybody.sample)[:7]
    assert (await shown(database, {}, NOW, 0)).sample == []


async def test_stopped(database: Database) -> None:
    """A preview that the database cannot answer in time is stopped, and the sentence names limit and setting."""
    async with database.transaction() as other:
        await other.execute(text("LOCK TABLE profiles IN ACCESS EXCLUSIVE MODE"))

        with pytest.raises(TooSlow, match=r"0\.2 s .* raise SEGMENTS_X"):
            async with preview_store(database, 0.2, "SEGMENTS_X") as store:
                await store.preview(parse_criteria({}), NOW, 1)
