"""A service with all that the language knows: behaviour, other segments, pins, static segments, orders."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import text

from service.adapters.postgres.database import Database
from service.adapters.postgres.segments import PostgresSegments
from service.adapters.postgres.verify import verify
from service.app.pins import ADD, REMOVE, PinChange, pin_customers, read_ids
from service.app.segment_changes import create_segment, update_segment
from service.app.segments import NewSegment, SegmentChange
from service.app.verify import Report
from service.core import instants
from tests.facts import Service
from tests.integration.support import event
from tests.world import AUTHOR

DAY = instants.DAY
NOW = instants.parse("2024-06-01T00:00:00Z")
ORDER = {"currency": "EUR", "total": 60, "items": [{"product_id": "p", "category": "books"}, {"product_id": "q"}]}
VIEWS = {"activity": {"name": "view", "window": {"days": 30}, "count": {"operator": "gte", "value": 2}}}
STEPS = [{"activity": {"name": "view"}}, {"order": {}, "not": True}]
LAPSED = {"sequence": {"steps": STEPS, "within": {"days": 2}}}


def now() -> int:
    """A clock that stands still."""
    return NOW


def history() -> list[bytes]:
    """Six customers: two views each at various ages; every second one ordered the day after the first."""
    lines = []
    for number in range(6):
        customer, at = f"c{number}", NOW - (59 - 10 * number) * DAY
        lines += [
            event(number * 10, "customer.registered", at, customer, traits={"tier": "gold"}),
            event(number * 10 + 1, "customer.activity", at, customer, name="view", properties={"n": number}),
            event(number * 10 + 2, "customer.activity", at + 5 * DAY, customer, name="view", properties={"n": 1}),
        ]
        if number % 2:
            lines.append(event(number * 10 + 3, "order.placed", at + DAY, customer, order_id="o", **ORDER))
    return lines


class Shop(Service):
    """The use cases with definitions made and changed as the API does."""

    ids: dict[str, UUID]

    async def create(self, name: str, criteria: Any = None) -> str:
        """A new segment, static without criteria, and its backfill; gives its id."""
        new = NewSegment(name, criteria, segment_type="static" if criteria is None else "dynamic")
        async with self.database.transaction() as connection:
            self.ids[name] = (await create_segment(PostgresSegments(connection), now, AUTHOR, new)).id
        await self.settle()
        return str(self.ids[name])

    async def change(self, name: str, **changes: Any) -> None:
        """Changes a segment; its backfill waits."""
        async with self.database.transaction() as connection:
            store = PostgresSegments(connection)
            await update_segment(store, now, AUTHOR, self.ids[name], SegmentChange(**changes), is_silent=False)

    async def settle(self) -> None:
        """Ends all backfills."""
        await self.backfill(NOW)
        await self.run("UPDATE customer_segments SET backfill_state = 'done', is_kept = status = 'active'")

    async def pin(self, name: str, action: str, *customers: str) -> None:
        """Adds or removes by hand."""
        change = PinChange(self.ids[name], action, AUTHOR, NOW)
        await pin_customers(self.batches, now, change, read_ids(list(customers)))

    async def verify(self, *names: str) -> Report:
        """The report on these segments, or on all."""
        return await verify(self.database, [self.ids[name] for name in names] or None, NOW)

    async def members(self) -> dict[str, str]:
        """Open memberships by segment."""
        found = dict.fromkeys(self.ids, "")
        async with self.database.transaction() as connection:
            rows = await connection.execute(text(MEMBERS))
            return found | {row[0]: row[1] for row in rows}


MEMBERS = """
SELECT segment_name, string_agg(external_id, ' ' ORDER BY external_id)
FROM customer_segment_memberships m JOIN customer_segments s ON s.id = m.segment_id JOIN customers USING (customer_id)
WHERE left_at IS NULL
GROUP BY segment_name
"""


async def sound_shop(database: Database) -> Shop:
    """Segments of every kind, events, pins and timers fired; `stranger` is known by a pin alone."""
    made = Shop(database, "EUR")
    made.ids = {}
    await made.take(history(), NOW, size=5)
    views, listed = await made.create("views", VIEWS), await made.create("listed")
    await made.create("lapsed", LAPSED)
    await made.create("neither", {"not_member_of": views, "all": [{"not_member_of": listed}]})
    await made.create("others", {"not_member_of": views})
    await made.create("listed views", {"member_of": views, "any": [{"member_of": listed}]})
    await made.pin("listed", ADD, "c5", "c0", "stranger")
    await made.pin("views", ADD, "c1")
    await made.pin("views", REMOVE, "c4")
    await made.fire(NOW)
    return made
