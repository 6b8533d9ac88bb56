"""Preview by the folds and the interpreter over the facts give one answer in a shop, for every kind of criterion."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from service.adapters.postgres.database import Database
from service.adapters.postgres.preview import preview_store
from service.app.pins import ADD, REMOVE, PinChange, pin_customers, read_ids
from service.app.preview import TooSlow
from service.core.criteria.parse import parse_criteria
from tests import shop
from tests.conftest import database_copy
from tests.facts import Service
from tests.integration.preview.cases import CASES, CUSTOMERS, NOW, history
from tests.integration.preview.support import shown, told
from tests.world import AUTHOR


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
