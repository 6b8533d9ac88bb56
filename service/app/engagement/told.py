"""What this service itself tells about its messages: events on the engagement topic, as providers send them.

Outcomes of SMTP, opens, clicks and unsubscribes go out through the outbox and come back to one consumer, so that one
place writes what became of a message. Their ids follow from what they say: a repeat is the same event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import msgspec

from service.app.outgoing import OutgoingRecord
from service.core import instants

SOURCE: Final = "/customer-segments"
PREFIX: Final = "campaign.message."

_encoder: Final = msgspec.json.Encoder()


def told_record(
    topic: str,
    kind: str,
    message_id: UUID,
    customer_id: UUID,
    at: int,
    *,
    channel: str,
    details: Mapping[str, Any] | None = None,
    suffix: str = "",
) -> OutgoingRecord:
    """One event `campaign.message.<kind>`, CloudEvents binary mode; its id is `<message_id>:<kind>` and the suffix.

    Args:
        topic: the engagement topic.
        kind: accepted, delivered, deferred, bounced, failed, complained, opened, clicked or unsubscribed.
        message_id: of which message.
        customer_id: to whom it went; the record's key.
        at: when it happened, microseconds of the service's clock.
        channel: of the message.
        details: by kind, see docs/schemas.
        suffix: what tells several events of a kind about one message apart, such as `:2` for the second attempt.
    """
    key, when = str(customer_id).encode(), instants.to_text(at)
    data = {"message_id": str(message_id), "occurred_at": when, "channel": channel, "details": dict(details or {})}
    return (topic, key, _encoder.encode(data), headers_of(PREFIX + kind, f"{message_id}:{kind}{suffix}", key, when))


def headers_of(kind: str, event_id: str, subject: bytes, time: str) -> list[tuple[str, bytes]]:
    """The headers of an event of this service in CloudEvents binary mode."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", event_id.encode()),
        ("ce_source", SOURCE.encode()),
        ("ce_type", kind.encode()),
        ("ce_subject", subject),
        ("ce_time", time.encode()),
        ("content-type", b"application/json"),
    ]
