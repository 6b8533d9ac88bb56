"""Messages by webhook through the dispatch role: a real endpoint that checks signatures by the standard."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from base64 import b64decode
from typing import Any

from aiohttp import web

from service.adapters.postgres.database import Database
from service.core import instants
from tests.integration.dispatch.conftest import start
from tests.integration.dispatch.support import begin, campaign, now, outcomes, registered, requested, rows
from tests.integration.webhooks.endpoint import SECRET, endpoint
from tests.world import World, create

PEOPLE = [f"c{number}" for number in range(12)]
TIME_TOLERANCE_SECONDS = 300


def verified(headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """The body of a request whose signature is good, by the words of the standard and none of our code."""
    assert abs(time.time() - int(headers["webhook-timestamp"])) < TIME_TOLERANCE_SECONDS
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = hmac.new(b64decode(SECRET.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    version, _, given = headers["webhook-signature"].partition(",")
    assert version == "v1"
    assert hmac.compare_digest(b64decode(given), expected)
    found: dict[str, Any] = json.loads(body)
    return found


class TestWebhook:
    """SEGMENTS_SMS_WEBHOOK_URL."""

    async def test_each_gets_one_signed_request(self, shop: World, database: Database) -> None:
        """What is not wanted fails, what is refused for now comes again under its id, and nothing is on the topic."""
        segment_id = (await create(database, {"all": {}}, instants.to_text(now())))["all"]
        failed: set[str] = set()

        async def answer(request: web.Request) -> web.Response:
            customer = json.loads(await request.read())["data"]["customer"]["external_id"]
            if customer == "c7":
                return web.Response(status=422)
            if customer == "c8" and customer not in failed:
                failed.add(customer)
                return web.Response(status=500)
            return web.Response(status=204)

        async with endpoint() as made:
            made.answer = answer
            shop.env |= {
                "SEGMENTS_SMS_WEBHOOK_URL": f"http://127.0.0.1:{made.port}/hook",
                "SEGMENTS_WEBHOOK_SECRET": SECRET,
                "SEGMENTS_WEBHOOK_HOSTS_ALLOWED": "127.0.0.1",
            }
            start(shop, dispatchers=2)
            await asyncio.to_thread(shop.publish, [registered(one) for one in PEOPLE])
            await asyncio.to_thread(shop.wait_idle)
            campaign_id = await begin(database, campaign(segment_id, trigger="once", state="scheduled"))
            give_up = time.monotonic() + 60
            while len(await _settled(database, campaign_id)) < len(PEOPLE):
                assert time.monotonic() < give_up, shop.logs()
                await asyncio.sleep(0.2)
            taken = [(headers, verified(headers, body)) for headers, body in made.requests]

        states = await outcomes(database, campaign_id)
        assert states == dict.fromkeys(PEOPLE, ("sent", None)) | {"c7": ("failed", "rejected")}
        ids = {row["external_id"]: str(row["message_id"]) for row in await rows(database, campaign_id)}
        attempts: dict[str, list[int]] = {}
        for headers, said in taken:
            data = said["data"]
            assert said["type"] == "campaign.message.requested"
            assert headers["webhook-id"] == data["message_id"] == ids[data["customer"]["external_id"]]
            attempts.setdefault(data["customer"]["external_id"], []).append(data["attempt"])
        assert attempts == {one: [1] for one in PEOPLE} | {"c8": [1, 2]}
        assert not requested(shop)


async def _settled(database: Database, campaign_id: Any) -> list[Any]:
    return [row for row in await rows(database, campaign_id) if row["state"] in ("sent", "failed", "dead")]
