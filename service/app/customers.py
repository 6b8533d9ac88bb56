"""One customer as shown: profile, memberships, and what was recorded last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from service.app.history import PastTransition, transition_json
from service.app.members import figures_of, location_of, mask_email, mask_phone, mask_text
from service.core import instants

#: How many transitions a customer's page shows; the history of a segment has the rest.
TRANSITIONS_MAX: Final = 100
MASK: Final = "***"


class Person(NamedTuple):
    """A customer as the tables hold it: instants in microseconds, money in minor units; None is missing.

    Who is only in a list by hand has no events yet, and nothing here but the id.
    """

    customer_id: UUID
    external_id: str | None
    name: str | None
    first_name: str | None
    email: str | None
    phone: str | None
    locale: str | None
    timezone: str | None
    customer_type: str | None
    country: str | None
    state: str | None
    city: str | None
    email_subscribed: bool | None
    sms_subscribed: bool | None
    push_subscribed: bool | None
    traits: Mapping[str, Any]
    total_orders: int | None
    total_spent: int | None
    first_order_at: datetime | None
    last_order_at: int | None
    registered_at: int | None
    last_login_at: int | None
    first_seen_at: int | None


class Standing(NamedTuple):
    """A segment that the customer is a member of, or kept out of by hand.

    Attributes:
        joined_at: None for who is kept out.
        is_included: the pin, if any.
    """

    segment_id: UUID
    segment_name: str
    joined_at: datetime | None
    source: str | None
    segment_version: int | None
    is_included: bool | None


def profile_json(person: Person, *, can_read_pii: bool) -> dict[str, Any]:
    """The customer's fields; missing values are None, money is decimal strings.

    Without `can_read_pii` names, e-mail and phone are masked as on a segment's page, and each trait's value by ***:
    its key is the application's, its value may be anything about a person.
    """
    name, first_name, email, phone = person.name, person.first_name, person.email, person.phone
    traits = dict(person.traits)
    if not can_read_pii:
        name, first_name, email, phone = mask_text(name), mask_text(first_name), mask_email(email), mask_phone(phone)
        traits = dict.fromkeys(traits, MASK)
    first_order = None if person.first_order_at is None else instants.from_datetime(person.first_order_at)
    return {
        "id": str(person.customer_id),
        "external_id": person.external_id or str(person.customer_id),
        "name": name,
        "first_name": first_name,
        "email": email,
        "phone": phone,
        "customer_type": person.customer_type,
        "locale": person.locale,
        "timezone": person.timezone,
        "location": location_of(person.country, person.state, person.city),
        "email_subscribed": person.email_subscribed,
        "sms_subscribed": person.sms_subscribed,
        "push_subscribed": person.push_subscribed,
        "traits": traits,
        "is_masked": not can_read_pii,
        **figures_of(person.total_orders, person.total_spent, person.last_order_at, person.registered_at),
        "first_order_date": _text(first_order),
        "last_login": _text(person.last_login_at),
        "first_seen": _text(person.first_seen_at),
    }


def membership_json(one: Standing) -> dict[str, Any]:
    """A segment that the customer is a member of."""
    return {
        "segment_id": str(one.segment_id),
        "segment_name": one.segment_name,
        "since": None if one.joined_at is None else instants.to_text(instants.from_datetime(one.joined_at)),
        "source": one.source,
        "segment_version": one.segment_version,
        "pin": "included" if one.is_included else None,
    }


def kept_out_json(one: Standing) -> dict[str, Any]:
    """A segment that the customer is kept out of by hand."""
    return {"segment_id": str(one.segment_id), "segment_name": one.segment_name}


def past_json(
    transitions: Sequence[PastTransition],
    names: Mapping[UUID, str],
    versions: Mapping[UUID, Sequence[tuple[int, datetime]]],
) -> list[dict[str, Any]]:
    """Transitions in several segments, each with its segment."""
    return [
        {
            "segment_id": str(one.segment_id),
            "segment_name": names.get(one.segment_id),
            **transition_json(one, versions.get(one.segment_id, ())),
        }
        for one in transitions
    ]


def _text(instant: int | None) -> str | None:
    """None also where a profile says that there is none: somebody without events was never seen."""
    return None if instant is None or instant == instants.MISSING else instants.to_text(instant)
