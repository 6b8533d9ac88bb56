"""Orders written in the binary form of COPY are those that the driver writes from rows."""

from __future__ import annotations

from uuid import UUID

from service.adapters.postgres.batch_rows import ORDER_COLUMNS, order_row
from service.adapters.postgres.database import Database
from service.adapters.postgres.store import PostgresStore
from service.core import instants
from service.core.events.model import Item
from service.core.profiles.ledger import Contribution, OrderChange
from service.core.profiles.profile import Profile

AT = instants.parse("2024-02-29T12:00:00.000001Z")
ITEMS = (
    [],
    [Item("p1")],
    [Item("p2", "b"), Item("p1", "a"), Item("p2", "a")],
    [Item("ä€𝄞", ""), Item("", "ö"), Item("Z", 'x,{}"\\'), Item("a", "NULL")],
)
ORDERS = [
    (f"o{place}ö", Contribution(at, amount, True, items, total))
    for place, (at, items, total, amount) in enumerate(
        (at, items, total, amount)
        for at in (AT, 0, -1, instants.INSTANT_MIN, instants.INSTANT_MAX)
        for items in ITEMS
        for total, amount in ((0, 0), (10**12 - 1, -(10**12) + 1))
    )
]


async def test_orders_are_those_of_rows(database: Database) -> None:
    """Of all kinds of texts, instants and amounts."""
    customer = UUID(int=2**127 + 5)
    changes = [(Profile(customer, "c"), OrderChange(order_id, None, order)) for order_id, order in ORDERS]
    found = []
    for is_binary in (True, False):
        async with database.batch() as connection:
            await connection.execute("DELETE FROM orders")
            if is_binary:
                await PostgresStore(connection, None, None, 0).write_orders(changes)  # type: ignore[arg-type]
            else:
                records = [order_row(customer, *order) for order in ORDERS]
                await connection.copy_records_to_table("orders", records=records, columns=ORDER_COLUMNS)
            found.append(await connection.fetch("SELECT * FROM orders ORDER BY customer_id, order_id"))
    assert [tuple(row) for row in found[0]] == [tuple(row) for row in found[1]]
    assert len(found[0]) == len(ORDERS)
