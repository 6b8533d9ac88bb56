"""Definitions as a file: into another database, and into one that was lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from service.adapters.postgres.database import Database
from service.adapters.postgres.segments import PostgresSegments
from service.app.pins import ADD, REMOVE, PinChange, pin_customers, read_ids
from service.app.segment_changes import create_segment
from service.app.segments import NewSegment
from service.bootstrap import open_batches
from service.cli.main import app
from service.core import instants
from service.settings import load_settings
from service.stack.group import Servers
from tests import shop
from tests.conftest import database_copy
from tests.facts import Service
from tests.integration.test_dead_letters import letters_of, send
from tests.world import AUTHOR, World, change, create, members, world

CLOCK = instants.parse(shop.CLOCK)


EMPTY = """TRUNCATE customer_segments, segment_versions, customer_segment_memberships, pins, profiles, customers, users,
    outbox"""
BAD = b"{"
AUTHOR_ID = "0a000000-0000-4000-8000-000000000009"


def commands_of(database: Database, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Awaitable[Result]]:
    """Runs a command in this process, on a thread of its own, for it has an event loop of its own."""
    monkeypatch.setenv("SEGMENTS_DATABASE_URL", database.engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("SEGMENTS_KAFKA_BOOTSTRAP", "nowhere:9092")
    monkeypatch.setenv("SEGMENTS_CLOCK", shop.CLOCK)
    return lambda *arguments: asyncio.to_thread(CliRunner().invoke, app, list(arguments))


def pinned(whole: str, *customers: str, at: str = "2024-01-01T00:00:00Z") -> str:
    """The file with these customers pinned in its first segment."""
    rest = f'"pin":"included","source":"manual","created_by":"x","created_at":"{at}"'
    pins = ",".join(f'{{"customer":"{customer}",{rest}}}' for customer in customers)
    return whole.replace('"pins":[]', f'"pins":[{pins}]', 1)


def now() -> int:
    """A clock that stands still."""
    return CLOCK


async def static(database: Database, name: str) -> str:
    """A new static segment."""
    async with database.transaction() as connection:
        new = NewSegment(segment_name=name, segment_type="static")
        return str((await create_segment(PostgresSegments(connection), now, AUTHOR, new)).id)


async def by_hand(made: World, database: Database, segment_id: str, action: str, *customers: str) -> None:
    """Pins customers."""
    pin = PinChange(UUID(segment_id), action, AUTHOR, CLOCK)
    settings = load_settings(
        database_url=made.database_url, kafka_bootstrap=made.kafka, membership_topic=made.membership
    )
    await pin_customers(open_batches(settings, database), now, pin, read_ids(list(customers)))


async def filled(made: World, database: Database) -> tuple[dict[str, str], list[dict]]:
    """Segments of all types with pins, and what was published of them."""
    ids = await create(database, shop.SEGMENTS, shop.CLOCK)
    ids["list"] = await static(database, "list")
    ids["listed"] = (await create(database, {"listed": {"member_of": ids["list"]}}, shop.CLOCK))["listed"]
    made.start_all()
    events = shop.events(customers=60, count=1_500)
    made.publish(events[:1_200], "--topic", made.orders)
    made.wait_idle()
    names = sorted({one["data"]["customer_id"] for one in events if one["data"].get("customer_id")})
    await by_hand(made, database, ids["list"], ADD, "nobody-yet", *names[:5])
    await by_hand(made, database, ids["recent"], ADD, *names[5:10])
    await by_hand(made, database, ids["recent"], REMOVE, *names[10:15])
    await change(database, ids["readers"], shop.CLOCK, criteria=shop.SEGMENTS["no games"])
    made.publish(events[1_200:], "--topic", made.orders)
    made.wait_idle()
    return ids, events


def exported(made: World) -> dict[str, Any]:
    """What export-definitions writes, without when."""
    found = json.loads(made.run("export-definitions"))
    del found["exported_at"]
    return found


class TestRecover:
    """--recover."""

    async def test_a_lost_database(
        self,
        session_servers: Servers,
        server_url: str,
        template: str,
        database_url: str,
        database: Database,
        tmp_path: Path,
    ) -> None:
        """Membership comes back, nothing is published, and what comes next goes on at the next number."""
        with world(session_servers.kafka_bootstrap, database_url, shop.CLOCK) as made:
            ids, _ = await filled(made, database)
            file = tmp_path / "definitions.json"
            made.run("export-definitions", "-o", str(file))
            lost, told = await members(database), made.changes()
            for role in ("consume", "relay", "timers"):
                made.stop(role)
            # What the lost database had not come to: an erasure, a bad record, and members of a segment that goes.
            gone = min(lost["frequent"])
            deleted = shop.events(customers=1, count=1)[0] | {"id": "gone", "type": "customer.deleted"}
            deleted |= {"time": shop.CLOCK, "data": {"customer_id": gone}}
            made.publish([deleted], "--topic", made.orders)
            await send(made, [(None, BAD, [])])
            definitions = json.loads(file.read_text())
            archived = next(one for one in definitions["segments"] if one["segment_name"] == "readers")
            archived["status"] = "archived"
            file.write_text(json.dumps(definitions))
            left = {(gone, name, "erasure") for name in lost if gone in lost[name]}
            left |= {(one, "readers", "definition") for one in lost["readers"] - {gone}}
            lost = {name: found - {gone} for name, found in lost.items()} | {"readers": set()}
            async with database_copy(server_url, template) as url:
                made.env["SEGMENTS_DATABASE_URL"] = url
                fresh = Database.connect(url, role="tests", pool_size=2)
                async with fresh.session() as connection:  # copies of the template are no two databases to a relay
                    await connection.execute("UPDATE catalogue SET instance_id = gen_random_uuid()")
                made.start_all()
                answer = json.loads(made.run("import-definitions", str(file), "--recover", "--json"))
                made.wait_idle()
                found = await members(fresh)
                assert found == lost
                names = {segment_id: name for name, segment_id in ids.items()}
                new = [one for one in made.changes() if one not in told]
                assert {(one.external_id, names[one.segment_id], one.reason) for one in new} == left
                assert answer["changes_published"] == len(new) == len(left)
                assert answer["memberships_as_published"] == sum(map(len, lost.values()))
                assert answer["memberships_forgotten"] == 0
                told += new
                assert [one.value for one in letters_of(made)] == [BAD]
                made.verify()
                for one in definitions["segments"]:
                    one["pins"] = [pin for pin in one["pins"] if pin["customer"] != gone]
                assert exported(made)["segments"] == definitions["segments"]

                await change(fresh, ids["frequent"], shop.CLOCK, status="archived")
                made.wait_idle()
                await fresh.close()
            new = [one for one in made.changes() if one not in told]
        assert {one.external_id for one in new} == lost["frequent"]
        last = {(one.customer_id, one.segment_id): one.sequence for one in told}
        assert all(one.sequence == last[one.customer_id, one.segment_id] + 1 for one in new)
        assert all(one.change == "left" for one in new)


class TestImport:
    """Into another database, as from one stage to the next."""

    async def test_definitions_and_pins_go_over(
        self, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Ids, types, statuses, versions and pins are the same there; the same again changes nothing."""
        file = tmp_path / "definitions.json"
        run = commands_of(database, monkeypatch)
        ids = await create(database, {"buyers": shop.SEGMENTS["frequent"]}, shop.CLOCK)
        ids["list"] = await static(database, "list")
        ids["listed"] = (await create(database, {"listed": {"member_of": ids["list"]}}, shop.CLOCK))["listed"]
        await change(database, ids["buyers"], shop.CLOCK, criteria={"total_spent": {"operator": "gt", "value": "1.10"}})
        pin = PinChange(UUID(ids["list"]), ADD, AUTHOR, CLOCK)
        batches = Service(database, "USD").batches
        await pin_customers(batches, now, pin, read_ids(["a", "0A000000-0000-4000-8000-000000000001"]))
        assert (await run("export-definitions", "-o", str(file))).exit_code == 0
        before = json.loads(file.read_text())
        async with database.transaction() as connection:
            await connection.execute(text(EMPTY))

        first = await run("import-definitions", str(file), "--json")
        again = await run("import-definitions", str(file), "--json")
        found = json.loads((await run("export-definitions")).stdout)

        assert found["segments"] == before["segments"]
        assert found["users"].items() >= before["users"].items()
        assert json.loads(first.stdout)["segments_created"] == 3
        assert json.loads(first.stdout)["pins_put"] == 2
        assert json.loads(again.stdout) == {
            **json.loads(first.stdout),
            "segments_created": 0,
            "segments_unchanged": 3,
            "pins_put": 0,
            "pins_unchanged": 2,
        }

    async def test_what_is_refused(self, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Files that are none, and segments that are here and differ: one sentence, and nothing is stored."""
        file = tmp_path / "definitions.json"
        run = commands_of(database, monkeypatch)
        ids = await create(database, {"a": {}, "b": {}}, shop.CLOCK)
        await run("export-definitions", "-o", str(file))
        whole = file.read_text()
        circle = whole.replace('"criteria":{}', f'"criteria":{{"member_of":"{ids["a"]}"}}')
        for content, said in (
            ("{", "no export of definitions"),
            ('{"segments": []}', "no export of definitions"),
            (whole.replace(ids["b"], ids["a"]), "twice"),
            (whole.replace('"criteria":{}', '"criteria":{"shoe_size":1}', 1), "shoe_size"),
            (whole.replace('"criteria":{}', f'"criteria":{{"member_of":"{AUTHOR_ID}"}}', 1), "there is no segment"),
            (circle, "circle"),
            (whole.replace('"segment_name":"a"', '"segment_name":"\\u0000"'), "U+0000"),
            (pinned(whole, "00000000-0000-0000-0000-000000000000"), "guests"),
            (pinned(whole, "\\ud800"), "surrogate"),
            (pinned(whole, "0A000000-0000-4000-8000-000000000009", AUTHOR_ID), "twice"),
            (pinned(whole, "c", at="2024-01-01T00:00:00"), "no export of definitions"),
            (whole.replace('"segment_name":"a"', '"segment_name":"other"'), "says something else"),
        ):
            file.write_text(content)
            done = await run("import-definitions", str(file))
            assert (done.exit_code, done.stdout) == (1, ""), said
            assert said in done.stderr
        file.write_text(whole)
        done = await run("import-definitions", str(file), "--recover")
        assert done.exit_code == 1
