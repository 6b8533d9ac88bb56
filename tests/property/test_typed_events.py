"""What is read in one go is what the longer way reads, whatever the record; so are the short cuts of its numbers."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.core import instants
from service.core.events import decode as decoding
from service.core.events.decode import Rules, decode
from service.core.events.model import Event
from service.core.events.typed import read_typed
from service.core.money import MINOR_UNITS_MAX, parse_minor_units
from tests.property.effort import examples
from tests.property.event_cases import event_lists

RULES = Rules("EUR", 1_048_576, False)
NOW = instants.parse("2040-01-01T00:00:00Z")
USUAL = [("content-type", b"application/cloudevents+json")]
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HEADERS: tuple[Any, ...] = (
    (),
    USUAL,
    [("Content-Type", b"application/cloudevents+json; charset=utf-8")],
    [("content-type", b"application/cloudevents-batch+json")],
    [*USUAL, ("traceparent", TRACE.encode())],
    [("content-type", None)],
    [("content-type", b"\xff")],
    [
        ("ce_specversion", b"1.0"),
        ("ce_type", b"customer.deleted"),
        ("ce_id", b"e"),
        ("ce_time", b"2024-01-01T00:00:00Z"),
    ],
)
ODD: tuple[Any, ...] = (None, "", "x" * 257, "a\0b", "1.0", 0, -0.5, 1e30, True, [], {}, [None], "9999-12-31T23:59:59Z")
ODD += (
    "2024-01-01T00:00:00",
    "2041-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:00",
    "full",
    "12.345",
    "€",
    "order.placed",
)
ODD += (["x"], {"product_id": "p", "unit_price": 0.12345}, "00000000-0000-0000-0000-000000000000", TRACE)
ENVELOPE = ("specversion", "type", "id", "time", "data", "sequence", "traceparent", "data_base64", "source")


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """Events, most of them spoilt in one way or another."""
    event = dict(draw(event_lists().filter(bool))[0])
    event["data"] = dict(event["data"])
    for _ in range(draw(st.integers(0, 2))):
        is_outer = draw(st.booleans()) or not isinstance(event.get("data"), dict)
        place = event if is_outer else event["data"]
        name = draw(st.sampled_from((*ENVELOPE, *place)))
        if draw(st.booleans()):
            place[name] = draw(st.sampled_from(ODD))
        else:
            place.pop(name, None)
    raw = json.dumps(event, ensure_ascii=draw(st.booleans()), default=float).encode()
    spoilt = draw(st.sampled_from(("", "", "", "cut", "byte", "twice", "type twice")))
    at = draw(st.integers(0, len(raw) - 1))
    if spoilt == "cut":
        return raw[:at]
    if spoilt == "byte":
        return raw[:at] + draw(st.sampled_from((b"\0", b"\xff", b"\\u0000", b"\\ud800", b'"', b"0"))) + raw[at + 1 :]
    if spoilt == "twice":
        return raw[:-1] + b',"data":' + draw(st.sampled_from((b"null", b"{}", b'{"customer_id":"z"}'))) + b"}"
    return raw[:-1] + b',"type":"customer.deleted"}' if spoilt == "type twice" else raw


def plainly(value: bytes, headers: Any) -> Any:
    """By the longer way alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "read_typed", lambda value, headers: None)
        return decode(value, headers, RULES, NOW)


@settings(max_examples=examples(300), deadline=None)
@given(records(), st.sampled_from(HEADERS))
def test_both_ways_give_one_answer(value: bytes, headers: Any) -> None:
    """The same event, or the same refusal with the same sentence."""
    assert decode(value, headers, RULES, NOW) == plainly(value, headers)


@settings(max_examples=examples(30), deadline=None)
@given(event_lists())
def test_the_usual_is_read_in_one_go(events: list[dict[str, Any]]) -> None:
    """Otherwise the test above would compare the longer way with itself."""
    for event in events:
        value = json.dumps(event, default=float).encode()
        if isinstance(decode(value, USUAL, RULES, NOW), Event) and b"\\u0000" not in value:
            assert read_typed(value, USUAL) is not None


@given(st.from_regex(rb'"?-?[0-9]{1,12}(\.[0-9]{0,3})?"?', fullmatch=True))
def test_amounts_are_exact(raw: bytes) -> None:
    """To the cent, or refused."""
    text = raw.decode()
    bare = text[1:-1] if text.startswith('"') and text.endswith('"') and len(text) > 1 else text
    try:
        found = parse_minor_units(raw)
    except ValueError:
        scaled = Decimal(bare.strip('"')) * 100
        assert bare.endswith(".") or '"' in bare or abs(scaled) >= MINOR_UNITS_MAX or scaled != int(scaled)
    else:
        assert found == Decimal(bare.strip('"')) * 100


@given(st.one_of(st.floats(), st.decimals(-(10**10), 10**10, places=2).map(float), st.integers(-(10**11), 10**11)))
def test_prices_have_four_decimals_at_most(price: float) -> None:
    """The short cut for cents accepts nothing else than rounding does."""
    assert decoding._is_price(price) == (-1e10 < price < 1e10 and round(price, 4) == price)
