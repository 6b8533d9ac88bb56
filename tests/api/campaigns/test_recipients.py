"""The list of a campaign's messages."""

from __future__ import annotations

from uuid import UUID

from service.core.campaigns.identity import message_id
from tests.api.campaigns.support import Campaigns, ago
from tests.api.support import Api, add_members, customer


async def pages(campaigns: Campaigns, campaign: str, query: str) -> list[list[str]]:
    """All pages, each a list of external ids and occasions."""
    found, cursor = [], ""
    while True:
        response = await campaigns.api.send("GET", f"/campaigns/{campaign}/recipients?{query}{cursor}")
        assert response.status_code == 200, response.text
        data = response.json()["data"]
        found.append([f"{one['external_id']} {one['occasion']}" for one in data["recipients"]])
        if data["next_cursor"] is None:
            return found
        cursor = f"&cursor={data['next_cursor']}"


class TestRecipients:
    """GET /campaigns/{campaign}/recipients."""

    async def test_one(self, campaigns: Campaigns) -> None:
        """Who it is, what became of it and when; no address."""
        ada = customer(UUID(int=7), "C-7", name="Ada", email="ada@example.com")
        await add_members(campaigns.api.database, campaigns.segment, [ada])
        made = (await campaigns.create())["id"]
        values = {"state": "sent", "sent_at": ago(hours=3), "delivered_at": ago(hours=2), "opened_at": ago(hours=1)}
        await campaigns.add_message(made, UUID(int=7), **values)

        response = await campaigns.api.send("GET", f"/campaigns/{made}/recipients")

        (shown,) = response.json()["data"]["recipients"]
        assert shown == {
            "message_id": str(message_id(UUID(made), UUID(int=7), "once")),
            "customer_id": str(UUID(int=7)),
            "external_id": "C-7",
            "occasion": "once",
            "state": "sent",
            "reason": None,
            "attempts": 0,
            "discount_code": None,
            "occurred_at": "2023-11-14T22:13:20Z",
            "due_at": "2023-11-14T22:13:20Z",
            "expires_at": "2023-11-17T22:13:20Z",
            "sent_at": "2023-11-14T19:13:20Z",
            "delivered_at": "2023-11-14T20:13:20Z",
            "opened_at": "2023-11-14T21:13:20Z",
            "clicked_at": None,
            "bounced_at": None,
            "unsubscribed_at": None,
            "complained_at": None,
        }
        assert "ada@example.com" not in response.text

    async def test_pages(self, campaigns: Campaigns) -> None:
        """Every message once, by customer and occasion, wherever a page ends; with ?state only those."""
        made, other = (await campaigns.create())["id"], (await campaigns.create())["id"]
        for number in range(1, 5):
            for occasion in ("join:1", "join:10", "join:2"):
                state = "sent" if number % 2 else "pending"
                await campaigns.add_message(made, UUID(int=number), occasion=occasion, state=state)
        await campaigns.add_message(other, UUID(int=2))
        everything = [f"{UUID(int=number)} join:{one}" for number in range(1, 5) for one in (1, 10, 2)]

        for limit in (1, 2, 3, 12, 100):
            found = await pages(campaigns, made, f"limit={limit}")
            assert [one for page in found for one in page] == everything
            assert all(len(page) == limit for page in found[:-1])
        sent = await pages(campaigns, made, "limit=4&state=sent")
        assert [one for page in sent for one in page] == [*everything[:3], *everything[6:9]]
        total = await campaigns.api.send("GET", f"/campaigns/{made}/recipients?state=pending&limit=1")
        assert total.json()["data"]["total"] == 6

    async def test_cursors_of_others(self, campaigns: Campaigns) -> None:
        """A cursor that was made for something else is refused."""
        made, other = [(await campaigns.create())["id"] for _ in range(2)]
        for number in (1, 2):
            await campaigns.add_message(made, UUID(int=number))
        first = await campaigns.api.send("GET", f"/campaigns/{made}/recipients?limit=1")
        cursor = first.json()["data"]["next_cursor"]

        for campaign, text in ((other, cursor), (made, "nonsense"), (made, cursor[:-4]), (made, ""), (made, "%00")):
            response = await campaigns.api.send("GET", f"/campaigns/{campaign}/recipients?cursor={text}")
            assert response.status_code == 422, text
            assert response.json()["errors"][0]["path"] == "cursor"

    async def test_unknown(self, shared: Api) -> None:
        """Messages of campaigns that are not there, and states that there are not."""
        unknown = f"/campaigns/{UUID(int=1)}/recipients"
        assert (await shared.send("GET", unknown)).status_code == 404
        assert (await shared.send("GET", f"{unknown}?state=gone")).status_code == 422
