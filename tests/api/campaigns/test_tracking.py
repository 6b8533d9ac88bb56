"""The pixel and the links of messages: what they answer, what they tell, and what a storm of them costs."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from service.core.campaigns import links
from service.core.campaigns.links import KEY_ID, Link, Purpose
from service.core.campaigns.secrets import Purpose as KeyPurpose
from service.core.campaigns.secrets import derived_key
from service.core.identity import customer_uuid
from service.core.instants import to_text
from tests.api.support import NOW, SECRET, Api
from tests.integration.engagement.support import add_campaign, add_messages, outbox, rows

KEY = derived_key(SECRET, KeyPurpose.LINKS)
LINKS = ["https://shop.example.org/sale?a=1&b=%20", "https://shop.example.org/größe", "javascript:alert(1)"]
PEOPLE = ["c1", "c2"]
BROWSER = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}


@pytest.fixture
async def sent(api: Api) -> list[UUID]:
    """Two messages with links."""
    return await add_messages(api.database, await add_campaign(api.database), PEOPLE, links=LINKS)


def address(purpose: Purpose, message_id: UUID, index: int = 0) -> str:
    """Where a link of a message leads."""
    token = links.sign(KEY, Link(purpose, message_id, index))
    return {Purpose.OPEN: f"/t/o/{token}.gif", Purpose.CLICK: f"/t/c/{token}"}[purpose]


async def get(api: Api, path: str, method: str = "GET", **headers: str) -> httpx2.Response:
    """One request of a stranger."""
    return await api.client.request(method, path, headers=BROWSER | headers, follow_redirects=False)


async def told(api: Api) -> list[tuple[str, dict[str, Any], dict[str, str]]]:
    """What is told: key, data, headers."""
    found = []
    for topic, key, value, headers in await outbox(api.database):
        assert topic == "campaign-engagement"
        found.append((key.decode(), json.loads(value), {name: text.decode() for name, text in headers}))
    return found


class TestPixel:
    """GET /t/o/{token}.gif"""

    async def test_an_open(self, api: Api, sent: list[UUID]) -> None:
        """A picture of one pixel that nobody keeps; told once, with the instant of the service's clock."""
        path = address(Purpose.OPEN, sent[0])
        for _ in range(3):
            response = await get(api, path)
            assert (response.status_code, len(response.content)) == (200, 43)
            assert response.content[:6] == b"GIF89a"
            assert response.headers["content-type"] == "image/gif"
            assert response.headers["cache-control"] == "no-store"
            assert "set-cookie" not in response.headers
        ((key, data, headers),) = await told(api)
        assert key == headers["ce_subject"] == str(customer_uuid("c1"))
        assert headers["ce_type"] == "campaign.message.opened"
        assert headers["ce_source"] == "/customer-segments"
        assert headers["ce_id"].startswith(f"{sent[0]}:opened:")
        assert data == {
            "message_id": str(sent[0]),
            "occurred_at": to_text(NOW),
            "channel": "email",
            "details": {},
        }

    @pytest.mark.parametrize("token", ["x", "v1.e30.AAAA", "..", "%00", "a" * 5_000])
    async def test_a_bad_token(self, api: Api, token: str) -> None:
        """The picture all the same, and nothing else."""
        response = await get(api, f"/t/o/{token}.gif")
        assert (response.status_code, len(response.content)) == (200, 43)
        assert await told(api) == []

    async def test_others_links(self, api: Api, sent: list[UUID]) -> None:
        """A token for a click, one signed with another key, one of no message: nothing is told."""
        click = links.sign(KEY, Link(Purpose.CLICK, sent[0]))
        foreign = links.sign(b"x" * 32, Link(Purpose.OPEN, sent[0]))
        nobody = links.sign(KEY, Link(Purpose.OPEN, uuid4()))
        for token in (click, foreign, nobody):
            assert (await get(api, f"/t/o/{token}.gif")).status_code == 200
        assert await told(api) == []

    async def test_machines(self, api: Api, sent: list[UUID]) -> None:
        """Who only asks for the head, fetches ahead or says that it scans is told apart from a person."""
        path = address(Purpose.OPEN, sent[0])
        await get(api, path, "HEAD")
        await get(api, path, **{"user-agent": "Barracuda Sentinel (EE)"})
        await get(api, path, **{"sec-purpose": "prefetch;prerender"})
        assert [data["details"] for _, data, _ in await told(api)] == [{"is_machine": True}]
        await get(api, path, **{"user-agent": "Mozilla/5.0 (via ggpht.com GoogleImageProxy)"})
        assert [data["details"] for _, data, _ in await told(api)] == [{"is_machine": True}, {}]

    async def test_a_database_that_is_away(self, api: Api, sent: list[UUID]) -> None:
        """The picture comes all the same."""
        await api.run("ALTER TABLE outbox RENAME TO gone")
        assert (await get(api, address(Purpose.OPEN, sent[0]))).status_code == 200
        await api.run("ALTER TABLE gone RENAME TO outbox")
        assert (await get(api, address(Purpose.OPEN, sent[0]))).status_code == 200
        assert len(await told(api)) == 1


