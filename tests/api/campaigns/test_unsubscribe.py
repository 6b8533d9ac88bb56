"""One-click unsubscribing (RFC 8058), and the page for those who follow the link."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from service.core.campaigns import links
from service.core.campaigns.links import Link, Purpose
from service.core.campaigns.secrets import Purpose as KeyPurpose
from service.core.campaigns.secrets import address_hash, derived_key
from service.core.identity import customer_uuid
from service.core.instants import to_datetime
from tests.api.support import NOW, SECRET, Api
from tests.integration.analytics.support import event, world
from tests.integration.engagement.support import add_campaign, add_messages, outbox, rows

KEY = derived_key(SECRET, KeyPurpose.LINKS)
ADDRESSES = derived_key(SECRET, KeyPurpose.ADDRESSES)
ONE_CLICK = {"content": b"List-Unsubscribe=One-Click", "headers": {"content-type": "application/x-www-form-urlencoded"}}
MULTIPART = {
    "content": b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n',
    "headers": {"content-type": "multipart/form-data; boundary=x"},
}


@pytest.fixture
async def sent(api: Api) -> UUID:
    """A message to a customer who wants e-mail."""
    data = {"email": "Ann@example.org", "email_subscribed": True}
    await world(api.database, [event("customer.registered", "c1", "r1", "2023-01-01T00:00:00Z", data)], NOW)
    sent_at = to_datetime(NOW - 60_000_000)
    return (await add_messages(api.database, await add_campaign(api.database), ["c1"], sent_at=sent_at))[0]


def path(message_id: UUID) -> str:
    """The address in the message."""
    return f"/u/{links.sign(KEY, Link(Purpose.UNSUBSCRIBE, message_id))}"


async def post(api: Api, where: str, **options: Any) -> httpx2.Response:
    """As mail services do it."""
    return await api.client.post(where, follow_redirects=False, **(options or ONE_CLICK))


async def suppressions(api: Api) -> list[tuple[bytes, str]]:
    """Whose addresses get nothing, and why."""
    found = await rows(api.database, "SELECT address_hash, reason FROM campaign_suppressions")
    return [(row["address_hash"], row["reason"]) for row in found]


async def told(api: Api) -> dict[str, list[dict[str, Any]]]:
    """Data by topic."""
    found: dict[str, list[dict[str, Any]]] = {}
    for topic, _, value, _ in await outbox(api.database):
        found.setdefault(topic, []).append(json.loads(value))
    return found


@pytest.mark.parametrize("options", [ONE_CLICK, MULTIPART, {"content": b""}])
async def test_one_click(api: Api, sent: UUID, options: dict[str, Any]) -> None:
    """200, an empty body, no redirect, no cookie, no token; at once and as often as anybody likes."""
    for _ in range(3):
        response = await post(api, path(sent), **options)
        assert (response.status_code, response.content) == (200, b"")
        assert not {"location", "set-cookie"} & set(response.headers)
    assert await suppressions(api) == [(address_hash(ADDRESSES, "email", "ann@example.org"), "unsubscribed")]
    found = await told(api)
    assert found["customers"] == [{"customer_id": str(customer_uuid("c1")), "email_subscribed": False}]
    (event_data,) = found["campaign-engagement"]
    assert (event_data["message_id"], event_data["details"]) == (str(sent), {"method": "one_click"})
    (consent,) = await rows(api.database, "SELECT customer_id, channel, method, message_id FROM campaign_consents")
    assert consent == {
        "customer_id": customer_uuid("c1"),
        "channel": "email",
        "method": "one_click",
        "message_id": sent,
    }


async def test_the_page(api: Api, sent: UUID) -> None:
    """Looking changes nothing; its form leads to the same address, and there is nothing in it from elsewhere."""
    for method in ("GET", "HEAD", "GET"):
        response = await api.client.request(method, path(sent))
        assert response.status_code == 200
    assert "<script" not in response.text
    assert "http" not in response.text
    assert '<form method="post">' in response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert await suppressions(api) == []
    assert await told(api) == {}
    done = await api.client.post(path(sent), data={"from": "page"})
    assert done.status_code == 200
    assert "Unsubscribed" in done.text
    (consent,) = await rows(api.database, "SELECT method FROM campaign_consents")
    assert consent["method"] == "page"
    assert len(await suppressions(api)) == 1


async def test_bad_links(api: Api, sent: UUID) -> None:
    """No token, another's token or one for something else: 404 for both, and nothing happens."""
    for token in ("x", path(sent)[3:-3], links.sign(KEY, Link(Purpose.OPEN, sent)), "a" * 3_000):
        assert (await post(api, f"/u/{token}")).status_code == 404
        assert (await api.client.get(f"/u/{token}")).status_code == 404
    assert await suppressions(api) == []


async def test_a_message_that_is_gone(api: Api) -> None:
    """Nobody gets anything any more; the sender of the request is told so."""
    assert (await post(api, path(uuid4()))).status_code == 200
    assert await told(api) == {}


async def test_again_after_a_newer_yes(api: Api, sent: UUID) -> None:
    """Who subscribes again and then says no by the same link is heard; the event has an id of its own."""
    await post(api, path(sent))
    later = event("customer.updated", "c1", "u1", "2023-11-14T22:13:20.5Z", {"email_subscribed": True})
    await world(api.database, [later], NOW + 1_000_000)
    api.app.state.services = _later(api, NOW + 2_000_000)
    await post(api, path(sent))
    await post(api, path(sent))
    ids = [dict(headers)["ce_id"] for topic, _, _, headers in await outbox(api.database) if topic == "customers"]
    assert ids == [f"{sent}:unsubscribed".encode(), f"{sent}:unsubscribed:2".encode()]


def _later(api: Api, now: int) -> Any:
    from dataclasses import replace

    return replace(api.app.state.services, clock=lambda: now)


async def test_the_segments_hear_of_it(api: Api, sent: UUID) -> None:
    """The fact that is told is one that the service takes: the customer's flag is false then."""
    await post(api, path(sent))
    from service.app.ingest import Record, decode_batch
    from service.core.events.decode import Rules

    (record,) = [one for one in await outbox(api.database) if one[0] == "customers"]
    read = Record("customers", 0, 0, 0, record[1], record[2], record[3])
    decoded = decode_batch([read], Rules("USD", 1_048_576, True), NOW)
    assert decoded.letters == []
    (found,) = decoded.events[customer_uuid("c1")]
    assert (found.at, found.data.email_subscribed) == (NOW, False)
