"""From the bytes of one Kafka record to a checked event, or to the reason why it is none."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import msgspec
from msgspec import UNSET, Raw

from service.core import identity, instants
from service.core.events import model
from service.core.events.check import Fault, checked_scalars, checked_text, has_null_character
from service.core.events.envelope import Envelope, Headers, NoCloudEvent, read_envelope, read_traceparent
from service.core.events.typed import read_typed
from service.core.events.upstream.adapt import Around, adapt
from service.core.money import parse_minor_units

_PRICE: Final = re.compile(r"-?[0-9]{1,10}(\.[0-9]{1,4}0*)?")
_NOT_NAMED: Final = (b"", b"null")
_IN_FULL: Final = b'"full"'
FUTURE_TOLERANCE: Final = 5 * instants.MINUTE
ID_CHARACTERS_MAX: Final = 256


class Rejected(NamedTuple):
    """Why a record is no event: a word for machines, a sentence for people."""

    reason: str
    error: str


class Rules(NamedTuple):
    """What the service's settings ask of an event."""

    currency: str
    bytes_max: int
    is_clock_fixed: bool


_encoder: Final = msgspec.json.Encoder(decimal_format="number")
_data: Final[dict[str, msgspec.json.Decoder[model.Data]]] = {
    name: msgspec.json.Decoder(shape) for name, shape in model.TYPES.items()
}


def decode(
    value: bytes | None, headers: Headers, rules: Rules, now: int, key: bytes | None = None
) -> model.Event | list[model.Event] | Rejected:
    """Reads one record.

    Args:
        value: the record's bytes; None for a tombstone.
        headers: the record's headers as Kafka gave them.
        rules: currency and size to hold it to.
        now: the clock, in microseconds since the epoch.
        key: the record's key; names the customer of webhooks whose body names none.

    Returns:
        The event, or why it is none; a list where the record is of another format that adapters map to ours. Never
        raises for what a record holds.
    """
    if value is None:
        return Rejected("invalid_data", "The record has no value; an event needs one.")
    if len(value) > rules.bytes_max:
        return Rejected("too_large", f"The record has {len(value)} bytes; EVENT_BYTES_MAX allows {rules.bytes_max}.")
    try:
        typed = read_typed(value, headers)
        if typed is not None:
            return _checked(*typed, rules, now)
        try:
            envelope = read_envelope(value, headers)
        except NoCloudEvent as other:
            return _adapted(other, value, key, rules, now)
        return _event(envelope, rules, now)
    except Fault as fault:
        return Rejected(fault.reason, str(fault))
    except msgspec.ValidationError as error:
        return Rejected("invalid_data", f"The event does not have the form of its type: {error}.")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Rejected("invalid_json", f"The record is not JSON in UTF-8: {error}.")
    except (ValueError, ArithmeticError):
        return Rejected("invalid_data", "A value of the event is beyond all measure.")


def _adapted(other: NoCloudEvent, value: bytes, key: bytes | None, rules: Rules, now: int) -> list[model.Event]:
    """Events of a record in another format: all of them are good, or the record is none."""
    mapped = adapt(other.record, other.named, Around(value, key, instants.to_datetime(now), rules.currency))
    if mapped is None:
        raise other
    return [
        _event(
            Envelope(
                specversion="1.0",
                type=one.type,
                id=one.id,
                time=one.time,
                data=Raw(_encoder.encode(one.data)),
                sequence=one.sequence,
                traceparent=other.named.get("traceparent"),
            ),
            rules,
            now,
        )
        for one in mapped
    ]


def _event(envelope: Envelope, rules: Rules, now: int) -> model.Event:
    decoder = _data.get(envelope.type)
    if decoder is None:
        raise Fault(f"type: {envelope.type[:200]!r} is not known here.", "unknown_type")
    at = _checked_envelope(envelope.id, envelope.time, envelope.sequence, rules, now)
    raw_data = bytes(envelope.data)
    if not raw_data:
        raise Fault("data: is missing.")
    data = decoder.decode(raw_data)
    if b"\\u0000" in raw_data and has_null_character(raw_data):
        raise Fault("data: a text holds the character U+0000, which cannot be stored.")
    if "\0" in envelope.id or "\0" in (envelope.sequence or ""):
        raise Fault("id: the character U+0000 cannot be stored.")
    return _checked_data(envelope.type, envelope.id, at, envelope.sequence, envelope.traceparent, data, rules)


def _checked(
    kind: str,
    event_id: str,
    time: datetime,
    sequence: str | None,
    traceparent: str | None,
    data: model.Data,
    rules: Rules,
    now: int,
) -> model.Event:
    """An event that was read in one go: the same checks in the same order, of what holds no U+0000."""
    at = _checked_envelope(event_id, time, sequence, rules, now)
    return _checked_data(kind, event_id, at, sequence, traceparent, data, rules)


def _checked_envelope(event_id: str, time: datetime, sequence: str | None, rules: Rules, now: int) -> int:
    """Gives the instant."""
    checked_text("id", event_id, ID_CHARACTERS_MAX)
    if sequence is not None and len(sequence) > ID_CHARACTERS_MAX:
        raise Fault(f"sequence: must have at most {ID_CHARACTERS_MAX} characters.")
    return _instant(time, rules, now)


