"""What the roles count about real batches: every record once, by what became of it; nothing twice after a replay."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from consumers.counting import count_batch
from service.adapters.postgres import totals
from service.adapters.postgres.database import Database
from service.app import metrics
from service.app.batch import Outcome
from service.app.ingest import Record, decode_batch
from service.app.metrics import Values
from service.app.tally import Tally
from service.core import instants
from service.core.events.decode import Rules
from tests import shop
from tests.integration.support import event
from tests.integration.test_dead_letters import BAD, ORDER, cloud, encoded, rewind, send
from tests.world import World, create

NOW = instants.parse("2024-03-01T00:00:00Z")


async def told(made: World, database: Database) -> Values:
    """All totals once every role has been told to stop, which tells them."""
    for name in list(made.processes):
        assert made.stop(*name.split("-")[:1]) == 0
    async with database.session() as connection:
        return await totals.read(connection)


def outcomes(found: Values) -> Counter[tuple[str, str]]:
    """(type, outcome) -> records."""
    rows = {labels: int(value) for (name, labels), value in found.items() if name == metrics.EVENTS.name}
    return Counter({(labels[0], labels[1]): count for labels, count in rows.items()})


def value(found: Values, metric: metrics.Metric, *labels: str) -> float:
    """One total."""
    return found.get((metric.name, labels), 0)


class TestThroughKafka:
    """Roles as processes."""

    async def test_each_record_counts_once(self, made: World, database: Database) -> None:
        """Applied, duplicate, dead and stale add up to the records read, at first and after a replay."""
        await create(database, {"buyers": {"total_orders": {"operator": "gte", "value": 1}}}, shop.CLOCK)
        good = [
            encoded(cloud(id=f"g{n}", data={**ORDER, "customer_id": f"good{n}", "order_id": f"o{n}"})) for n in range(5)
        ]
        gone = {**ORDER, "customer_id": "gone", "order_id": "og"}
        records: list[tuple[bytes | None, bytes | None, list]] = [(b"k", one, []) for one in (*good, good[0], good[0])]
        records += [(b"bad", one, headers) for _, one, headers in BAD]
        records += [
            (b"k", encoded(cloud(id="g", data=gone)), []),
            (b"k", encoded(cloud("customer.deleted", id="d", time="2024-02-02T00:00:00Z", data=gone)), []),
            (b"k", encoded(cloud(id="later", time="2024-02-03T00:00:00Z", data=gone)), []),
        ]
        await send(made, records)
        made.start_all()
        made.wait_idle()
        made.stop("consume")
        made.start("consume")
        await send(made, [(b"k", encoded(cloud(id="last", data=gone)), [])])
        made.wait_idle()
        first = await told(made, database)
        await rewind(made)
        made.start_all()
        made.wait_idle()
        again = await told(made, database)

        found = outcomes(first)
        assert found == {
            ("order.placed", "applied"): 6,
            ("customer.deleted", "applied"): 1,
            ("order.placed", "duplicate"): 2,
            ("order.placed", "stale"): 2,
            ("unknown", "dead"): len(BAD),
        }
        assert found.total() == len(records) + 1
        reasons = Counter(reason for reason, _, _ in BAD)
        for reason, count in {**reasons, "erased": 2}.items():
            assert value(first, metrics.LETTERS, made.orders, reason) == count
        assert value(first, metrics.CHANGES, "joined") == 6
        assert value(first, metrics.CHANGES, "left") == 1
        assert sum(count for (name, _), count in first.items() if name == f"{metrics.EVENT_AGE.name}_bucket") == 7
        # Read again, the erased customer's own first events are stale, too; all else is known.
        second = outcomes(again)
        assert second.total() == 2 * (len(records) + 1)
        assert second["order.placed", "applied"] == 6
        assert second["unknown", "dead"] == len(BAD)
        assert second["order.placed", "stale"] == 3
        assert second["customer.deleted", "stale"] == 1
        assert second["unknown", "duplicate"] == len(BAD)
        assert second["order.placed", "duplicate"] == 2 + 7 + 2
        assert value(again, metrics.CHANGES, "joined") == 6

    async def test_timers_and_backfills(self, made: World, database: Database) -> None:
        """Who is moved on by time, and whom a backfill looks at, is counted; who is killed loses seconds at most."""
        window = {"total_orders": {"operator": "gte", "value": 1, "window": {"days": 1}}}
        made.publish([cloud(id=f"g{n}", data={**ORDER, "customer_id": f"c{n}", "order_id": f"o{n}"}) for n in range(3)])
        made.start_all()
        made.wait_idle()
        await create(database, {"fresh": window}, shop.CLOCK)
        made.wait_idle()
        await create(database, {"everybody": {}}, shop.CLOCK)
        made.wait_idle()
        found = await told(made, database)

        assert value(found, metrics.BACKFILLED) >= 3
        assert value(found, metrics.CHANGES, "joined") >= 3


class TestOneBatch:
    """The counting itself."""

    def batch(self, *values: bytes) -> Any:
        """A batch as it is decoded."""
        records = [Record("orders", 0, place, 0, None, one, []) for place, one in enumerate(values)]
        return decode_batch(records, Rules("USD", 1_000_000, True), NOW)

    def test_ages_and_seconds(self) -> None:
        """Applied events alone have an age, by the clock and never below 0; a batch takes its seconds once."""
        ages = (0, 2_000_000, 100_000_000_000)
        decoded = self.batch(*(event(n, "customer.logged_in", NOW - age, "c") for n, age in enumerate(ages)), b"junk")
        tally = Tally()
        count_batch(tally, decoded, Outcome(fresh=decoded.events, letters=decoded.letters), NOW - 500_000, 0.2)
        found = tally.look()

        assert outcomes(found) == {("customer.logged_in", "applied"): 3, ("unknown", "dead"): 1}
        edges = {labels[0] for (name, labels) in found if name == f"{metrics.EVENT_AGE.name}_bucket"}
        assert edges == {"0.05", "2.5", "604800.0"}
        assert found[f"{metrics.EVENT_AGE.name}_sum", ()] == 0 + 1.5 + 99_999.5
        assert found[f"{metrics.PROCESSING.name}_bucket", ("0.25",)] == 1

    def test_a_bucket_holds_its_edge(self) -> None:
        """A value equal to an edge lies below it, counted one by one or together."""
        one, many = Tally(), Tally()
        values = [0.005, 0.0051, 60.0, 60.1]
        for number in values:
            one.observe(metrics.PROCESSING, number)
        many.observe_all(metrics.PROCESSING, np.array(values))

        assert one.look() == many.look()
        assert {labels[0] for (_, labels) in one.look() if labels} == {"0.005", "0.01", "60.0", "+Inf"}
