"""Members of a segment as they are shown: fields, masking, page cursors."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from service.core import instants, money


class Member(NamedTuple):
    """A current member as the tables hold it: instants in microseconds, money in minor units."""

    customer_id: UUID
    external_id: str | None
    name: str | None
    email: str | None
    phone: str | None
    customer_type: str | None
    country: str | None
    state: str | None
    city: str | None
    total_orders: int | None
    total_spent: int | None
    last_order_at: int | None
    registered_at: int | None
    joined_at: datetime
    membership_source: str


class CursorError(ValueError):
    """The cursor was not given out for this segment."""


def customer_of(member: Member, *, can_read_pii: bool) -> dict[str, Any]:
    """A customer of a segment as the API shows it; missing values are None, money is decimal strings.

    Without `can_read_pii` name, e-mail and phone are masked; where there is none, there is still none.
    """
    name, email, phone = member.name, member.email, member.phone
    if not can_read_pii:
        name, email, phone = mask_text(name), mask_email(email), mask_phone(phone)
    return {
        "id": str(member.customer_id),
        "external_id": member.external_id or str(member.customer_id),
        "name": name,
        "email": email,
        "phone": phone,
        "customer_type": member.customer_type,
        **figures_of(member.total_orders, member.total_spent, member.last_order_at, member.registered_at),
        "location": location_of(member.country, member.state, member.city),
        "membership_date": instants.to_text(instants.from_datetime(member.joined_at)),
        "membership_source": member.membership_source,
    }


def figures_of(
    total_orders: int | None, total_spent: int | None, last_order_at: int | None, registered_at: int | None
) -> dict[str, Any]:
    """What somebody bought, and since when they are registered; instants in microseconds, money in minor units."""
    orders, spent = total_orders or 0, total_spent or 0
    return {
        "total_orders": orders,
        "total_spent": money.to_text(spent),
        "average_order_value": money.to_text(average(spent, orders)),
        "last_order_date": None if last_order_at is None else instants.to_text(last_order_at),
        "registration_date": None if registered_at is None else instants.to_text(registered_at),
    }


def location_of(country: str | None, state: str | None, city: str | None) -> dict[str, str | None] | None:
    """Where somebody is; None where nothing of it is known."""
    place = {"country": country, "state": state, "city": city}
    return place if any(part is not None for part in place.values()) else None


def average(spent: int, orders: int) -> int:
    """Minor units an order, rounded half away from zero; 0 without orders."""
    if orders <= 0:
        return 0
    rounded = (2 * abs(spent) + orders) // (2 * orders)
    return rounded if spent >= 0 else -rounded


def mask_text(text: str | None) -> str | None:
    """The first character and three stars: Ada Lovelace is A***."""
    return None if text is None else f"{text[:1]}***"


def mask_email(email: str | None) -> str | None:
    """The first character and the domain: ada@example.com is a***@example.com."""
    if email is None:
        return None
    local, at, domain = email.rpartition("@")
    return f"{local[:1]}***@{domain}" if at else mask_text(email)


def mask_phone(phone: str | None) -> str | None:
    """The last two digits: +15550100 is ***00."""
    return None if phone is None else f"***{phone[-2:] if len(phone) > 4 else ''}"


def cursor_after(segment_id: UUID, customer_id: UUID) -> str:
    """An opaque text that stands for the place after this customer in this segment's list."""
    return base64.urlsafe_b64encode(segment_id.bytes[:4] + customer_id.bytes).decode().rstrip("=")


def customer_before(segment_id: UUID, cursor: str) -> UUID:
    """The customer after whom the page begins.

    Raises:
        CursorError: `cursor_after` did not make this for this segment.
    """
    try:
        raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 20 or raw[:4] != segment_id.bytes[:4]:
        msg = "is no cursor of this segment; use the next_cursor of the page before, or leave it out for the first page"
        raise CursorError(msg)
    return UUID(bytes=raw[4:])
