"""Every record is an event or a dead letter with a reason; none raises."""

from __future__ import annotations

import base64
import json

import pytest

from service.core import identity, instants
from service.core.events.decode import Rejected, Rules, decode
from service.core.events.model import Event, OrderPlaced

NOW = instants.parse("2024-06-01T12:00:00Z")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
WALL = Rules("EUR", 10_000, False)
FIXED = Rules("EUR", 10_000, True)
ORDER = {"order_id": "o1", "customer_id": "c1", "currency": "EUR", "total": 10}


def cloud(kind: str = "order.placed", data: object = ORDER, **changes: object) -> dict:
    """A CloudEvent in structured mode; a change to None takes the attribute away."""
    event = {
        "specversion": "1.0",
        "id": "e1",
        "source": "/t",
        "type": kind,
        "time": "2024-05-01T00:00:00Z",
        "data": data,
    }
    event |= changes
    return {name: value for name, value in event.items() if value is not None}


def reason(value: bytes | None, headers: tuple = (), rules: Rules = WALL) -> str:
    """Why a record is refused; the error must be a sentence."""
    found = decode(value, headers, rules, NOW)
    assert isinstance(found, Rejected), found
    assert found.error.endswith(".")
    assert found.error[0].isalpha()
    return found.reason


def accepted(event: dict, headers: tuple = (), rules: Rules = WALL) -> Event:
    """The event of a record that must be one."""
    found = decode(json.dumps(event).encode(), headers, rules, NOW)
    assert isinstance(found, Event), found
    return found


def data(**changes: object) -> dict:
    """An order's data with changes; a change to ... takes the field away."""
    return {name: value for name, value in {**ORDER, **changes}.items() if value is not ...}


class TestRefused:
    """Records that become dead letters."""

    @pytest.mark.parametrize(
        "value",
        [b"", b"{", b"\xff\xfe", b'{"a":"\xff"}', b"[" * 9_000, b"nonsense", b'{"specversion":"1.0"', b"\x00"],
    )
    def test_not_json_is_invalid_json(self, value: bytes) -> None:
        """Bytes that are not JSON in UTF-8 are invalid_json."""
        assert reason(value) == "invalid_json"

    @pytest.mark.parametrize("value", [None, b"null", b"1", b'"x"', b"[]", b"{}", b'{"type":"order.placed"}'])
    def test_no_cloudevent_is_invalid_data(self, value: bytes | None) -> None:
        """A tombstone and JSON that is no CloudEvent are invalid_data."""
        assert reason(value) == "invalid_data"

    @pytest.mark.parametrize("kind", ["order.exploded", "", "Order.Placed", "segment.joined"])
    def test_unknown_type(self, kind: str) -> None:
        """A type that is not in the contract is unknown_type."""
        assert reason(json.dumps(cloud(kind)).encode()) == "unknown_type"

    @pytest.mark.parametrize(
        "event",
        [
            cloud(id=None),
            cloud(id=""),
            cloud(id=7),
            cloud(id="x" * 257),
            cloud(id="a\0b"),
            cloud(time=None),
            cloud(time="yesterday"),
            cloud(time="2024-05-01"),
            cloud(time="2024-05-01T00:00:00"),
            cloud(time="2024-02-30T00:00:00Z"),
            cloud(time="0001-01-01T00:00:00+05:00"),
            cloud(time=1714521600),
            cloud(sequence=3),
            cloud(specversion="0.3"),
            cloud(data=None),
            cloud(data=[]),
            cloud(data="x"),
            cloud(data=data(order_id=...)),
            cloud(data=data(order_id="")),
            cloud(data=data(customer_id=...)),
            cloud(data=data(customer_id="")),
            cloud(data=data(customer_id="x" * 129)),
            cloud(data=data(customer_id=5)),
            cloud(data=data(customer_id="a\0")),
            cloud(data=data(customer_id="00000000-0000-0000-0000-000000000000")),
            cloud(data=data(total=...)),
            cloud(data=data(total=None)),
            cloud(data=data(total="ten")),
            cloud(data=data(total="NaN")),
            cloud(data=data(total=" 1")),
            cloud(data=data(total="1_0")),
            cloud(data=data(total="\u0661")),
            cloud(data=data(total=1.005)),
            cloud(data=data(total=10**10)),
            cloud(data=data(total=True)),
            cloud(data=data(currency=...)),
            cloud(data=data(items="x")),
            cloud(data=data(items=[{}])),
            cloud(data=data(items=[{"product_id": "p", "unit_price": 1.00001}])),
            cloud("customer.registered", {"customer_id": "c", "customer_type": "robot"}),
            cloud("customer.registered", {"customer_id": "c", "email_subscribed": "yes"}),
            cloud("customer.registered", {"customer_id": "c", "traits": {"a": [1]}}),
            cloud("customer.registered", {"customer_id": "c", "traits": {"a": 10**60}}),
            cloud("customer.registered", {"customer_id": "c", "location": "Paris"}),
            cloud("customer.activity", {"customer_id": "c"}),
            cloud("order.refunded", {"customer_id": "c", "currency": "EUR", "amount": 1}),
        ],
    )
    def test_bad_values_are_invalid_data(self, event: dict) -> None:
        """A value that the contract does not allow is invalid_data."""
        assert reason(json.dumps(event).encode()) == "invalid_data"

    def test_numbers_beyond_measure(self) -> None:
        """10^400 as an amount is refused, at no cost."""
        text = json.dumps(cloud()).replace('"total": 10', '"total": 1e400')
        assert reason(text.encode()) == "invalid_data"

    @pytest.mark.parametrize("number", ["1e9999999999999999999", "9" * 5_000])
    def test_traits_beyond_measure(self, number: str) -> None:
        """Numbers that Python itself refuses make the record invalid_data, also beside a text with U+0000."""
        event = cloud("customer.registered", {"customer_id": "c", "name": "a\0", "traits": {"a": 4711}})
        assert reason(json.dumps(event).replace("4711", number).encode()) == "invalid_data"

    def test_other_currency(self) -> None:
        """Another currency than the service's is wrong_currency."""
        assert reason(json.dumps(cloud(data=data(currency="USD"))).encode()) == "wrong_currency"

    def test_too_large(self) -> None:
        """More bytes than EVENT_BYTES_MAX are too_large, whatever they hold."""
        assert reason(b"x" * 10_001) == "too_large"

    def test_header_that_is_not_utf8(self) -> None:
        """A header that is not UTF-8 makes the record invalid_data, in either mode."""
        assert reason(json.dumps(cloud()).encode(), (("x", b"\xff"),)) == "invalid_data"
        assert reason(b"{}", (("ce_specversion", b"1.0"), ("ce_type", b"\xff"))) == "invalid_data"

    def test_future(self) -> None:
        """More than 5 minutes after the clock is future_event; under a fixed clock any time after it."""
        assert reason(json.dumps(cloud(time="2024-06-01T12:05:00.000001Z")).encode()) == "future_event"
        assert reason(json.dumps(cloud(time="9999-12-31T23:59:59Z")).encode()) == "future_event"
        assert reason(json.dumps(cloud(time="2024-06-01T12:00:00.000001Z")).encode(), rules=FIXED) == "future_event"
        assert accepted(cloud(time="2024-06-01T12:05:00Z")).at == NOW + 5 * instants.MINUTE
        assert accepted(cloud(time="2024-06-01T12:00:00Z"), rules=FIXED).at == NOW


