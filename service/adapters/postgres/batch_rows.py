"""Between the core's values and rows of the hot path's statements."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from service.app.exact_json import dumps, stored
from service.app.ports import DeadLetter, StoredFact
from service.core.events.model import (
    Activity,
    Event,
    Item,
    Location,
    OrderCancelled,
    OrderPlaced,
    OrderRefunded,
    OrderUpdated,
)
from service.core.instants import MISSING, from_datetime, to_datetime
from service.core.profiles.attributes import traits_of
from service.core.profiles.codec import encode_state
from service.core.profiles.ledger import ActivityFact, Contribution, OrderFact, RefundFact
from service.core.profiles.profile import Profile
from service.core.segments.walk import Transition

_items: Final = msgspec.json.Decoder(list[Item])

ORDER_FACT_COLUMNS: Final = ("customer_id", "order_id", "event_id", "kind", "time", "sequence") + (
    "total",
    "items",
    "discount_codes",
    "status",
    "is_test",
)
REFUND_COLUMNS: Final = ("customer_id", "refund_id", "event_id", "order_id", "time", "sequence", "amount")
CUSTOMER_FACT_COLUMNS: Final = ("customer_id", "event_id", "kind", "time", "sequence", "data")
ACTIVITY_COLUMNS: Final = ("customer_id", "event_id", "name", "time", "sequence", "properties")
PROFILE_COLUMNS: Final = (
    "customer_id",
    "total_orders",
    "total_spent",
    "first_seen_at",
    "registered_at",
    "last_order_at",
) + (
    "last_login_at",
    "evaluated_to",
    "next_due_at",
    "born",
    "mark",
    "shape_version",
    "ordinals",
    "state",
    "is_over_limit",
)
ORDER_COLUMNS: Final = ("customer_id", "order_id", "placed_at", "total", "amount", "products", "categories")
_TEXTS: Final = ("name", "first_name", "email", "phone", "locale", "timezone", "customer_type")
_PLACES: Final = ("country", "state", "city")
_FLAGS: Final = ("email_subscribed", "sms_subscribed", "push_subscribed")
CUSTOMER_COLUMNS: Final = ("customer_id", "external_id", *_TEXTS, *_PLACES, *_FLAGS, "traits")
MEMBERSHIP_COLUMNS: Final = (
    "customer_id",
    "segment_id",
    "ordinal",
    "joined_at",
    "left_at",
    "membership_source",
    "left_reason",
) + ("segment_version", "recorded_at", "left_recorded_at")


def order_id(event: Event) -> str | None:
    """The order an event touches."""
    return getattr(event.data, "order_id", None)


def refund_id(event: Event) -> str | None:
    """The refund an event is."""
    return event.data.refund_id if isinstance(event.data, OrderRefunded) else None


def order_fact(row: Any) -> StoredFact:
    """One row of order_facts, in the order of columns of batch_sql."""
    customer_id, event_id, order, kind, time, sequence, total, items, is_test = row
    stamp = (from_datetime(time), sequence is not None, sequence or "", event_id)
    held = None if items is None else _items.decode(items)
    return StoredFact(customer_id, event_id, OrderFact(order, kind, stamp, total, held, is_test))


def refund_fact(row: Any) -> StoredFact:
    """One row of refunds, in the order of columns of batch_sql."""
    customer_id, event_id, refund, order, time, sequence, amount = row
    stamp = (from_datetime(time), sequence is not None, sequence or "", event_id)
    return StoredFact(customer_id, event_id, RefundFact(refund, order, stamp, amount))


def activity_fact(row: Any) -> StoredFact:
    """One row of activities, in the order of columns of batch_sql."""
    customer_id, event_id, name, time, properties = row
    return StoredFact(customer_id, event_id, ActivityFact(name, from_datetime(time), stored(properties)))


class Facts(NamedTuple):
    """Events by the table that they go to; those without a table of their own are facts of customers."""

    orders: list[Event]
    refunds: list[Event]
    activities: list[Event]
    customers: list[Event]


def split_facts(events: Iterable[Event]) -> Facts:
    """Each event with its like, in order."""
    found = Facts([], [], [], [])
    places = {OrderRefunded: found.refunds, Activity: found.activities}
    places |= dict.fromkeys((OrderPlaced, OrderUpdated, OrderCancelled), found.orders)
    for event in events:
        places.get(type(event.data), found.customers).append(event)
    return found


def refund_row(event: Event) -> tuple[Any, ...]:
    """One row of refunds, in the order of REFUND_COLUMNS."""
    data = event.data
    assert isinstance(data, OrderRefunded)  # noqa: S101 - chosen by split_facts
    time = to_datetime(event.at)
    return event.customer_id, data.refund_id, event.id, data.order_id, time, event.sequence, event.minor_units


def activity_row(event: Event) -> tuple[Any, ...]:
    """One row of activities, in the order of ACTIVITY_COLUMNS."""
    data = event.data
    assert isinstance(data, Activity)  # noqa: S101 - chosen by split_facts
    properties = _json(data.properties) if event.scalars is not None else "{}"
    return event.customer_id, event.id, data.name, to_datetime(event.at), event.sequence, properties


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def profile_row(profile: Profile, due: int | None) -> tuple[Any, ...]:
    """One row of profiles, in the order of PROFILE_COLUMNS."""
    return (
        profile.customer_id,
        profile.total_orders,
        profile.total_spent,
        profile.first_seen_at,
        _or_none(profile.registered_at),
        _or_none(profile.last_order_at),
        _or_none(profile.last_login_at),
        profile.evaluated_to,
        due,
        profile.born,
        profile.mark,
        profile.shape_version,
        profile.ordinals,
        encode_state(profile),
        bool(profile.over),
    )


def order_row(customer_id: UUID, order_id: str, order: Contribution) -> tuple[Any, ...]:
    """One row of orders, in the order of ORDER_COLUMNS."""
    products = sorted({item.product_id for item in order.items})
    categories = sorted({item.category for item in order.items if item.category is not None})
    return customer_id, order_id, to_datetime(order.at), order.total, order.amount, products, categories


def _or_none(instant: int) -> int | None:
    return None if instant == MISSING else instant


def customer_row(profile: Profile) -> tuple[Any, ...]:
    """One row of customers, in the order of CUSTOMER_COLUMNS."""
    found = {name: value for name, (value, _) in profile.attributes.items() if value is not None}
    place = found.get("location") or Location()
    traits = {name: _exact(value) for name, value in traits_of(profile.attributes)}
    return (
        profile.customer_id,
        profile.external_id,
        *(found.get(name) for name in _TEXTS),
        *(getattr(place, part) for part in _PLACES),
        *(found.get(name) for name in _FLAGS),
        dumps(traits).decode(),
    )


def _exact(value: object) -> object:
    """Whole numbers beyond 64 bits as Decimal, which the JSON encoder writes digit by digit."""
    is_wide = isinstance(value, int) and not -(2**63) <= value < 2**63
    return Decimal(str(value)) if is_wide else value


def membership_rows(
    transitions: Sequence[Transition], recorded_at: int
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Memberships to insert, those that already ended again included; and those to close that are stored."""
    now = to_datetime(recorded_at)
    opened: dict[tuple[UUID, UUID], list[Any]] = {}
    ended, closed = [], []
    for one in transitions:
        key = (one.profile.customer_id, one.definition.segment_id)
        at = to_datetime(one.effective_at)
        if one.has_joined:
            opened[key] = [*key, one.ordinal, at, None, one.reason, None, one.definition.version, now, None]
        elif key in opened:
            row = opened.pop(key)
            row[4], row[6], row[9] = at, one.reason, now
            ended.append(tuple(row))
        else:
            closed.append((*key, one.ordinal - 1, at, one.reason, now))
    return [*ended, *map(tuple, opened.values())], closed


def letter_row(letter: DeadLetter) -> tuple[Any, ...]:
    """One row of dead_letters, in the order of INSERT_DEAD_LETTERS."""
    headers = [
        [_no_nul(name), None if value is None else _no_nul(value.decode("latin-1"))] for name, value in letter.headers
    ]
    if letter.value is not None and letter.size > len(letter.value):
        headers.append(["x-truncated", str(letter.size)])
    place = (letter.reason, letter.error, letter.topic, letter.partition, letter.offset)
    return (*place, letter.key, letter.value, json.dumps(headers), letter.customer_id)


def _no_nul(text: str) -> str:
    """U+FFFD for U+0000, which jsonb cannot hold; no byte decodes to it, so a redrive can tell them apart."""
    return text.replace("\0", "\ufffd")
