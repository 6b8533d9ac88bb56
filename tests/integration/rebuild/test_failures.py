"""Numbers, counts, and what goes wrong on the way."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from service.adapters.postgres.repair import PostgresRepairs
from service.adapters.postgres.verify import verify
from service.app import rebuild as use_case
from service.app.repair import RepairStopped
from service.core.identity import customer_uuid
from tests.facts import Service
from tests.integration.rebuild.support import counts, drain, net, open_memberships, published, rebuilt
from tests.integration.support import event
from tests.integration.verify.plain import NOW, apply_change, ids_of

C1 = customer_uuid("c1")
HELD = """
SELECT mode FROM pg_locks WHERE locktype = 'advisory' AND objid = 7300005 AND granted AND pid = pg_backend_pid()
"""
LOSE_ALL = "DELETE FROM customer_segment_memberships WHERE left_at IS NULL"


class Dead(BaseException):
    """The end of a process."""


class TestNumbers:
    """The ordinals of transitions go on after the last that is known anywhere."""

    @pytest.mark.parametrize(
        ("statement", "segment", "expected"),
        [
            # A stay of three transitions is known to the profile alone; the table has none of it.
            (
                "UPDATE profiles SET ordinals = set_byte(ordinals, :slot * 4, 5) WHERE customer_id = :c1",
                "french",
                [],
            ),
            ("DELETE FROM customer_segment_memberships WHERE customer_id = :c1", "french", [("joined", 3)]),
            (
                "UPDATE customer_segment_memberships SET left_at = NULL WHERE customer_id = :c1",
                "recent",
                [("left", 4)],
            ),
            (
                "UPDATE customer_segment_memberships SET ordinal = 7, left_at = joined_at WHERE customer_id = :c1",
                "french",
                [("joined", 9)],
            ),
        ],
    )
    async def test_they_go_on(
        self, service: Service, statement: str, segment: str, expected: list[tuple[str, int]]
    ) -> None:
        """No number is given away twice, and the next change after the repair goes on from there."""
        ids = await ids_of(service.database)
        await drain(service)
        async with service.database.session() as connection:
            slot = await connection.fetchval("SELECT slot FROM customer_segments WHERE id = $1", ids[segment])
        values = {"c1": C1, "slot": slot}
        await service.run(statement, **{key: value for key, value in values.items() if f":{key}" in statement})
        await rebuilt(service, NOW)
        mine = [one for one in await published(service) if one.segment_id == ids[segment]]

        assert [(one.change, one.sequence) for one in mine] == expected
        assert not (await verify(service.database, None, NOW)).has_drift
        await service.run("UPDATE customers SET country = 'Spain' WHERE customer_id = :c1", c1=C1)
        await rebuilt(service, NOW)
        assert not (await verify(service.database, None, NOW)).has_drift

    async def test_an_earlier_stay_is_open(self, service: Service) -> None:
        """Where not the last stay is open, and the profile is lost, numbers go on after the last one all the same."""
        ids = await ids_of(service.database)
        await drain(service)
        later = """
        INSERT INTO customer_segment_memberships
            (customer_id, segment_id, ordinal, joined_at, left_at, membership_source, left_reason, segment_version)
        SELECT customer_id, segment_id, 3, left_at, left_at, 'event', 'event', 1 FROM customer_segment_memberships
        WHERE customer_id = :c1 AND segment_id = :recent
        """
        reopened = """
        UPDATE customer_segment_memberships SET left_at = NULL
        WHERE customer_id = :c1 AND segment_id = :recent AND ordinal = 1
        """
        for statement in (later, reopened):
            await service.run(statement, c1=C1, recent=ids["recent"])
        await apply_change(service, "a profile is lost")
        await rebuilt(service, NOW)
        order = {"order_id": "n", "currency": "EUR", "total": 5}
        await service.take([event(5_000, "order.placed", NOW, "c1", **order)], NOW)

        mine = [one for one in await published(service) if one.segment_id == ids["recent"]]
        assert [(one.change, one.reason, one.sequence) for one in mine] == [
            ("left", "rebuild", 6),
            ("joined", "event", 7),
        ]

    async def test_an_open_membership_goes_on_under_the_profiles_number(self, service: Service) -> None:
        """Where the profile has counted further than the table, the stay takes that number and ends with the next."""
        ids = await ids_of(service.database)
        await apply_change(service, "a count is changed")
        await drain(service)
        await rebuilt(service, NOW)
        await service.take([event(5_000, "customer.deleted", NOW, "c1")], NOW)

        mine = [one for one in await published(service) if one.segment_id == ids["all"]]
        assert [(one.change, one.sequence) for one in mine] == [("left", 4)]


class TestNames:
    """What a customer goes by."""

    @pytest.mark.parametrize("is_told", [True, False])
    async def test_they_are_found_again(self, service: Service, is_told: bool) -> None:
        """The id as it was given comes from the facts where profile and table have lost it; else the UUID stands in."""
        if not is_told:
            await service.run("DELETE FROM customer_facts WHERE customer_id = :c1", c1=C1)
        await service.run("UPDATE customers SET external_id = 'c2' WHERE customer_id = :c1", c1=C1)
        await service.run("UPDATE profiles SET state = '' WHERE customer_id = :c1", c1=C1)
        await rebuilt(service, NOW)

        async with service.database.session() as connection:
            name = await connection.fetchval("SELECT external_id FROM customers WHERE customer_id = $1", C1)
        assert name == ("c1" if is_told else str(C1))
        assert not (await verify(service.database, None, NOW)).has_drift


class TestCounts:
    """How many members a segment has, as the API shows it."""

    async def test_they_are_made_right(self, service: Service) -> None:
        """A wrong count is found and mended, whatever still waits in the outbox; right ones are left alone."""
        ids = await ids_of(service.database)
        right = {ids["all"]: 12}
        await service.run("UPDATE customer_segments SET customer_count = 99 WHERE id = :id", id=ids["all"])
        dry = await rebuilt(service, NOW, is_emitting=False)
        done = await rebuilt(service, NOW)
        await drain(service)

        shown = {one["id"]: one["count_drift"] for one in dry.to_json()["segments"]}
        assert shown.pop(str(ids["all"])) == {"stored": 99, "facts": 0}
        assert set(shown.values()) == {None}
        assert done.to_json()["repaired"]["counts"] == 1
        assert (await counts(service)).items() >= right.items()
        assert not (await rebuilt(service, NOW, is_emitting=False)).differs

    async def test_beside_the_relay(self, service: Service) -> None:
        """A relay that counts on at the same moment waits, and what it counts is not counted twice."""
        ids = await ids_of(service.database)
        await service.run("UPDATE customer_segments SET customer_count = 99 WHERE id = :id", id=ids["all"])
        async with service.database.batch() as connection:
            await connection.execute("SELECT FROM customer_segments WHERE id = $1 FOR UPDATE", ids["all"])
            jobs = [asyncio.create_task(drain(service)), asyncio.create_task(rebuilt(service, NOW))]
            await asyncio.wait(jobs, timeout=3)
        await asyncio.gather(*jobs)
        await drain(service)

        assert (await counts(service))[ids["all"]] == 12


class TestFaults:
    """What goes wrong on the way."""

    async def test_killed_in_the_middle(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        """A slice that dies before its commit leaves nothing; those before stay, and the same again does the rest."""
        monkeypatch.setattr(use_case, "CUSTOMERS_AT_ONCE_MAX", 3)
        await drain(service)
        sound = set(await open_memberships(service))
        await service.run(LOSE_ALL)
        write, calls = PostgresRepairs.write_outbox, []

        async def dies(self: PostgresRepairs, *arguments: Any) -> None:
            await write(self, *arguments)
            calls.append(1)
            if len(calls) == 3:
                raise Dead

        monkeypatch.setattr(PostgresRepairs, "write_outbox", dies)
        with pytest.raises(Dead):
            await rebuilt(service, NOW)
        partly = await open_memberships(service)
        assert set(partly) == net(set(), await published(service))
        assert {customer_id for customer_id, _ in partly} == set(
            sorted({customer_id for customer_id, _ in sound}, key=lambda one: one.int)[:6]
        )
        await rebuilt(service, NOW)

        assert set(await open_memberships(service)) == sound
        changes = await published(service)
        assert len({(one.customer_id, one.segment_id) for one in changes}) == len(changes) == len(sound)
        await drain(service)
        assert sum((await counts(service)).values()) == len(sound)

    async def test_who_cannot_be_recounted_is_set_aside(self, service: Service) -> None:
        """Facts that nobody can read stop that one customer's repair, are reported, and hold up nobody else."""
        await drain(service)
        sound = set(await open_memberships(service))
        await service.run(LOSE_ALL)
        await service.run(
            """UPDATE customer_facts SET data = '{"name": 5}' WHERE customer_id = :c1 AND kind = 'registered'""", c1=C1
        )
        done = await rebuilt(service, NOW)

        assert done.repaired is not None
        assert done.repaired.set_aside == [C1]
        assert done.repaired.customers == 11
        assert set(await open_memberships(service)) == {one for one in sound if one[0] != C1}

    async def test_another_stored_the_customer_first(self, service: Service) -> None:
        """A customer without a profile whom a batch stores at the same moment is looked at again, and sound after."""
        await drain(service)
        sound = set(await open_memberships(service))
        copy = "CREATE TABLE kept AS SELECT * FROM profiles"
        await service.run(copy)
        await apply_change(service, "a profile is lost")
        async with service.database.batch() as connection:
            await connection.execute("INSERT INTO profiles SELECT * FROM kept WHERE customer_id = $1", C1)
            job = asyncio.create_task(rebuilt(service, NOW))
            await asyncio.wait([job], timeout=2)
            assert not job.done()
        done = await job

        assert done.repaired is not None
        assert done.repaired.set_aside == []
        assert await published(service) == []
        assert set(await open_memberships(service)) == sound
        assert not (await verify(service.database, None, NOW)).has_drift

    async def test_an_erasure_under_way(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        """An erasure that commits while a repair waits is carried out, with nobody else storing meanwhile."""
        await drain(service)
        erase, modes = PostgresRepairs.erase, []

        async def noted(self: PostgresRepairs, customer_ids: Any) -> None:
            modes.extend(await self.connection.fetch(HELD))
            await erase(self, customer_ids)

        monkeypatch.setattr(PostgresRepairs, "erase", noted)
        await apply_change(service, "a total is changed")
        async with service.database.batch() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(7300005)")
            await connection.execute("SELECT FROM profiles WHERE customer_id = $1 FOR UPDATE", C1)
            await connection.execute("INSERT INTO erasures (customer_id) VALUES ($1)", C1)
            job = asyncio.create_task(rebuilt(service, NOW))
            await asyncio.wait([job], timeout=2)
            assert not job.done()
        await job

        assert [row[0] for row in modes] == ["ExclusiveLock"]
        assert not (await verify(service.database, None, NOW)).has_drift
        assert {one.reason for one in await published(service)} == {"erasure"}
        async with service.database.session() as connection:
            assert not await connection.fetchval("SELECT count(*) FROM profiles WHERE customer_id = $1", C1)

    async def test_the_database_refuses(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        """What no customer is at fault for ends it with a sentence instead of setting everybody aside."""
        await apply_change(service, "a total is changed")

        async def refused(*_: object) -> None:
            raise asyncpg.InsufficientPrivilegeError

        monkeypatch.setattr(PostgresRepairs, "mend_profiles", refused)
        with pytest.raises(RepairStopped, match="InsufficientPrivilege"):
            await rebuilt(service, NOW)
