"""Facts written in the binary form of COPY are those that the driver writes from rows."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from service.adapters.postgres.batch_rows import CUSTOMER_FACT_COLUMNS, ORDER_FACT_COLUMNS
from service.adapters.postgres.database import Database
from service.adapters.postgres.store import PostgresStore
from service.core import instants
from service.core.events.model import (
    CustomerData,
    Deleted,
    DiscountCode,
    Event,
    Item,
    Location,
    LoggedIn,
    OrderCancelled,
    OrderPlaced,
    OrderUpdated,
    Registered,
    Updated,
)

CUSTOMER = UUID(int=2**127 + 5)
TOTAL = msgspec.Raw(b"1.00")
TEXTS = ("", "a", 'ä€𝄞 "\\', "NULL")
INSTANTS = (0, -1, instants.INSTANT_MIN, instants.INSTANT_MAX, instants.parse("2024-02-29T12:00:00.000001Z"))
ITEMS = [Item("ä€𝄞", "x,{}", 2, "9.99"), Item("b", None, 1.5, 3)]


def orders() -> list[Any]:
    """Data of all kinds, whatever may be missing missing."""
    found: list[Any] = [OrderCancelled(f"o{one}", "c") for one in TEXTS]
    for one in TEXTS:
        found.append(OrderPlaced(f"o{one}", "c", "USD", TOTAL))
        found.append(OrderPlaced(f"o{one}", "c", "USD", TOTAL, ITEMS, [DiscountCode(one, "5.00")], one, True))
        found.append(OrderPlaced(f"o{one}", "c", "USD", TOTAL, [], [], None, False))
        found.append(OrderUpdated(f"o{one}", "c"))
        found.append(OrderUpdated(f"o{one}", "c", "USD", TOTAL, ITEMS, [DiscountCode(one)], one))
    return found


def people() -> list[Any]:
    """Data without orders."""
    found: list[Any] = [LoggedIn("c"), Deleted("c"), Registered("c"), Updated("c", location=None)]
    traits = msgspec.Raw(b'{"a": 1.50, "b": null}')
    for one in TEXTS:
        found.append(Registered("c", name=one, location=Location(one, None, "x"), email_subscribed=True, traits=traits))
        found.append(Updated("c", phone=None, sms_subscribed=False))
    return found


def events(data: list[Any], types: dict[type, str]) -> list[Event]:
    """One of each, with other ids, instants and sequences."""
    found = []
    for place, one in enumerate(data):
        amount = (
            (None, 0, 10**12 - 1, -(10**12) + 1)[place % 4] if isinstance(one, OrderPlaced | OrderUpdated) else None
        )
        at, sequence = INSTANTS[place % len(INSTANTS)], (None, "", "ä7")[place % 3]
        kind = types.get(type(one), "customer.updated")
        found.append(Event(kind, f"e{place}ö", at, sequence, CUSTOMER, "c", one, amount))
    return found


def as_json(value: object) -> str | None:
    """As the driver takes a jsonb."""
    return None if value is None else msgspec.json.encode(value).decode()


def order_row(event: Event) -> tuple[Any, ...]:
    """What a fact says, for the driver."""
    data: Any = event.data
    at = instants.to_datetime(event.at)
    key = (event.customer_id, data.order_id, event.id, event.type.removeprefix("order."), at, event.sequence)
    if isinstance(data, OrderCancelled):
        return (*key, None, None, None, None, False)
    is_test = isinstance(data, OrderPlaced) and data.test is True
    return (*key, event.minor_units, as_json(data.items), as_json(data.discount_codes), data.status, is_test)


def customer_row(event: Event) -> tuple[Any, ...]:
    """What a fact says, for the driver."""
    assert isinstance(event.data, CustomerData | LoggedIn | Deleted)
    at, kind = instants.to_datetime(event.at), event.type.removeprefix("customer.")
    return event.customer_id, event.id, kind, at, event.sequence, as_json(event.data)


async def test_facts_are_those_of_rows(database: Database) -> None:
    """Of all kinds of events, texts, instants and amounts."""
    of_orders = {OrderPlaced: "order.placed", OrderUpdated: "order.updated", OrderCancelled: "order.cancelled"}
    bought = events(orders(), of_orders)
    told = events(
        people(), {LoggedIn: "customer.logged_in", Deleted: "customer.deleted", Registered: "customer.registered"}
    )
    found = []
    for is_binary in (True, False):
        async with database.batch() as connection:
            await connection.execute("DELETE FROM order_facts")
            await connection.execute("DELETE FROM customer_facts")
            if is_binary:
                store = PostgresStore(connection, None, None, 0)  # type: ignore[arg-type]
                await store.write_facts([*bought, *told])
            else:
                records: list[tuple[Any, ...]] = list(map(order_row, bought))
                await connection.copy_records_to_table("order_facts", records=records, columns=ORDER_FACT_COLUMNS)
                records = list(map(customer_row, told))
                await connection.copy_records_to_table("customer_facts", records=records, columns=CUSTOMER_FACT_COLUMNS)
            for table in ("order_facts", "customer_facts"):
                rows = await connection.fetch(f"SELECT * FROM {table} ORDER BY event_id")  # noqa: S608 - constants
                found.append([tuple(row) for row in rows])
    assert found[:2] == found[2:]
    assert [len(rows) for rows in found[:2]] == [len(bought), len(told)]
