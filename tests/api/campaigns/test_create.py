"""Creating, reading and listing campaigns."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from service.app.tokens import Permission
from tests.api.campaigns.support import (
    DISCOUNT,
    EMAIL,
    JOINED,
    LATER,
    Campaigns,
    faults,
    holding,
)

FULL = {
    **DISCOUNT,
    "channel": "sms",
    "subject": None,
    "discount_code": None,
    "code_generator": {"prefix": "BACK-"},
    "trigger": "on_joined",
    "reentry": "every_time",
    "min_gap": {"days": 30},
    "delay": {"hours": 2},
    "fire_on": ["event", "import"],
    "include_existing": True,
    "recheck_membership": False,
    "expires_at": "2024-01-01T00:00:00+01:00",
    "expires_after": {"hours": 36},
    "max_lateness": {"minutes": 90},
    "holdout_percent": 10,
    "priority": 80,
    "quiet_hours": {"start": "22:30", "end": "07:00"},
    "frequency_caps": [{"max": 1, "per": {"days": 1}, "channel": "sms"}],
    "on_uncertain": "resend",
    "tracking": False,
    "cost_per_message": "0.0125",
    "fixed_cost": 99.9,
    "gross_margin": "0.35",
}


class TestCreate:
    """POST /{segment}/campaigns."""

    async def test_draft(self, campaigns: Campaigns) -> None:
        """A new campaign is a draft of the segment, with a place of its own and nothing sent."""
        response = await campaigns.post(EMAIL)

        assert response.status_code == 201
        made = response.json()["data"]
        assert response.headers["location"] == f"/api/customer-segments/campaigns/{made['id']}"
        assert response.headers["etag"] == '"1"'
        assert {**made, **EMAIL} == made
        assert (made["segment_id"], made["status"], made["state"]) == (campaigns.segment, "draft", "draft")
        assert (made["channel"], made["category"], made["created_by"]) == ("email", "marketing", "u-1")
        counts = ("recipients_count", "opened_count", "clicked_count", "converted_count")
        assert [made[one] for one in counts] == [0, 0, 0, 0]
        assert made["messages"] == {}
        assert await campaigns.read(made["id"]) == made

    async def test_everything_comes_back(self, campaigns: Campaigns) -> None:
        """All that can be said of a campaign is kept and shown again: amounts exactly, instants in UTC."""
        made = await campaigns.create(**FULL)

        shown = {
            **FULL,
            "expires_at": "2023-12-31T23:00:00Z",
            "max_lateness": {"minutes": 90},
            "fixed_cost": "99.90",
        }
        assert {**made, **shown} == made

    async def test_defaults(self, campaigns: Campaigns) -> None:
        """What is not said is as the documentation has it."""
        made = await campaigns.create()

        expected = {
            "trigger": "once",
            "fire_on": ["event", "time"],
            "expires_after": {"days": 3},
            "max_lateness": {"days": 1},
            "delay": {"days": 0},
            "quiet_hours": None,
            "frequency_caps": None,
            "tracking": True,
            "holdout_percent": 0,
            "gross_margin": "1.00",
        }
        assert {**made, **expected} == made

    async def test_short_names(self, campaigns: Campaigns) -> None:
        """name and type are read as campaign_name and campaign_type."""
        response = await campaigns.post({"name": "News", "type": "sms", "content": "Hello"})

        assert response.status_code == 201
        made = response.json()["data"]
        assert (made["campaign_name"], made["campaign_type"], made["channel"]) == ("News", "sms", "sms")

    @pytest.mark.parametrize(
        ("body", "path"),
        [
            ({"campaign_name": " "}, "campaign_name"),
            ({"campaign_name": None}, "campaign_name"),
            ({"campaign_type": "fax"}, "campaign_type"),
            ({"subject": "a\nb"}, "subject"),
            ({"subject": "x" * 501}, "subject"),
            ({"content": "x\0"}, "content"),
            ({"content": "ü" * 100_001}, "content"),
            ({"channel": "sms"}, "channel"),
            ({"discount_amount": True}, "discount_amount"),
            ({"discount_amount": -1}, "discount_amount"),
            ({"discount_amount": "100000000"}, "discount_amount"),
            ({"discount_amount": "1.001"}, "discount_amount"),
            ({"scheduled_at": "2023-11-15"}, "scheduled_at"),
            ({"scheduled_at": "2023-11-15T00:00:00"}, "scheduled_at"),
            ({"scheduled_at": 1_700_000_000}, "scheduled_at"),
            ({"scheduled_at": "0001-01-01T00:00:00+14:00"}, "scheduled_at"),
            ({"delay": {}}, "delay"),
            ({"delay": {"days": 1, "hours": 1}}, "delay"),
            ({"delay": {"days": 91}}, "delay"),
            ({"delay": {"days": "1"}}, "delay.days"),
            ({"delay": {"weeks": 1}}, "delay.weeks"),
            ({"holdout_percent": 51}, "holdout_percent"),
            ({"holdout_percent": 10.5}, "holdout_percent"),
            ({"priority": True}, "priority"),
            ({"quiet_hours": True}, "quiet_hours.literal[False]"),
            ({"quiet_hours": {"start": "24:00", "end": "08:00"}}, "quiet_hours.QuietHoursBody.start"),
            ({"quiet_hours": {"start": "08:00", "end": "08:00"}}, "quiet_hours"),
            ({"frequency_caps": [{"max": 0, "per": {"days": 1}}]}, "frequency_caps[0].max"),
            ({"fire_on": []}, "fire_on"),
            ({"fire_on": ["replay"]}, "fire_on[0]"),
            ({"gross_margin": "1.5"}, "gross_margin"),
            ({"tracking": "yes"}, "tracking"),
            ({"code_generator": {"prefix": "a b"}}, "code_generator.prefix"),
            ({"nonsense": 1}, "nonsense"),
            ({"state": "sent"}, "state"),
            ({"status": "sent"}, "status"),
            ({"name": "Two names"}, "name"),
        ],
    )
    async def test_refused(self, campaigns: Campaigns, body: dict[str, Any], path: str) -> None:
        """What cannot be kept is refused, with its place; nothing is stored."""
        response = await campaigns.post({**EMAIL, **body})

        assert path in faults(response)
        listed = await campaigns.api.send("GET", f"/{campaigns.segment}/campaigns")
        assert listed.json()["data"]["total"] == 0

    async def test_no_such_segment(self, campaigns: Campaigns) -> None:
        """Campaigns of segments that are not there are not found."""
        for segment in (uuid4(), "nonsense"):
            for method in ("POST", "GET"):
                options = {"json": EMAIL} if method == "POST" else {}
                response = await campaigns.api.send(method, f"/{segment}/campaigns", **options)

                assert response.status_code == 404
                assert "segment" in response.json()["message"]

    async def test_the_same_key(self, campaigns: Campaigns) -> None:
        """A request that is repeated with its Idempotency-Key makes one campaign."""
        keyed = {"headers": {"idempotency-key": "k-1"}}
        first, again = [await campaigns.post(EMAIL, **keyed) for _ in range(2)]

        assert first.json() == again.json()
        assert again.headers["idempotency-replayed"] == "true"
        listed = await campaigns.api.send("GET", f"/{campaigns.segment}/campaigns")
        assert listed.json()["data"]["total"] == 1


class TestBeginAtOnce:
    """Campaigns that begin with the request that creates them, as older clients send them."""

    async def test_scheduled(self, campaigns: Campaigns) -> None:
        """status scheduled with a time schedules it."""
        made = await campaigns.create(status="scheduled", scheduled_at=LATER)

        assert (made["status"], made["state"], made["scheduled_at"]) == ("scheduled", "scheduled", LATER)

    async def test_now(self, campaigns: Campaigns) -> None:
        """send_now schedules it for now; the dispatcher does the rest."""
        made = await campaigns.create(send_now=True)

        assert (made["state"], made["scheduled_at"]) == ("scheduled", "2023-11-14T22:13:20Z")

    async def test_listening(self, campaigns: Campaigns) -> None:
        """One that joins fire listens from now on."""
        made = await campaigns.create(**JOINED, send_now=True)

        assert (made["state"], made["started_at"], made["scheduled_at"]) == ("active", "2023-11-14T22:13:20Z", None)

    @pytest.mark.parametrize(
        ("body", "fault"),
        [
            ({"status": "scheduled"}, "scheduled_at"),
            ({"status": "scheduled", "scheduled_at": "2023-11-14T22:13:19Z"}, "scheduled_at"),
            ({"status": "scheduled", "scheduled_at": "2025-11-14T22:13:19Z"}, "scheduled_at"),
            ({"send_now": True, "scheduled_at": LATER}, "send_now"),
            ({"send_now": True, "subject": None}, "subject"),
            ({"send_now": True, "content": "{{ customer.secret }}"}, "content"),
            ({"send_now": True, "content": "{% if %}"}, "content"),
        ],
    )
    async def test_must_be_whole(self, campaigns: Campaigns, body: dict[str, Any], fault: str) -> None:
        """What cannot begin is refused as a whole: not even a draft is left."""
        assert fault in faults(await campaigns.post({**EMAIL, **body}))

        listed = await campaigns.api.send("GET", f"/{campaigns.segment}/campaigns")
        assert listed.json()["data"]["total"] == 0

    @pytest.mark.parametrize("body", [{"send_now": True}, {"status": "scheduled", "scheduled_at": LATER}])
    async def test_needs_permission(self, campaigns: Campaigns, body: dict[str, Any]) -> None:
        """Who may create but not send makes drafts alone."""
        creator = {"headers": holding(Permission.CREATE)}

        refused = await campaigns.post({**EMAIL, **body}, **creator)
        assert refused.status_code == 403
        assert "campaigns:send" in refused.json()["message"]
        assert (await campaigns.post(EMAIL, **creator)).status_code == 201

    async def test_transactional_needs_another_permission(self, campaigns: Campaigns) -> None:
        """Transactional campaigns pass by consent, so that sending them is a right of its own."""
        body = {**EMAIL, "category": "transactional", "send_now": True}
        sender = holding(Permission.CREATE, Permission.SEND)

        response = await campaigns.post(body, headers=sender)
        assert response.status_code == 403
        assert "campaigns:send_transactional" in response.json()["message"]
        both = holding(Permission.CREATE, Permission.SEND, Permission.SEND_TRANSACTIONAL)
        assert (await campaigns.post(body, headers=both)).status_code == 201
