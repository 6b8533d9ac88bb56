"""The inbound events: one typed structure for each type's data (CONTRACT section 2)."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from msgspec import UNSET, Raw, Struct, UnsetType

Text = str | None | UnsetType
Flag = bool | None | UnsetType


class Location(Struct, gc=False, omit_defaults=True):
    """Where a customer is; every part may be missing."""

    country: str | None = None
    state: str | None = None
    city: str | None = None


class CustomerData(Struct, omit_defaults=True):
    """Attributes of `customer.registered` and `customer.updated`; a null means: becomes missing."""

    customer_id: str
    name: Text = UNSET
    first_name: Text = UNSET
    email: Text = UNSET
    phone: Text = UNSET
    locale: Text = UNSET
    timezone: Text = UNSET
    customer_type: Text = UNSET
    location: Location | UnsetType | None = UNSET
    email_subscribed: Flag = UNSET
    sms_subscribed: Flag = UNSET
    push_subscribed: Flag = UNSET
    traits: Raw | UnsetType = UNSET


class Registered(CustomerData):
    """`customer.registered`."""


class Updated(CustomerData):
    """`customer.updated`."""


class LoggedIn(Struct, gc=False):
    """`customer.logged_in`."""

    customer_id: str


class Deleted(Struct, gc=False):
    """`customer.deleted`: leaves every segment; personal data are erased."""

    customer_id: str


class Activity(Struct, omit_defaults=True):
    """`customer.activity`: anything else a customer did, by name."""

    customer_id: str
    name: str
    properties: Raw | UnsetType = UNSET


class Item(Struct, gc=False, omit_defaults=True):
    """A line of an order; quantity and unit price are informative."""

    product_id: str
    category: str | None = None
    quantity: int | float | None = None
    unit_price: int | float | str | None = None


class DiscountCode(Struct, gc=False, omit_defaults=True):
    """A discount code used with an order."""

    code: str
    amount: int | float | str | None = None


class OrderPlaced(Struct, omit_defaults=True):
    """`order.placed`."""

    order_id: str
    customer_id: str | None
    currency: str
    total: Raw
    items: list[Item] | None = None
    discount_codes: list[DiscountCode] | None = None
    status: str | None = None
    test: bool | None = None


class OrderUpdated(Struct, omit_defaults=True):
    """`order.updated`: whatever is named replaces what was; a null names nothing."""

    order_id: str
    customer_id: str | None
    currency: str | None = None
    total: Raw = Raw(b"")
    items: list[Item] | None = None
    discount_codes: list[DiscountCode] | None = None
    status: str | None = None


class OrderCancelled(Struct, gc=False):
    """`order.cancelled`."""

    order_id: str
    customer_id: str | None


class OrderRefunded(Struct):
    """`order.refunded`; order_id null = a refund without order; amount "full" = what was left of the order."""

    refund_id: str
    customer_id: str | None
    currency: str
    amount: Raw
    order_id: str | None = None


Data = (
    Registered | Updated | LoggedIn | Deleted | Activity | OrderPlaced | OrderUpdated | OrderCancelled | OrderRefunded
)

#: What each type's data look like.
TYPES: Final[dict[str, type]] = {
    "customer.registered": Registered,
    "customer.updated": Updated,
    "customer.logged_in": LoggedIn,
    "customer.deleted": Deleted,
    "customer.activity": Activity,
    "order.placed": OrderPlaced,
    "order.updated": OrderUpdated,
    "order.cancelled": OrderCancelled,
    "order.refunded": OrderRefunded,
}

#: (instant, has a sequence, sequence, id): ties at one instant go by sequence (missing first), then id.
Stamp = tuple[int, bool, str, str]


class Event(Struct, gc=False):
    """One checked inbound event."""

    type: str
    id: str
    at: int  # microseconds since the epoch
    sequence: str | None
    customer_id: UUID  # identity.GUEST for orders without a customer
    external_id: str  # "" for guests
    data: Data
    minor_units: int | None = None  # total of an order, amount of a refund (None: in full)
    scalars: dict[str, object] | None = None  # traits or activity properties, numbers as int or Decimal
    trace: str | None = None  # W3C traceparent

    @property
    def stamp(self) -> Stamp:
        """The place of this event in its customer's timeline."""
        return (self.at, self.sequence is not None, self.sequence or "", self.id)