class TestAccepted:
    """Records that are events."""

    def test_binary_mode(self) -> None:
        """Attributes in ce_ headers, data in the value; a trace is carried on."""
        headers = (
            ("ce_specversion", b"1.0"),
            ("ce_type", b"order.placed"),
            ("ce_id", b"e9"),
            ("ce_time", b"2024-05-01T02:00:00.5+02:00"),
            ("ce_sequence", b"7"),
            ("traceparent", TRACE.encode()),
            ("content-type", b"application/json"),
        )
        found = decode(json.dumps(ORDER).encode(), headers, WALL, NOW)
        assert isinstance(found, Event)
        assert (found.id, found.sequence, found.trace) == ("e9", "7", TRACE)
        assert found.at == instants.parse("2024-05-01T00:00:00.5Z")
        assert found.customer_id == identity.customer_uuid("c1")

    def test_structured_mode_by_content_type(self) -> None:
        """A structured event is read as such even where ce_ headers stand beside it."""
        headers = (("content-type", b"application/cloudevents+json; charset=UTF-8"), ("ce_specversion", b"1.0"))
        assert accepted(cloud(), headers).id == "e1"

    def test_base64_data(self) -> None:
        """Data may come as data_base64."""
        encoded = base64.b64encode(json.dumps(ORDER).encode()).decode()
        assert accepted(cloud(data=None, data_base64=encoded)).minor_units == 1_000

    @pytest.mark.parametrize(
        ("total", "cents"),
        [(0, 0), (10, 1_000), (99.99, 9_999), ("99.9", 9_990), (-5.5, -550), ("1e2", 10_000), (0.1, 10)],
    )
    def test_money_is_exact(self, total: object, cents: int) -> None:
        """Numbers and decimal strings give exact minor units."""
        assert accepted(cloud(data=data(total=total))).minor_units == cents

    def test_a_trace_that_is_none_is_not_carried_on(self) -> None:
        """A traceparent of another form does not make the event bad."""
        assert accepted(cloud(traceparent="x" * 5_000)).trace is None

    def test_guest(self) -> None:
        """An order without a customer belongs to the guests."""
        assert accepted(cloud(data=data(customer_id=None))).customer_id == identity.GUEST

    def test_unknown_fields_are_ignored(self) -> None:
        """Fields that the contract does not name change nothing."""
        found = accepted(cloud(data=data(colour="red"), dataschema="x", extension=1))
        assert isinstance(found.data, OrderPlaced)

    def test_uuid_customers_are_themselves(self) -> None:
        """An id in the form of a UUID, in any case, is that UUID; the id as given is kept."""
        found = accepted(cloud(data=data(customer_id="67A1AB0B-B0D6-540D-A677-AADE60EE6ECA")))
        assert str(found.customer_id) == "67a1ab0b-b0d6-540d-a677-aade60ee6eca"
        assert found.external_id == "67A1AB0B-B0D6-540D-A677-AADE60EE6ECA"

    def test_update_with_nulls_names_nothing(self) -> None:
        """A null total or list of items in order.updated leaves what was."""
        event = cloud("order.updated", {"order_id": "o", "customer_id": "c", "total": None, "items": None})
        assert accepted(event).minor_units is None
