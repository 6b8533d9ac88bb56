"""The world of the golden example: two segments, eight customers and a guest."""

from __future__ import annotations

from service.core import instants
from tests.integration.analytics.support import cancellation, event, order, refund

AT = instants.parse("2026-03-31T12:00:00Z")
CLOCK = instants.parse("2026-04-03T00:00:00Z")
ZONE = "America/New_York"


def _at(text: str) -> str:
    return f"2026-{text}" if "T" in text else f"2026-{text}T00:00:00Z"


def _stay(customer: str, joined: str, left: str | None = None) -> tuple[str, int, int | None]:
    return customer, instants.parse(_at(joined)), None if left is None else instants.parse(_at(left))


S = [
    _stay("c1", "01-10"),
    _stay("c2", "02-01", "03-15T04:00:00Z"),
    _stay("c3", "03-05T10:00:00Z"),
    _stay("c4", "02-20", "03-02"),
    _stay("c4", "03-20"),
    _stay("c5", "03-31T12:00:00Z"),
    _stay("c6", "04-01"),
    _stay("c7", "03-10", "03-31T12:00:00Z"),
]
T = [_stay("c1", "01-01"), _stay("c3", "03-01"), _stay("c8", "01-01")]
EVENTS = [
    *(event("customer.registered", f"c{n}", f"r{n}", "2025-01-01T00:00:00Z", {}) for n in range(1, 9)),
    order("c1", "o1", "2025-06-01T00:00:00Z", 100),
    order("c1", "o2", _at("03-10"), 50),
    refund("c1", "o2", _at("03-12"), 20),
    order("c1", "o3", _at("03-31T03:30:00Z"), 30),
    order("c3", "o4", _at("03-06"), 80),
    cancellation("c3", "o4", _at("03-08T06:30:00Z")),
    refund("c3", "o4", _at("03-09"), 80),
    order("c3", "o5", _at("03-25"), "10.01"),
    order("c4", "o6", _at("01-15"), 200),
    refund("c4", "o6", _at("02-01"), 200),
    order("c2", "o7", _at("03-14"), 40),
    order("c8", "o8", _at("03-20"), 500),
    order(None, "o9", _at("03-21"), 25),
    order("c5", "o10", _at("04-02"), 99),
    order("c1", "o11", _at("03-01T13:00:00Z"), 999, test=True),
]
