"""Rows of `orders` in the binary form of COPY."""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Final
from uuid import UUID

from service.adapters.postgres.copy_form import END, HEAD, KEY, LENGTH, ORIGIN
from service.core.profiles.ledger import Contribution

#: placed_at, total and amount, each with its length.
_NUMBERS: Final = Struct("!iqiqiq")
#: Length of the whole, dimensions, whether any is null, type of the elements, how many, number of the first.
_ARRAY: Final = Struct("!iiiIii")
_EMPTY: Final = Struct("!iiiI")
_TEXT_TYPE: Final = 25


def orders_binary(orders: Iterable[tuple[UUID, str, Contribution]]) -> bytes:
    """All rows as one file, in the order of batch_rows.ORDER_COLUMNS; they say what `order_row` says."""
    parts = [HEAD]
    for customer_id, order_id, order in orders:
        key = order_id.encode()
        parts.append(KEY.pack(7, 16, customer_id.bytes, len(key)))
        parts.append(key)
        parts.append(_NUMBERS.pack(8, order.at - ORIGIN, 8, order.total, 8, order.amount))
        parts.append(_array({item.product_id for item in order.items}))
        parts.append(_array({item.category for item in order.items if item.category is not None}))
    parts.append(END)
    return b"".join(parts)


def _array(texts: set[str]) -> bytes:
    """An array of these texts, ascending, with its length."""
    if not texts:
        return _EMPTY.pack(12, 0, 0, _TEXT_TYPE)
    raw = [text.encode() for text in (sorted(texts) if len(texts) > 1 else texts)]
    whole = b"".join([LENGTH.pack(len(one)) + one for one in raw])
    return _ARRAY.pack(20 + len(whole), 1, 0, _TEXT_TYPE, len(raw), 1) + whole
