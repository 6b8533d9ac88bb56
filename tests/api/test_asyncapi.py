"""GET /asyncapi."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from faststream.specification.asyncapi.v3_0_0.schema import ApplicationSchema
from jsonschema import Draft202012Validator, FormatChecker

from service.app.asyncapi import EXAMPLES, example_event, example_told
from service.app.engagement.decode import Told, decode_told
from service.app.event_schemas import OUTBOUND
from service.app.message_schemas import ENGAGEMENT, MESSAGES
from service.core import instants
from service.core.events import model
from service.core.events.decode import Rejected, Rules, decode
from tests.api.support import Api
from tests.api.test_docs import references

DOCUMENT = {"accept": "application/json"}


async def fetched(api: Api) -> dict[str, Any]:
    """The document."""
    response = await api.client.get("/asyncapi", headers=DOCUMENT)
    assert response.status_code == 200
    return response.json()


def resolve(document: dict[str, Any], reference: str) -> Any:
    """What a reference within the document leads to."""
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


async def test_is_asyncapi_3(shared: Api) -> None:
    """The document is AsyncAPI 3.0 as another reader of it understands it, with every topic, open to everybody."""
    document = await fetched(shared)

    ApplicationSchema.model_validate(document)
    assert document["asyncapi"] == "3.0.0"
    channels = {name: (one["address"], set(one["messages"])) for name, one in document["channels"].items()}
    assert channels == {
        "orders": ("orders", set(model.TYPES)),
        "customers": ("customers", set(model.TYPES)),
        "membership": ("segment-membership", set(OUTBOUND)),
        "deadLetters": ("segments-dead-letters", {"dead-letter"}),
        "messages": ("campaign-messages", set(MESSAGES)),
        "engagement": ("campaign-engagement", set(ENGAGEMENT)),
    }
    ways = {one["channel"]["$ref"]: one["action"] for one in document["operations"].values()}
    assert ways == {
        "#/channels/orders": "receive",
        "#/channels/customers": "receive",
        "#/channels/membership": "send",
        "#/channels/deadLetters": "send",
        "#/channels/messages": "send",
        "#/channels/engagement": "receive",
    }


async def test_references_lead_somewhere(shared: Api) -> None:
    """The document is whole in itself."""
    document = await fetched(shared)
    found = references(document)

    assert len(found) > 20
    for reference in found:
        assert resolve(document, reference) is not None


@pytest.mark.parametrize("name", [*model.TYPES, *OUTBOUND, *MESSAGES, *ENGAGEMENT])
async def test_examples_are_events(shared: Api, name: str) -> None:
    """Each example is valid by the schema beside it, and the service takes those that come in."""
    document = await fetched(shared)
    message = document["components"]["messages"][name]
    validator = Draft202012Validator(
        {**message["payload"], "components": document["components"]}, format_checker=FormatChecker()
    )

    for example in message["examples"]:
        validator.validate(example["payload"])
        assert not validator.is_valid({**example["payload"], "type": 5, "customer_id": 5, "message_id": 5})
    if name in EXAMPLES:
        raw = json.dumps(example_event(name)).encode()
        now = instants.parse("2024-03-01T00:00:00Z")
        assert not isinstance(decode(raw, (), Rules("USD", 10_000, False), now), Rejected)
    if name in ENGAGEMENT:
        raw = json.dumps(example_told(name)).encode()
        assert isinstance(decode_told(raw, (), instants.parse("2024-03-01T00:00:00Z"), 10_000), Told)


async def test_media_types(shared: Api) -> None:
    """JSON for machines, the document's own type for who asks for it, a page for browsers."""
    kinds = {}
    for accept in ("*/*", "application/vnd.aai.asyncapi+json", "text/html,application/xhtml+xml,*/*;q=0.8"):
        response = await shared.client.get("/asyncapi", headers={"accept": accept})
        assert response.headers["vary"].lower().startswith("accept")
        kinds[accept] = response.headers["content-type"]
    assert list(kinds.values()) == [
        "application/json",
        "application/vnd.aai.asyncapi+json;version=3.0.0",
        "text/html; charset=utf-8",
    ]


async def test_page(shared: Api) -> None:
    """The page names every event and field, runs nothing and loads nothing."""
    response = await shared.client.get("/asyncapi", headers={"accept": "text/html"})

    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert not re.search(r"<script|src=|href=|url\(", response.text)
    events = (*model.TYPES, *OUTBOUND, *MESSAGES, *ENGAGEMENT)
    for name in (*events, "dead-letter", "x-original-offset", "discount_codes", "cause_event_id"):
        assert name in response.text
    assert response.text.count("<details>") == len(model.TYPES) + len(events) + 1