def _checked_data(
    kind: str, event_id: str, at: int, sequence: str | None, traceparent: str | None, data: model.Data, rules: Rules
) -> model.Event:
    customer_id, external_id = _customer(data)
    trace = None if traceparent is None else read_traceparent(traceparent)
    event = model.Event(kind, event_id, at, sequence, customer_id, external_id, data, None, None, trace)
    _check_data(event, rules)
    return event


def _instant(time: datetime, rules: Rules, now: int) -> int:
    if time.tzinfo is None:
        raise Fault("time: needs an offset, such as 2024-02-29T12:00:00Z.")
    at = instants.from_datetime(time)
    tolerance = 0 if rules.is_clock_fixed else FUTURE_TOLERANCE
    if at > now + tolerance:
        raise Fault(
            f"time: {time.isoformat()} lies in the future; the clock shows {instants.to_text(now)}.",
            "future_event",
        )
    if at < instants.INSTANT_MIN:
        raise Fault("time: must lie within the years 1 to 9999.")
    return at


def _customer(data: model.Data) -> tuple[UUID, str]:
    external_id = data.customer_id
    if external_id is None:
        return identity.GUEST, ""
    try:
        customer_id = identity.customer_uuid(external_id)
    except ValueError as error:
        raise Fault(f"customer_id: {error}.") from None
    if not customer_id.int:
        raise Fault("customer_id: the UUID of zeros stands for guests; send null.")
    return customer_id, external_id


def _check_data(event: model.Event, rules: Rules) -> None:
    data = event.data
    if isinstance(data, model.OrderPlaced) or isinstance(data, model.OrderUpdated):  # noqa: SIM101 - no union: hot
        checked_text("order_id", data.order_id, ID_CHARACTERS_MAX)
        _check_currency(data.currency, rules)
        _check_items(data.items or ())
    elif isinstance(data, model.OrderRefunded):
        checked_text("refund_id", data.refund_id, ID_CHARACTERS_MAX)
        if data.order_id is not None:
            checked_text("order_id", data.order_id, ID_CHARACTERS_MAX)
        _check_currency(data.currency, rules)
    elif isinstance(data, model.OrderCancelled):
        checked_text("order_id", data.order_id, ID_CHARACTERS_MAX)
    elif isinstance(data, model.CustomerData):
        if data.customer_type not in (UNSET, None, "individual", "business"):
            raise Fault('customer_type: must be "individual" or "business".')
    elif isinstance(data, model.Activity):
        checked_text("name", data.name, ID_CHARACTERS_MAX)
    _read_values(event)


def _read_values(event: model.Event) -> None:
    """Money and scalars, exactly, from the raw JSON they stand in."""
    data = event.data
    if isinstance(data, model.OrderPlaced) or isinstance(data, model.OrderUpdated):  # noqa: SIM101 - no union: hot
        total = bytes(data.total)
        if total not in _NOT_NAMED:
            event.minor_units = _amount("total", total)
        elif isinstance(data, model.OrderPlaced):
            raise Fault("total: must be a number or a decimal string such as 99.90.")
    elif isinstance(data, model.OrderRefunded):
        amount = bytes(data.amount)
        if amount != _IN_FULL:
            event.minor_units = _amount("amount", amount)
        elif data.order_id is None:
            raise Fault('amount: "full" is for refunds of an order; name its order_id, or the amount.')
    elif isinstance(data, model.CustomerData):
        if data.traits is not UNSET:
            event.scalars = checked_scalars("traits", bytes(data.traits))
    elif isinstance(data, model.Activity) and data.properties is not UNSET:
        event.scalars = checked_scalars("properties", bytes(data.properties))


def _check_currency(currency: str | None, rules: Rules) -> None:
    if currency is not None and currency != rules.currency:
        raise Fault(f"currency: {currency[:20]!r} is not this service's {rules.currency}.", "wrong_currency")


def _amount(name: str, raw: bytes) -> int:
    try:
        return parse_minor_units(raw)
    except ValueError as error:
        raise Fault(f"{name}: {error}.") from None


def _check_items(items: Iterable[model.Item]) -> None:
    for item in items:
        price = item.unit_price
        if price is not None and not _is_price(price):
            raise Fault("items: a unit_price must be a number smaller than 10^10 with at most 4 decimals.")
        if len(item.product_id) > ID_CHARACTERS_MAX or len(item.category or "") > ID_CHARACTERS_MAX:
            raise Fault(f"items: product_id and category must have at most {ID_CHARACTERS_MAX} characters.")


def rebuild(kind: str, event_id: str, at: int, sequence: str | None, data: bytes, trace: str | None) -> model.Event:
    """An event from parts that were checked before, such as one that waits for its time.

    Args:
        data: the data as JSON.
    """
    decoded = _data[kind].decode(data)
    customer_id, external_id = _customer(decoded)
    event = model.Event(kind, event_id, at, sequence, customer_id, external_id, decoded, trace=trace)
    _read_values(event)
    return event


def _is_price(price: float | str) -> bool:
    if isinstance(price, str):
        return _PRICE.fullmatch(price) is not None
    # The first is true of all prices in cents, and cheaper than rounding to four places.
    return -1e10 < price < 1e10 and (round(price * 100) / 100 == price or round(price, 4) == price)
