"""A customer's attributes: what the latest event that names each of them says (CONTRACT section 2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from msgspec import UNSET

from service.core.criteria.fields import LOCATION_PARTS, TRAIT_PREFIX
from service.core.events.model import CustomerData, Event, Location, Stamp
from service.core.instants import MISSING

#: Attributes an event can set, beside traits; location is one value.
ATTRIBUTES: Final = (
    "name",
    "first_name",
    "email",
    "phone",
    "locale",
    "timezone",
    "customer_type",
    "location",
    "email_subscribed",
    "sms_subscribed",
    "push_subscribed",
)
#: The attribute whose stamp says when all traits were removed at once (`traits: null`).
TRAITS: Final = "traits"
_LOCATION_FIELDS: Final = frozenset(LOCATION_PARTS.values())
_EARLIEST: Final[Stamp] = (MISSING, False, "", "")
_NOWHERE: Final = Location()

#: name -> (value, stamp of the event that set it); None = set to missing.
Attributes = dict[str, tuple[Any, Stamp]]


def value_of(attributes: Attributes, field: str) -> object:
    """The value of a criteria field such as customer_type, country or traits.class; None where missing."""
    if field in _LOCATION_FIELDS:
        found = attributes.get("location")
        return getattr(found[0], field) if found and found[0] is not None else None
    found = attributes.get(field)
    if found is None:
        return None
    if field.startswith(TRAIT_PREFIX) and TRAITS in attributes and found[1] < attributes[TRAITS][1]:
        return None
    return found[0]


def traits_of(attributes: Attributes) -> Iterator[tuple[str, object]]:
    """The traits that are not missing, by their names without prefix."""
    for name in attributes:
        if name.startswith(TRAIT_PREFIX) and (value := value_of(attributes, name)) is not None:
            yield name.removeprefix(TRAIT_PREFIX), value


def set_attributes(attributes: Attributes, event: Event, data: CustomerData) -> bool:
    """Takes over what the event names and no later event has set; whether that was anything."""
    stamp = event.stamp
    named = [(name, value) for name in ATTRIBUTES if (value := getattr(data, name)) is not UNSET]
    if event.scalars is not None:
        named += [(TRAIT_PREFIX + key, value) for key, value in event.scalars.items()]
    elif data.traits is not UNSET:
        named.append((TRAITS, None))
    has_changed = False
    for name, value in named:
        known = attributes.get(name)
        if known is None or stamp > known[1]:
            attributes[name] = (None if value == _NOWHERE else value, stamp)
            has_changed = True
    return has_changed
