"""The same events again: published anew, or from another cluster with other partition counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.adapters.postgres.database import Database
from service.settings import load_settings
from service.stack.servers import start_servers
from tests import shop
from tests.integration.replay.support import GARBAGE, Told, outcome_of
from tests.integration.test_dead_letters import letters_of
from tests.world import World, create, members, pause

PLACES = "SELECT DISTINCT cluster FROM dead_letters"
FRONTIER = "SELECT cluster, sum(next_offset) FROM input_frontier GROUP BY 1"


@pytest.fixture
def other_cluster(tmp_path_factory: pytest.TempPathFactory, server_url: str) -> Iterator[str]:
    """The address of a second broker, a cluster of its own."""
    folder: Path = tmp_path_factory.mktemp("cluster")
    with start_servers(load_settings(database_url=server_url), folder) as servers:
        yield servers.kafka_bootstrap


def moved(made: World, kafka: str, partitions: int) -> World:
    """The same database, names of topics and group, on this broker."""
    names = ("orders", "customers", "membership", "dead_letter")
    there = World(kafka, made.database_url, made.clock, partitions=str(partitions))
    same = [*(f"SEGMENTS_{name.upper()}_TOPIC" for name in names), "SEGMENTS_CONSUMER_GROUP"]
    there.env |= {name: made.env[name] for name in same}
    there.orders, there.customers, there.membership, there.dead = (
        made.orders,
        made.customers,
        made.membership,
        made.dead,
    )
    there.run("migrate")
    return there


def stop_all(made: World) -> None:
    """Ends all roles as an operator would."""
    for slot in (0, 1):
        assert made.stop("consume", slot) == 0
    assert made.stop("relay") == 0
    assert made.stop("timers") == 0


async def test_published_again(made: World, database: Database, told: Told) -> None:
    """Every event again, to the other topic and in reverse; then on new topics of one and of five partitions.

    No transition, nothing published, the same members; the new topics are read by a new group.
    """
    made.publish(told.events)
    made.publish(reversed(told.events), "--topic", made.customers)
    made.wait_idle()
    assert await outcome_of(made, database) == told.outcome

    stop_all(made)
    for partitions in ("1", "5"):
        there = World(made.kafka, made.database_url, made.clock, partitions=partitions)
        there.start_all(workers=2)
        there.publish(told.events)
        there.wait_idle()
        there.close()
        assert there.changes() == []
    assert (await outcome_of(made, database)).memberships == told.outcome.memberships
    made.verify()


class TestAnotherCluster:
    """A new broker, where offsets begin at 0 again under the same names."""

    async def test_no_transition_and_no_letter_lost(
        self, made: World, database: Database, told: Told, other_cluster: str
    ) -> None:
        """All events again on the new cluster: nothing is published; bad records, at the same places, are new letters.

        With as many partitions as before every record lies where it lay in the old cluster.
        """
        stop_all(made)
        there = moved(made, other_cluster, partitions=3)
        there.publish(told.events)
        there.run("publish", "-", "--topic", there.orders, data=GARBAGE)
        there.start_all(workers=2)
        there.wait_idle()
        report = there.verify()
        letters = letters_of(there)
        changes = there.changes()
        there.close()

        assert changes == []
        assert await members(database) == told.outcome.members
        assert (await outcome_of(made, database)).memberships == told.outcome.memberships
        assert sum(one["members"] for one in report["segments"]) == sum(map(len, told.outcome.members.values()))
        assert len(letters) == told.outcome.letters_sent == GARBAGE.count(b"\n")
        async with database.session() as connection:
            assert len(await connection.fetch(PLACES)) == 2
            assert len(await connection.fetch(FRONTIER)) == 2

    async def test_timers_wait_for_the_new_input(self, made: World, database: Database, other_cluster: str) -> None:
        """The frontier of the old cluster is far ahead, and says nothing: no window closes over unread input."""
        recent = {"last_order_date": {"operator": "within_last", "days": 30}}
        [segment] = (await create(database, {"recent": recent}, shop.CLOCK)).values()
        made.start_all(workers=2)
        # Many events without a customer take the old cluster's frontier ahead.
        made.publish([order(f"g{number}", None, "2024-02-01T00:00:00Z") for number in range(300)])
        made.publish([order("first", "ann", "2024-04-20T00:00:00Z")])
        made.wait_idle()
        stop_all(made)

        there = moved(made, other_cluster, partitions=3)
        there.env["SEGMENTS_CLOCK"] = "2024-06-20T00:00:00Z"
        there.publish([order("second", "ann", "2024-05-05T00:00:00Z")])
        there.start("timers")
        there.start("relay")
        pause(9)  # under a fixed clock timers wait for five quiet seconds
        early = there.changes()
        there.start("consume")
        there.wait_idle()
        changes = [(one.segment_id, one.change, one.effective_at) for one in there.changes()]
        there.close()

        assert early == []
        assert changes == [(segment, "left", "2024-06-04T00:00:00Z")]


def order(order_id: str, customer: str | None, at: str) -> dict:
    """An order.placed."""
    data = {"order_id": order_id, "customer_id": customer, "currency": "USD", "total": 1}
    kind = {"specversion": "1.0", "source": "/t", "type": "order.placed"}
    return {**kind, "id": order_id, "time": at, "data": data}
