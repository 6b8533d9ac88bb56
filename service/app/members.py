"""Members of a segment as they are shown: fields, masking, page cursors, CSV."""

from __future__ import annotations

import base64
import binascii
import csv
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from service.app.exact_json import dumps
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


class FieldsError(ValueError):
    """The fields to export cannot be used; the message says which and what to use."""


def customer_of(member: Member, *, can_read_pii: bool) -> dict[str, Any]:
    """A customer of a segment as the API shows it; missing values are None, money is decimal strings.

    Without `can_read_pii` name, e-mail and phone are masked; where there is none, there is still none.
    """
    orders, spent = member.total_orders or 0, member.total_spent or 0
    name, email, phone = member.name, member.email, member.phone
    if not can_read_pii:
        name, email, phone = mask_text(name), mask_email(email), mask_phone(phone)
    place = {"country": member.country, "state": member.state, "city": member.city}
    return {
        "id": str(member.customer_id),
        "external_id": member.external_id or str(member.customer_id),
        "name": name,
        "email": email,
        "phone": phone,
        "customer_type": member.customer_type,
        "total_orders": orders,
        "total_spent": money.to_text(spent),
        "average_order_value": money.to_text(average(spent, orders)),
        "last_order_date": None if member.last_order_at is None else instants.to_text(member.last_order_at),
        "registration_date": None if member.registered_at is None else instants.to_text(member.registered_at),
        "location": place if any(part is not None for part in place.values()) else None,
        "membership_date": instants.to_text(instants.from_datetime(member.joined_at)),
        "membership_source": member.membership_source,
    }


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


#: Every field that can be exported: a customer's, and its location's parts as columns of their own.
EXPORT_FIELDS: Final = (
    "id",
    "external_id",
    "name",
    "email",
    "phone",
    "customer_type",
    "total_orders",
    "total_spent",
    "average_order_value",
    "last_order_date",
    "registration_date",
    "location",
    "country",
    "state",
    "city",
    "membership_date",
    "membership_source",
)
_PLACES: Final = ("country", "state", "city")
#: Left as they are: the service's own numbers, where a minus sign is no formula, and the id as the events gave it,
#: which must read back as the same id.
_EXACT: Final = frozenset({"total_orders", "total_spent", "average_order_value", "external_id"})
#: A spreadsheet takes a text that begins so for a formula or for a command (ASVS 1.2.10).
_DANGEROUS: Final = ("=", "+", "-", "@", "\t", "\r", "\0")


def export_fields(fields: str | None, *, include_customer_details: bool) -> tuple[str, ...]:
    """The columns of an export.

    Args:
        fields: names with commas between, in the order of columns; None for the usual ones.
        include_customer_details: what the usual ones are: all, or the external id alone.

    Raises:
        FieldsError: a name is unknown or given twice, or there is none.
    """
    if fields is None:
        return EXPORT_FIELDS if include_customer_details else ("external_id",)
    names = tuple(name.strip() for name in fields.split(","))
    known = f"use {', '.join(EXPORT_FIELDS)}"
    for name in names:
        if name not in EXPORT_FIELDS:
            msg = f'"{name[:100]}" is no field of a customer; {known}'
            raise FieldsError(msg)
        if names.count(name) > 1:
            msg = f'"{name}" is given twice'
            raise FieldsError(msg)
    return names


class CsvLines:
    """Turns members into CSV (RFC 4180 quoting, lines end with LF), some at a time."""

    def __init__(self, fields: Sequence[str], *, can_read_pii: bool) -> None:
        self._fields = fields
        self._can_read_pii = can_read_pii
        self._rows = _Rows()
        self._writer = csv.writer(self._rows, lineterminator="\r\n")
        self._cells: list[Callable[[dict[str, Any]], object]] = [_cell(field) for field in fields]

    def header(self) -> str:
        """The line that names the columns."""
        self._writer.writerow(self._fields)
        return self._rows.taken()

    def lines(self, members: Iterable[Member]) -> str:
        """One line a member."""
        for member in members:
            customer = customer_of(member, can_read_pii=self._can_read_pii)
            self._writer.writerow([cell(customer) for cell in self._cells])
        return self._rows.taken()


class _Rows:
    """What the csv module writes to. It quotes a CR only where its own lines end with CR, so they do, up to here."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def write(self, line: str) -> None:
        """Takes one whole line; the module calls it once a row."""
        self._lines.append(line[:-2] + "\n")

    def taken(self) -> str:
        """All lines since the last time."""
        text = "".join(self._lines)
        self._lines.clear()
        return text


def _cell(field: str) -> Callable[[dict[str, Any]], object]:
    if field in _EXACT:
        return lambda customer: customer[field]
    if field == "location":
        return lambda customer: dumps(customer[field]).decode() if customer[field] else ""
    if field in _PLACES:
        return lambda customer: _harmless(customer["location"][field]) if customer["location"] else ""
    return lambda customer: _harmless(customer[field])


def _harmless(text: str | None) -> str:
    if not text:
        return ""
    return f"'{text}" if text.startswith(_DANGEROUS) else text
