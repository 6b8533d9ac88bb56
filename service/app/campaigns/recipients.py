"""A campaign's messages as they are listed: whom they are for and what became of them, without addresses."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from service.core import instants

_INSTANTS: Final = (
    "occurred_at",
    "due_at",
    "expires_at",
    "sent_at",
    "delivered_at",
    "bounced_at",
    "opened_at",
    "clicked_at",
    "unsubscribed_at",
    "complained_at",
)
_CAMPAIGN_BYTES: Final = 4
_CUSTOMER_BYTES: Final = 16


class CursorError(ValueError):
    """The cursor was not given out for this campaign."""


class Recipient(NamedTuple):
    """One message, of one customer and occasion."""

    message_id: UUID
    customer_id: UUID
    external_id: str | None
    occasion: str
    state: str
    reason: str | None
    attempts: int
    discount_code: str | None
    occurred_at: datetime
    due_at: datetime
    expires_at: datetime
    sent_at: datetime | None
    delivered_at: datetime | None
    bounced_at: datetime | None
    opened_at: datetime | None
    clicked_at: datetime | None
    unsubscribed_at: datetime | None
    complained_at: datetime | None


def recipient_data(one: Recipient) -> dict[str, Any]:
    """A message as the API shows it (RecipientData)."""
    shown: dict[str, Any] = one._asdict()
    shown |= {"message_id": str(one.message_id), "customer_id": str(one.customer_id)}
    shown["external_id"] = one.external_id or str(one.customer_id)
    for name in _INSTANTS:
        at = shown[name]
        shown[name] = None if at is None else instants.to_text(instants.from_datetime(at))
    return shown


def cursor_after(campaign_id: UUID, one: Recipient) -> str:
    """An opaque text that stands for the place after this message in this campaign's list."""
    occasion = one.occasion.encode()
    raw = campaign_id.bytes[:_CAMPAIGN_BYTES] + one.customer_id.bytes + bytes([len(occasion)]) + occasion
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def place_of(campaign_id: UUID, cursor: str) -> tuple[UUID, str]:
    """The customer and occasion after which the page begins.

    Raises:
        CursorError: `cursor_after` did not make this for this campaign.
    """
    head = _CAMPAIGN_BYTES + _CUSTOMER_BYTES
    occasion = ""
    try:
        raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        if raw[:_CAMPAIGN_BYTES] == campaign_id.bytes[:_CAMPAIGN_BYTES] and len(raw) > head + 1:
            occasion = raw[head + 1 :].decode("ascii") if raw[head] == len(raw) - head - 1 else ""
    except (binascii.Error, ValueError):
        occasion = ""
    if not occasion or not occasion.isprintable():
        msg = "is no cursor of this campaign; use the next_cursor of the page before, or leave it out for the first one"
        raise CursorError(msg)
    return UUID(bytes=raw[_CAMPAIGN_BYTES:head]), occasion
