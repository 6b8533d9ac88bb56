"""Which foreign format a record is in, if any. Asked only of records that are no CloudEvents."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from service.core.events.upstream import segment, shopify
from service.core.events.upstream.fields import Mapped


class Around(NamedTuple):
    """What is known of a record beside its JSON."""

    raw: bytes
    key: bytes | None
    now: datetime
    currency: str


def adapt(record: object, named: Mapping[str, str], around: Around) -> list[Mapped] | None:
    """The product's own events that a record of another format means, in the order of time; None where it is of none.

    Args:
        record: JSON, with fractions as Decimal.
        named: the record's headers, names in small letters.
        around: the record's bytes and key, the clock, the service's currency.

    Raises:
        Fault: the format is known, but the record cannot be used.
    """
    topic = shopify.topic_of(record, named)
    if topic is not None:
        return shopify.events_of(topic, record, named, around.key, around.now, around.currency)
    if segment.is_call(record):
        assert isinstance(record, dict)  # noqa: S101 - is_call says so
        return segment.events_of(record, around.raw)
    return None
