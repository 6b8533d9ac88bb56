"""What criteria can speak about: the one vocabulary that criteria and profiles share."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class Number(StrEnum):
    """Figures from orders; each may be limited to a window."""

    TOTAL_ORDERS = "total_orders"
    TOTAL_SPENT = "total_spent"
    AVERAGE_ORDER_VALUE = "average_order_value"


class Instant(StrEnum):
    """Instants of a customer's life."""

    REGISTRATION_DATE = "registration_date"
    LAST_ORDER_DATE = "last_order_date"
    LAST_LOGIN = "last_login"


class Purchase(StrEnum):
    """What orders hold."""

    PRODUCT = "product"
    CATEGORY = "category"


class Figure(StrEnum):
    """What is computed from the activities of a stream."""

    COUNT = "count"
    SUM = "sum"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    DISTINCT = "distinct"


#: Attributes a criterion can name, beside `traits.<key>`; location's parts are fields of their own.
CUSTOMER_TYPE: Final = "customer_type"
EMAIL_SUBSCRIBED: Final = "email_subscribed"
LOCATION_PARTS: Final = {"countries": "country", "states": "state", "cities": "city"}
TRAIT_PREFIX: Final = "traits."


class PurchaseKey(NamedTuple):
    """A product or category that some criteria name."""

    kind: Purchase
    name: str
