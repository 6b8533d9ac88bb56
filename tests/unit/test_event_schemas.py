"""The published schemas say what the code does, stay as they are, and only grow."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError

from service.app.event_schemas import all_schemas, data_schema, envelope_schema
from service.app.schema_changes import incompatibilities
from service.cli.event_schemas import as_text, breaks, write
from service.core.events import model
from service.core.events.decode import Rejected, Rules, decode
from tests.exact import CURRENCIES, DataSet, data_folder, data_sets
from tests.unit.test_decode import NOW, WALL, cloud, data

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"
MADE = dict(all_schemas())


def validator(name: str) -> Draft202012Validator:
    """Checks values against a published schema."""
    return Draft202012Validator(json.loads((FOLDER / f"{name}.json").read_text()), format_checker=FormatChecker())


def test_files_are_current() -> None:
    """The files are what the code makes; `python -m service.cli.event_schemas` writes them anew."""
    assert breaks(FOLDER) == []
    assert {path.name: path.read_text() for path in FOLDER.glob("*.json")} == {
        f"{name}.json": as_text(schema) for name, schema in MADE.items()
    }


@pytest.mark.parametrize("name", MADE)
def test_schemas_are_schemas(name: str) -> None:
    """Each is a valid schema of draft 2020-12, whole in itself."""
    Draft202012Validator.check_schema(MADE[name])
    assert '"$ref": "#/components' not in as_text(MADE[name])


#: (type, data, whether they do)
CASES: list[tuple[str, dict, bool]] = [
    ("order.placed", data(), True),
    ("order.placed", data(total="10.50", items=[{"product_id": "p", "unit_price": "1.2345"}], test=True), True),
    ("order.placed", data(total="ten"), False),
    ("order.placed", data(total=10**10), False),
    ("order.placed", data(total=None), False),
    ("order.placed", data(total=...), False),
    ("order.placed", data(customer_id=None), True),
    ("order.placed", data(customer_id=""), False),
    ("order.placed", data(customer_id=5), False),
    ("order.placed", data(items=[{}]), False),
    ("order.placed", data(order_id="x" * 257), False),
    ("order.placed", data(colour="red"), True),
    ("order.updated", {"order_id": "o", "customer_id": "c", "total": None}, True),
    ("order.cancelled", {"order_id": "o"}, False),
    ("order.refunded", {"refund_id": "r", "customer_id": "c", "currency": "EUR", "amount": "-1"}, True),
    ("order.refunded", {"refund_id": "r", "customer_id": "c", "currency": "EUR"}, False),
    ("customer.updated", {"customer_id": "c", "email": None, "traits": {"a": 1, "b": None}}, True),
    ("customer.updated", {"customer_id": "c", "traits": {"a": [1]}}, False),
    ("customer.updated", {"customer_id": "c", "traits": {"": 1}}, False),
    ("customer.updated", {"customer_id": "c", "traits": None}, True),
    ("customer.updated", {"customer_id": "c", "customer_type": "robot"}, False),
    ("customer.updated", {"customer_id": "c", "location": {"city": 5}}, False),
    ("customer.registered", {"customer_id": None}, False),
    ("customer.activity", {"customer_id": "c", "name": ""}, False),
    ("customer.activity", {"customer_id": "c", "name": "x", "properties": {"a": True}}, True),
]


@pytest.mark.parametrize(("name", "body", "does"), CASES)
def test_schemas_agree_with_the_decoder(name: str, body: dict, does: bool) -> None:
    """What a schema takes the decoder takes, and what it refuses the decoder refuses."""
    event = cloud(name, body)
    decoded = decode(json.dumps(event).encode(), (), WALL, NOW)

    assert validator(name).is_valid(body) is does
    assert validator("cloudevent").is_valid(event)
    assert isinstance(decoded, Rejected) is not does


@pytest.mark.parametrize("name", data_sets())
def test_events_of_the_sets(name: str) -> None:
    """Events of the sets that the service takes are valid by their schemas."""
    folder = data_folder()
    assert folder is not None
    one = DataSet(folder, name)
    validators = {name: validator(name) for name in (*model.TYPES, "cloudevent")}
    rules = Rules(CURRENCIES[one.name], 1_000_000, False)
    checked = 0
    for number, line in enumerate(one.lines()):
        if number % 97:
            continue
        if not isinstance(decode(line, (), rules, 2**60), Rejected):
            event = json.loads(line)
            validators["cloudevent"].validate(event)
            validators[event["type"]].validate(event["data"])
            checked += 1
    assert checked


Change = Callable[[dict[str, Any]], Any]
OLD = MADE["order.placed"]
NARROWER = "is narrower than it was."
#: (what is done to the schema, the sentence about it, or nothing where nobody notices)
CHANGES: list[tuple[Change, str]] = [
    (lambda new: None, ""),
    (lambda new: new["properties"].update(note={"type": "string"}), ""),
    (lambda new: new["required"].remove("currency"), ""),
    (lambda new: new["properties"]["order_id"].update(type=["string", "integer"]), ""),
    (lambda new: new["properties"]["order_id"].update(maxLength=512), ""),
    (lambda new: new["properties"]["order_id"].pop("maxLength"), ""),
    (lambda new: new["required"].append("status"), "data.status: is newly required."),
    (lambda new: new["properties"].pop("status"), "data.status: is removed."),
    (lambda new: new["properties"]["order_id"].update(maxLength=9), f"data.order_id: maxLength {NARROWER}"),
    (lambda new: new["properties"]["order_id"].update(minLength=2), f"data.order_id: minLength {NARROWER}"),
    (lambda new: new["properties"]["order_id"].update(pattern="x"), "data.order_id: pattern differs."),
    (
        lambda new: new["properties"]["order_id"].update(enum=["a"]),
        "data.order_id: no longer allows every value that it did.",
    ),
    (
        lambda new: new["properties"]["order_id"].update(type="integer"),
        "data.order_id: was string and is narrowed to integer.",
    ),
    (
        lambda new: new["properties"]["status"].update(anyOf=[{"type": "string"}]),
        "data.status: was null or string and is narrowed to string.",
    ),
    (lambda new: new["$defs"]["Item"]["properties"].pop("category"), "data.items[].category: is removed."),
    (lambda new: new["$defs"]["Item"]["required"].append("category"), "data.items[].category: is newly required."),
    (
        lambda new: new["properties"]["total"]["anyOf"][0].update(pattern="^[0-9]$"),
        "data.total: pattern differs.",
    ),
]


@pytest.mark.parametrize(("change", "said"), CHANGES)
def test_only_additions(change: Change, said: str) -> None:
    """A field removed, newly required or narrowed breaks senders; more is allowed at any time."""
    new = copy.deepcopy(OLD)
    change(new)

    assert incompatibilities(OLD, new) == ([said] if said else [])


def test_readers_want_more() -> None:
    """Of what the service writes, nothing that was always there may go missing, and no value may be new."""
    old = MADE["segment.joined"]
    new = copy.deepcopy(old)
    new["required"].remove("reason")
    new["properties"]["reason"]["enum"].append("whim")
    new["properties"]["backfill"]["type"] = ["boolean", "null"]
    new["properties"]["added"] = {"type": "string"}
    new["required"].append("added")

    assert sorted(incompatibilities(old, new, is_outbound=True)) == [
        "data.backfill: may now be null, which readers do not expect.",
        "data.reason: may now be missing.",
        "data.reason: may now have values that readers do not expect.",
    ]


def test_the_command_refuses_to_break(tmp_path: Path) -> None:
    """The files are not written over where that would break somebody."""
    assert write(tmp_path) == []
    path = tmp_path / "order.placed.json"
    older = json.loads(path.read_text())
    older["properties"]["colour"] = {"type": "string"}
    path.write_text(as_text(older))

    assert write(tmp_path) == ["order.placed: data.colour: is removed."]
    assert "colour" in path.read_text()
    assert write(FOLDER) == []


def test_outgoing_records() -> None:
    """What the outbox holds is valid: a join, a leave, a dead letter."""
    from service.app.outgoing import decode_outbox, encode_outbox
    from service.app.ports import DeadLetter
    from tests.unit.test_outgoing import AT, TOPICS, transition

    letter = DeadLetter("invalid_json", "It broke.", "orders", 2, 41, 1700, b"k", b"\xff", 9, [], UUID(int=5))
    rows = encode_outbox(TOPICS, [transition()], AT, [letter])
    (_, _, value, _), (_, _, _, headers) = (
        record for row in rows for record in decode_outbox(row.payload, "membership")
    )

    assert value is not None
    validator("segment.joined").validate(json.loads(value))
    said = {name: text.decode() for name, text in headers}
    validator("dead-letter-headers").validate(said)
    with pytest.raises(ValidationError):
        validator("dead-letter-headers").validate({**said, "x-original-offset": "none"})


def test_references_can_stand_elsewhere() -> None:
    """A document that holds all schemas refers to the parts where it keeps them."""
    schema, parts = data_schema("order.placed", "#/components/schemas/{name}")

    assert "#/components/schemas/Item" in json.dumps(schema)
    assert set(parts) == {"Item", "DiscountCode"}
    assert envelope_schema("order.placed", schema)["properties"]["type"] == {"const": "order.placed"}
