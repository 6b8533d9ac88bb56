"""Facts in the binary form of COPY, for the two tables that nearly all of them go to; they say what rows would say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from service.adapters.postgres.copy_form import END, FALSE, HEAD, KEY, NULL, TRUE, instant, json, long, text
from service.core.events.model import Event, OrderCancelled, OrderPlaced, OrderUpdated

_encode: Final = msgspec.json.Encoder().encode
_ORDER_COLUMNS: Final = 11
_CUSTOMER_COLUMNS: Final = 6
_ORDER_KINDS: Final = {
    OrderPlaced: text("placed"),
    OrderUpdated: text("updated"),
    OrderCancelled: text("cancelled"),
}
#: What a cancellation says of total, items, codes, status and test.
_NOTHING: Final = NULL * 4 + FALSE


def order_facts_binary(events: Iterable[Event]) -> bytes:
    """All of order_facts' rows as one file, in the order of batch_rows.ORDER_FACT_COLUMNS."""
    parts = [HEAD]
    for event in events:
        data = event.data
        assert isinstance(data, OrderPlaced | OrderUpdated | OrderCancelled)  # noqa: S101 - chosen by split_facts
        order_id = data.order_id.encode()
        parts.append(KEY.pack(_ORDER_COLUMNS, 16, event.customer_id.bytes, len(order_id)))
        parts.append(order_id)
        parts.append(text(event.id))
        parts.append(_ORDER_KINDS[type(data)])
        parts.append(instant(event.at))
        parts.append(text(event.sequence))
        if isinstance(data, OrderCancelled):
            parts.append(_NOTHING)
            continue
        parts.append(long(event.minor_units))
        parts.append(NULL if data.items is None else json(_encode(data.items)))
        parts.append(NULL if data.discount_codes is None else json(_encode(data.discount_codes)))
        parts.append(text(data.status))
        parts.append(TRUE if type(data) is OrderPlaced and data.test is True else FALSE)
    parts.append(END)
    return b"".join(parts)


def customer_facts_binary(events: Iterable[Event]) -> bytes:
    """All of customer_facts' rows as one file, in the order of batch_rows.CUSTOMER_FACT_COLUMNS."""
    parts = [HEAD]
    kinds: dict[str, bytes] = {}
    for event in events:
        kind = kinds.get(event.type)
        if kind is None:
            kind = kinds[event.type] = text(event.type.removeprefix("customer."))
        event_id = event.id.encode()
        parts.append(KEY.pack(_CUSTOMER_COLUMNS, 16, event.customer_id.bytes, len(event_id)))
        parts.append(event_id)
        parts.append(kind)
        parts.append(instant(event.at))
        parts.append(text(event.sequence))
        parts.append(json(_encode(event.data)))
    parts.append(END)
    return b"".join(parts)
