"""Listing campaigns, and campaigns of a segment."""

from __future__ import annotations

from typing import Any

from tests.api.campaigns.support import (
    DISCOUNT,
    EMAIL,
    NOTIFICATION,
    SMS,
    Campaigns,
    ago,
)


class TestList:
    """GET /{segment}/campaigns, and campaigns in a segment's details."""

    async def test_pages_and_filters(self, campaigns: Campaigns) -> None:
        """The newest first, by pages, by status, state and type."""
        made = [(await campaigns.create(**body))["id"] for body in (EMAIL, SMS, NOTIFICATION, DISCOUNT)]
        await campaigns.force(made[1], "paused")
        await campaigns.force(made[2], "active")
        made.reverse()

        async def listed(query: str) -> list[str]:
            response = await campaigns.api.send("GET", f"/{campaigns.segment}/campaigns{query}")
            assert response.status_code == 200, response.text
            return [one["id"] for one in response.json()["data"]["campaigns"]]

        assert await listed("") == made
        assert await listed("?limit=3") == made[:3]
        assert await listed("?limit=3&page=2") == made[3:]
        assert await listed("?status=scheduled") == made[1:3]
        assert await listed("?state=paused") == [made[2]]
        assert await listed("?status=draft&state=paused") == []
        assert await listed("?campaign_type=email") == [made[3]]

    async def test_only_the_segments_own(self, campaigns: Campaigns) -> None:
        """Other segments' campaigns and deleted ones are not listed."""
        other = (await campaigns.api.create())["id"]
        gone = (await campaigns.create())["id"]
        assert (await campaigns.api.send("DELETE", f"/campaigns/{gone}")).status_code == 200

        for segment in (other, campaigns.segment):
            response = await campaigns.api.send("GET", f"/{segment}/campaigns")
            assert response.json()["data"]["campaigns"] == []
        assert (await campaigns.api.send("GET", f"/campaigns/{gone}")).status_code == 404

    async def test_in_details(self, campaigns: Campaigns) -> None:
        """Answers about one segment show its campaigns; lists of segments do not."""
        made = await campaigns.create()

        read = await campaigns.api.send("GET", f"/{campaigns.segment}")
        changed = await campaigns.api.send("PUT", f"/{campaigns.segment}", json={"segment_name": "Other"})
        listed = await campaigns.api.send("GET", "")
        assert read.json()["data"]["campaigns"] == [made]
        assert changed.json()["data"]["campaigns"] == [made]
        assert "campaigns" not in listed.json()["data"]["segments"][0]

    async def test_counts(self, campaigns: Campaigns) -> None:
        """Counts are those of the messages: recipients are what was sent, or may have been."""
        made = (await campaigns.create())["id"]
        at = ago(minutes=5)
        rows: list[dict[str, Any]] = [
            {"state": "sent", "sent_at": at, "opened_at": at, "clicked_at": at},
            {"state": "sent", "sent_at": at, "machine_opened_at": at},
            {"state": "uncertain", "assigned_at": at},
            {"state": "control", "assigned_at": at},
            {"state": "suppressed", "reason": "no_consent"},
            {"state": "pending"},
        ]
        for values in rows:
            await campaigns.add_message(made, **values)

        read = await campaigns.read(made)
        assert read["messages"] == {"control": 1, "pending": 1, "sent": 2, "suppressed": 1, "uncertain": 1}
        assert (read["recipients_count"], read["opened_count"], read["clicked_count"]) == (3, 1, 1)