class TestClicks:
    """GET /t/c/{token}"""

    async def test_a_click(self, api: Api, sent: list[UUID]) -> None:
        """Leads to the stored address, as it stands there; each link is told by itself."""
        places = [LINKS[0], "https://shop.example.org/gr%C3%B6%C3%9Fe"]
        for index, place in enumerate(places):
            for _ in range(2):
                response = await get(api, address(Purpose.CLICK, sent[0], index))
                assert (response.status_code, response.headers["location"]) == (302, place)
        assert [data["details"] for _, data, _ in await told(api)] == [{"link_index": 0}, {"link_index": 1}]

    async def test_a_machine(self, api: Api, sent: list[UUID]) -> None:
        """It is led there as well."""
        response = await get(api, address(Purpose.CLICK, sent[0]), "HEAD")
        assert (response.status_code, response.headers["location"]) == (302, LINKS[0])
        assert [data["details"] for _, data, _ in await told(api)] == [{"is_machine": True, "link_index": 0}]

    async def test_nowhere(self, api: Api, sent: list[UUID]) -> None:
        """No good token, no such link, no web page: 404 and no way to any other place."""
        good = links.sign(KEY, Link(Purpose.CLICK, sent[0]))
        bad = [
            *("x", good[:-2], good + "A", links.sign(b"x" * 32, Link(Purpose.CLICK, sent[0]))),
            links.sign(KEY, Link(Purpose.OPEN, sent[0])),
            links.sign(KEY, Link(Purpose.CLICK, uuid4())),
            links.sign(KEY, Link(Purpose.CLICK, sent[0], 2)),
            links.sign(KEY, Link(Purpose.CLICK, sent[0], 7)),
        ]
        for token in bad:
            response = await get(api, f"/t/c/{token}?url=https://evil.example.org")
            assert response.status_code == 404, token
            assert "location" not in response.headers

    async def test_one_link_too_often(self, api: Api, sent: list[UUID]) -> None:
        """One link of one message is for one person; others go on."""
        one, other = (address(Purpose.CLICK, message_id) for message_id in sent)
        found = [(await get(api, one)).status_code for _ in range(80)]
        assert found[:30] == [302] * 30
        assert found[-1] == 429
        assert (await get(api, other)).status_code == 302


async def test_a_storm(api: Api) -> None:
    """Many opens at once are few transactions, each open once; repeats ask the database nothing."""
    people = [f"c{n}" for n in range(500)]
    sent = await add_messages(api.database, await add_campaign(api.database), people, links=LINKS)
    paths = [address(Purpose.OPEN, one) for one in sent] * 3
    answers = await asyncio.gather(*(get(api, path) for path in paths))
    assert {one.status_code for one in answers} == {200}
    assert len(await told(api)) == len(sent)
    (found,) = await rows(api.database, "SELECT count(*) AS rows FROM outbox")
    assert found["rows"] <= 20
    await api.run("ALTER TABLE outbox RENAME TO gone")
    await asyncio.gather(*(get(api, path) for path in paths))
    await api.run("ALTER TABLE gone RENAME TO outbox")
    assert len(await told(api)) == len(sent)


def test_the_key_id() -> None:
    """Tokens name the key that the routes read with."""
    token = links.sign(KEY, Link(Purpose.OPEN, uuid4()))
    assert links.read({KEY_ID: KEY}, token, Purpose.OPEN) is not None
