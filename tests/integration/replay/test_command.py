"""`segments replay` on running and on stopped consumers."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from service.adapters.kafka.groups import GroupActiveError, count_members, move_offsets
from service.adapters.postgres.database import Database
from service.adapters.postgres.pauses import CONSUME
from tests.integration.replay.support import Told, outcome_of, refused, replay, settings_of
from tests.world import World, pause, until

PAUSE = "INSERT INTO pauses (name, owner, expires_at) VALUES ($1, 'a replay that died', now() + interval '10 seconds')"


async def test_a_dry_run_says_what_would_be_read_again(made: World, told: Told) -> None:
    """Per partition where the group is, where it would go and how much that is; nothing moves.

    An instant is when the broker took a record. Workers tell their pace some seconds after they had records. What
    cannot be done is refused with one sentence and exit code 1.
    """
    first = replay(made, made.orders, "earliest")
    assert [one["partition"] for one in first["partitions"]] == [0, 1, 2]
    assert all(one["new"] == 0 and one["current"] == one["end"] > 0 for one in first["partitions"])
    assert first["records"] == sum(one["end"] for one in first["partitions"])
    assert (first["executed"], first["active_members"]) == (False, 2)
    some = replay(made, f"{made.orders}:0,2", "5")["partitions"]
    assert [(one["partition"], one["new"]) for one in some] == [(0, 5), (2, 5)]

    pause(1.1)
    now = datetime.now(UTC).isoformat()
    pause(1.1)
    made.publish(told.events[:50], "--topic", made.customers)
    made.wait_idle()
    assert replay(made, made.customers, now)["records"] == 50
    assert replay(made, made.orders, now)["records"] == 0
    assert replay(made, made.customers, "1969-07-20T20:17:00Z")["records"] > 50

    until(lambda: replay(made, made.orders, "earliest")["estimated_seconds"] is not None)
    text = made.run("replay", "--topic", made.orders, "--from", "earliest")
    assert f"{first['records']} records to read again, about" in text
    assert "Nothing was changed" in text
    assert replay(made, made.orders, "earliest")["partitions"] == first["partitions"]

    assert "is no input topic" in refused(made, "--topic", made.membership, "--from", "earliest")
    assert "is neither earliest" in refused(made, "--topic", made.orders, "--from", "long ago")
    assert "beyond the end" in refused(made, "--topic", made.orders, "--from", "1000000")
    assert "has no partition 3" in refused(made, "--topic", f"{made.orders}:3", "--from", "earliest")
    assert "--pause: goes with" in refused(made, "--topic", made.orders, "--from", "0", "--pause")


class TestStopped:
    """With --execute and no consumers."""

    async def test_everything_is_read_again_and_nothing_changes(
        self, made: World, database: Database, told: Told
    ) -> None:
        """From the earliest record of both topics: same members, same stays, nothing published, no letter twice."""
        made.kill("consume", 0)
        assert made.stop("consume", 1) == 0
        until(lambda: replay(made, made.orders, "earliest")["active_members"] == 0)
        for topic in (made.orders, made.customers):
            moved = replay(made, topic, "earliest", "--execute")
            assert moved["executed"]
            assert moved["records"] > 0
            assert {one["current"] for one in replay(made, topic, "earliest")["partitions"]} == {0}

        made.start("consume")
        made.wait_idle()

        assert all(one["current"] == one["end"] for one in replay(made, made.orders, "earliest")["partitions"])
        assert await outcome_of(made, database) == told.outcome
        made.verify()


class TestActive:
    """With --execute while consumers run."""

    async def test_they_step_aside_and_go_on(self, made: World, database: Database, told: Told) -> None:
        """Without --pause they are two reasons to refuse, and the broker lets nobody move what is in use.

        With it the same processes leave the group, read from the earliest again, and nothing changes.
        """
        before = replay(made, made.orders, "earliest")["partitions"]
        said = refused(made, "--topic", made.orders, "--from", "earliest", "--execute")
        assert "2 active members" in said
        assert "--pause" in said
        with pytest.raises(GroupActiveError):
            await move_offsets(settings_of(made), {(made.orders, 0): 0})
        assert replay(made, made.orders, "earliest")["partitions"] == before

        pids = [made.processes[f"consume-{slot}"].pid for slot in (0, 1)]
        for topic in (made.orders, made.customers):
            moved = replay(made, topic, "earliest", "--execute", "--pause")
            assert moved["executed"]
            assert moved["records"] == sum(one["end"] for one in moved["partitions"]) > 0
        made.publish(told.events[:5])
        made.wait_idle()

        assert await outcome_of(made, database) == told.outcome
        assert [made.processes[f"consume-{slot}"].pid for slot in (0, 1)] == pids
        assert all(made.processes[f"consume-{slot}"].poll() is None for slot in (0, 1))
        assert "stepping aside" in (made.folder / "consume-0.log").read_text()
        async with database.session() as connection:
            assert await connection.fetchval("SELECT count(*) FROM pauses") == 0
        assert [made.stop("consume", slot) for slot in (0, 1)] == [0, 0]

    async def test_a_replay_that_died_stops_nobody(self, made: World, database: Database, told: Told) -> None:
        """A pause whose owner is gone keeps others out while it lasts, ends by itself, and the consumers come back."""
        async with database.session() as connection:
            await connection.execute(PAUSE, CONSUME)
        started = time.monotonic()
        said = refused(made, "--topic", made.orders, "--from", "earliest", "--execute", "--pause")

        assert "a replay that died" in said
        while await count_members(settings_of(made)):
            pause(0.2)
        assert time.monotonic() - started < 10
        made.publish(told.events[:20])
        made.wait_idle()

        assert time.monotonic() - started < 30
        assert await count_members(settings_of(made)) == 2
        assert await outcome_of(made, database) == told.outcome
