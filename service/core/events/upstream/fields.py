"""Reading JSON that others designed: every wrong type is a Fault that names the field, never a crash."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final, NamedTuple, Self

import msgspec

from service.core.events.check import Fault

#: Objects within objects are read to this depth; what lies deeper is left out.
DEPTH_MAX: Final = 5
SCALARS_MAX: Final = 500
DIGEST_CHARACTERS: Final = 16

#: Shopify's global ids, `gid://shopify/Customer/1`; the last part is the id that webhooks use.
GID: Final = re.compile(r"gid://shopify/[A-Za-z]+/([A-Za-z0-9_-]+)(?:\?.*)?")
_INFORMATIVE: Final = re.compile(r"[0-9]{1,10}(\.[0-9]{1,4}0*)?")
#: Numbers of at least so many are milliseconds, below it seconds since 1970.
_MILLISECONDS_MIN: Final = 10**11
_ordered: Final = msgspec.json.Encoder(decimal_format="number", order="deterministic")


class Mapped(NamedTuple):
    """One of the product's own events, as an adapter made it; checked like any other afterwards."""

    type: str
    id: str
    time: datetime
    data: dict[str, Any]
    sequence: str | None = None


class Fields:
    """An object of the record, and where it stands in it; a missing or null one has no fields."""

    __slots__ = ("path", "values")

    def __init__(self, value: object, path: str = "") -> None:
        if value is not None and not isinstance(value, dict):
            raise Fault(f"{path or 'The record'}: must be an object.")
        self.values: dict[str, Any] = value or {}
        self.path = path

    def at(self, name: str) -> str:
        """The path of one of its fields."""
        return f"{self.path}.{name}" if self.path else name

    def first(self, *names: str) -> Any:
        """The first of these that is there and not null."""
        return next((found for name in names if (found := self.values.get(name)) is not None), None)

    def part(self, name: str) -> Self:
        """The object in this field."""
        return type(self)(self.values.get(name), self.at(name))

    def parts(self, name: str) -> list[Self]:
        """The objects of the list in this field; empty where it is missing."""
        found = self.values.get(name)
        if found is None:
            return []
        if not isinstance(found, list):
            raise Fault(f"{self.at(name)}: must be a list.")
        return [type(self)(one, f"{self.at(name)}[{index}]") for index, one in enumerate(found)]

    def id(self, *names: str) -> str | None:
        """The first id that is there, as text, whole numbers as decimal digits; empty ones count as missing."""
        found = next((one for name in names if (one := self.values.get(name)) not in (None, "")), None)
        if found is None:
            return None
        if isinstance(found, str):
            return found
        if isinstance(found, int) and not isinstance(found, bool):
            return str(found)
        raise Fault(f"{self.at(names[0])}: must be a text or a whole number.")

    def needed_id(self, *names: str) -> str:
        """As `id`.

        Raises:
            Fault: there is none.
        """
        found = self.id(*names)
        if found is None:
            raise Fault(f"{self.at(names[0])}: is missing.")
        return found

    def text(self, *names: str) -> str | None:
        """A text; whole numbers, such as phones, as digits."""
        found = self.first(*names)
        if found is None or isinstance(found, str):
            return found
        if isinstance(found, int) and not isinstance(found, bool):
            return str(found)
        raise Fault(f"{self.at(names[0])}: must be a text.")

    def time(self, *names: str) -> datetime | None:
        """An instant in RFC 3339 with an offset."""
        found = self.first(*names)
        if found is None:
            return None
        try:
            instant = datetime.fromisoformat(found) if isinstance(found, str) else None
        except ValueError:
            instant = None
        if instant is None or instant.tzinfo is None:
            raise Fault(f"{self.at(names[0])}: must be RFC 3339 with an offset, such as 2024-02-29T12:00:00Z.")
        return instant


class ShopFields(Fields):
    """As Fields, of Shopify: `gid://shopify/Customer/1` is the id `1`."""

    __slots__ = ()

    def id(self, *names: str) -> str | None:
        """See Fields."""
        found = super().id(*names)
        matched = GID.fullmatch(found) if found is not None else None
        return matched[1] if matched else found


def scalars(value: Fields, left_out: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Texts, numbers, booleans and nulls by key, those of inner objects as `outer.inner`; lists are left out."""
    found: dict[str, Any] = {}
    waiting = [("", value.values, 1)]
    while waiting and len(found) <= SCALARS_MAX:
        prefix, values, depth = waiting.pop()
        for name, one in values.items():
            key = prefix + name
            if key in left_out or name == "":
                continue
            if isinstance(one, dict):
                if depth < DEPTH_MAX:
                    waiting.append((key + ".", one, depth + 1))
            elif not isinstance(one, list):
                found[key] = one
    return found


def informative(value: Any) -> str | None:
    """A price or quantity that no figure is computed from: left out where it would not do, so that no order is lost."""
    if isinstance(value, bool):
        return None
    text = str(value) if isinstance(value, int | Decimal | str) else ""
    return text if _INFORMATIVE.fullmatch(text) else None


def quantity(value: Any) -> int | float | None:
    """A number of pieces, or None."""
    text = informative(value)
    if text is None:
        return None
    number = Decimal(text)
    return int(number) if number == int(number) else float(number)


def lenient_time(value: Any) -> datetime | None:
    """A date or an instant as people write them: RFC 3339, a date, seconds or milliseconds since 1970."""
    try:
        if isinstance(value, str):
            found = datetime.fromisoformat(value)
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            seconds = float(value)
            return datetime.fromtimestamp(seconds / 1000 if abs(seconds) >= _MILLISECONDS_MIN else seconds, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def content_id(prefix: str, kind: str, time: datetime, data: dict[str, Any], sequence: str | None = None) -> str:
    """An id that names exactly this content: a repeat is known, and another state of the thing is another event."""
    said = _ordered.encode((kind, time, sequence, data))
    return f"{prefix}:{kind}:{sha256(said).hexdigest()[:DIGEST_CHARACTERS]}"
