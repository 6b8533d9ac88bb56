"""What can be done to a campaign in which state."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from service.adapters.postgres.campaign_tables import campaign_messages, campaign_state_changes
from service.app.tokens import Permission
from service.core.campaigns.states import State
from tests.api.campaigns.support import EMAIL, JOINED, LATER, Campaigns, ago, faults, holding
from tests.api.support import add_many

#: Where each action leads from a state; all other pairs are conflicts. None: the campaign is gone.
ONCE: dict[tuple[str, str], str | None] = {
    ("draft", "schedule"): "scheduled",
    ("draft", "send"): "scheduled",
    ("draft", "update"): "draft",
    ("draft", "cancel"): "cancelled",
    ("draft", "delete"): None,
    ("scheduled", "unschedule"): "draft",
    ("scheduled", "cancel"): "cancelled",
    ("scheduled", "delete"): None,
    ("sending", "pause"): "paused",
    ("sending", "cancel"): "cancelled",
    ("active", "pause"): "paused",
    ("active", "cancel"): "cancelled",
    ("paused", "resume"): "sending",
    ("paused", "cancel"): "cancelled",
    ("sent", "delete"): None,
    ("cancelled", "delete"): None,
    ("failed", "delete"): None,
}
TRIGGERED = ONCE | {("draft", "schedule"): "active", ("draft", "send"): "active", ("paused", "resume"): "active"}
ACTIONS = ("schedule", "send", "pause", "resume", "cancel", "update", "unschedule", "delete")


async def act(campaigns: Campaigns, campaign: str, action: str, when: str | None) -> httpx2.Response:
    """Does one thing to the campaign."""
    if action == "update":
        return await campaigns.put(campaign, {"content": "<p>Other</p>"})
    if action == "unschedule":
        return await campaigns.put(campaign, {"status": "draft"})
    if action == "delete":
        return await campaigns.api.send("DELETE", f"/campaigns/{campaign}")
    options = {"json": {"scheduled_at": when}} if action == "schedule" and when else {}
    return await campaigns.act(campaign, action, **options)


class TestStates:
    """Every state and every action."""

    @pytest.mark.parametrize(("body", "table", "when"), [(EMAIL, ONCE, LATER), (JOINED, TRIGGERED, None)])
    @pytest.mark.parametrize("state", list(State))
    async def test_table(
        self, campaigns: Campaigns, state: State, body: dict[str, Any], table: dict[tuple[str, str], str], when: str
    ) -> None:
        """Each action leads where the table says, or is refused with a sentence and changes nothing."""
        for action in ACTIONS:
            made = (await campaigns.create(**body))["id"]
            await campaigns.force(made, state)
            before = await campaigns.read(made)
            possible = (str(state), action) in table
            # Taking back what is no longer scheduled is a change of nothing where it is a draft.
            if (state, action) == (State.DRAFT, "unschedule"):
                continue

            response = await act(campaigns, made, action, when)

            if not possible:
                assert response.status_code == 409, (state, action, response.text)
                assert f"is {state}" in response.json()["message"]
                assert await campaigns.read(made) == before
                continue
            assert response.status_code == 200, (state, action, response.text)
            after = table[str(state), action]
            if after is None:
                assert (await campaigns.api.send("GET", f"/campaigns/{made}")).status_code == 404
            else:
                read = await campaigns.read(made)
                assert read == response.json()["data"]
                assert (read["state"], read["revision"]) == (after, before["revision"] + 1)

    async def test_steps_are_noted(self, campaigns: Campaigns) -> None:
        """Each step leaves a row that says from where to where, and who made it."""
        made = (await campaigns.create(**JOINED))["id"]
        for action in ("send", "pause", "resume", "cancel"):
            assert (await campaigns.act(made, action)).status_code == 200

        steps = campaign_state_changes.c
        rows = await campaigns.api.rows(
            select(steps.from_state, steps.to_state, steps.changed_by).where(steps.campaign_id == made).order_by("id")
        )
        assert [tuple(row) for row in rows] == [
            ("draft", "active", "u-1"),
            ("active", "paused", "u-1"),
            ("paused", "active", "u-1"),
            ("active", "cancelled", "u-1"),
        ]

    async def test_unknown(self, campaigns: Campaigns) -> None:
        """Campaigns that are not there are not found, whatever is to be done."""
        for action in ("schedule", "send", "pause", "resume", "cancel", "preview"):
            response = await campaigns.act("7a0a2e9c-0000-4000-8000-000000000000", action)
            assert response.status_code == 404
        assert (await campaigns.api.send("GET", "/campaigns/nonsense")).status_code == 404


class TestCancel:
    """What waits does not leave any more; what has left has left."""

    async def test_messages(self, campaigns: Campaigns) -> None:
        """Pending and deferred messages are suppressed, others stay as they are."""
        made, other = (await campaigns.create())["id"], (await campaigns.create())["id"]
        await campaigns.force(made, "sending")
        for state in ("pending", "deferred", "leased", "sent", "control"):
            await campaigns.add_message(made, state=state)
        await campaigns.add_message(other)

        response = await campaigns.act(made, "cancel")

        assert response.json()["message"] == "The campaign has ended; 2 messages will not leave"
        assert response.json()["data"]["messages"] == {"control": 1, "leased": 1, "sent": 1, "suppressed": 2}
        messages = campaign_messages.c
        rows = await campaigns.api.rows(select(messages.reason).where(messages.state == "suppressed"))
        assert {row.reason for row in rows} == {"campaign_cancelled"}
        assert (await campaigns.read(other))["messages"] == {"pending": 1}


class TestSchedule:
    """What a campaign needs to begin."""

    async def test_own_time(self, campaigns: Campaigns) -> None:
        """Without a body it goes at the campaign's own time; a body's time replaces that."""
        first, second = [(await campaigns.create(scheduled_at=LATER))["id"] for _ in range(2)]

        own = await campaigns.act(first, "schedule")
        given = await campaigns.act(second, "schedule", json={"scheduled_at": "2023-12-01T00:00:00+01:00"})
        assert own.json()["data"]["scheduled_at"] == LATER
        assert given.json()["data"]["scheduled_at"] == "2023-11-30T23:00:00Z"

    async def test_all_faults_at_once(self, campaigns: Campaigns) -> None:
        """Everything that is missing or wrong is told at once."""
        made = (await campaigns.create(subject=None, content="{% if %}{{ customer.password }}"))["id"]

        response = await campaigns.act(made, "schedule", json={"scheduled_at": "2023-11-14T22:13:19Z"})

        assert {"subject", "content", "scheduled_at"} <= faults(response).keys()
        assert (await campaigns.read(made))["state"] == "draft"

    async def test_by_change(self, campaigns: Campaigns) -> None:
        """PUT with status scheduled schedules, for those who may send; the change goes with it or not at all."""
        made = (await campaigns.create())["id"]
        body = {"status": "scheduled", "scheduled_at": LATER}

        refused = await campaigns.put(made, body, headers=holding(Permission.UPDATE))
        assert refused.status_code == 403
        assert (await campaigns.read(made))["scheduled_at"] is None
        changed = (await campaigns.put(made, body)).json()["data"]
        assert (changed["state"], changed["scheduled_at"]) == ("scheduled", LATER)
        assert (await campaigns.put(made, body)).json()["data"] == changed

    @pytest.mark.parametrize("action", ["schedule", "send", "resume"])
    async def test_transactional(self, campaigns: Campaigns, action: str) -> None:
        """Who may send marketing may not send transactional messages."""
        made = (await campaigns.create(category="transactional", scheduled_at=LATER))["id"]
        await campaigns.force(made, "paused" if action == "resume" else "draft")

        assert (await campaigns.act(made, action, headers=holding(Permission.SEND))).status_code == 403
        both = holding(Permission.SEND, Permission.SEND_TRANSACTIONAL)
        assert (await campaigns.act(made, action, headers=both)).status_code == 200

    async def test_stale(self, campaigns: Campaigns) -> None:
        """With If-Match what has changed since is not scheduled unseen."""
        made = (await campaigns.create(scheduled_at=LATER))["id"]
        assert (await campaigns.put(made, {"content": "Other"})).headers["etag"] == '"2"'

        stale = await campaigns.act(made, "schedule", headers={"if-match": '"1"'})
        assert stale.status_code == 412
        assert stale.headers["etag"] == '"2"'
        assert (await campaigns.act(made, "schedule", headers={"if-match": '"2"'})).status_code == 200


class TestMany:
    """A campaign to many is looked at first."""

    async def test_token_of_a_preview(self, campaigns: Campaigns) -> None:
        """Above the limit it takes the token of a preview of this very revision."""
        await add_many(campaigns.api.database, campaigns.segment, 1_001)
        made = (await campaigns.create())["id"]

        unseen = await campaigns.act(made, "send")
        assert faults(unseen) == {"preview_token": "preview_needed"}
        assert "1001 members" in unseen.json()["message"]
        wrong = await campaigns.act(made, "send", json={"preview_token": "v1.AAAA.BBBB"})
        assert faults(wrong) == {"preview_token": "preview_needed"}
        seen = (await campaigns.act(made, "preview")).json()["data"]["preview_token"]
        assert (await campaigns.put(made, {"content": "Other"})).status_code == 200
        stale = await campaigns.act(made, "send", json={"preview_token": seen})
        assert faults(stale) == {"preview_token": "preview_needed"}
        again = (await campaigns.act(made, "preview")).json()["data"]["preview_token"]
        assert (await campaigns.act(made, "send", json={"preview_token": again})).status_code == 200

    async def test_not_by_creating(self, campaigns: Campaigns) -> None:
        """What nobody has seen does not go to many with the request that creates it."""
        await add_many(campaigns.api.database, campaigns.segment, 1_001)

        assert faults(await campaigns.post({**EMAIL, "send_now": True})) == {"preview_token": "preview_needed"}

    async def test_who_joins_later(self, campaigns: Campaigns) -> None:
        """One that joins fire goes to nobody yet, unless those who are there get it, too."""
        await add_many(campaigns.api.database, campaigns.segment, 1_001)
        quiet, loud = [(await campaigns.create(**JOINED, include_existing=one))["id"] for one in (False, True)]

        assert (await campaigns.act(quiet, "send")).status_code == 200
        assert faults(await campaigns.act(loud, "send")) == {"preview_token": "preview_needed"}


class TestSegment:
    """Campaigns and what becomes of their segment."""

    @pytest.mark.parametrize("state", list(State))
    async def test_segment_stays_while_campaigns_are_under_way(self, campaigns: Campaigns, state: State) -> None:
        """It is neither deleted nor archived while one waits, sends, listens or stands still."""
        made = (await campaigns.create(campaign_name="Last words"))["id"]
        await campaigns.force(made, state)
        is_under_way = state in ("scheduled", "sending", "active", "paused")

        archived = await campaigns.api.send("PUT", f"/{campaigns.segment}", json={"status": "archived"})
        deleted = await campaigns.api.send("DELETE", f"/{campaigns.segment}")

        for response in (archived, deleted):
            assert response.status_code == (409 if is_under_way else 200), response.text
            assert ("Last words" in response.text) == is_under_way or response is archived
        if is_under_way:
            assert '"Last words"; cancel them first' in archived.json()["message"]

    async def test_nobody_to_send_to(self, campaigns: Campaigns) -> None:
        """A campaign of a segment that is archived or gone cannot begin."""
        made = (await campaigns.create(scheduled_at=LATER))["id"]
        for method, body in (("PUT", {"status": "archived"}), ("DELETE", None)):
            gone = await campaigns.api.send(method, f"/{campaigns.segment}", **({"json": body} if body else {}))
            assert gone.status_code == 200
            for action in ("schedule", "send"):
                response = await campaigns.act(made, action)
                assert response.status_code == 409
                assert "segment" in response.json()["message"]


class TestChange:
    """PUT and DELETE of a campaign."""

    async def test_only_what_is_named(self, campaigns: Campaigns) -> None:
        """What is left out stays; a type brings its channel along."""
        made = await campaigns.create(priority=70)

        other = (
            await campaigns.put(made["id"], {"campaign_type": "sms", "subject": None, "delay": {"hours": 1}})
        ).json()
        after = {"campaign_type": "sms", "channel": "sms", "subject": None, "delay": {"hours": 1}, "revision": 2}
        assert other["data"] == {**made, **after, "updated_at": other["data"]["updated_at"]}

    async def test_no_change_leaves_no_trace(self, campaigns: Campaigns) -> None:
        """What says the same again changes nothing, in whatever state the campaign is."""
        made = await campaigns.create()
        await campaigns.force(made["id"], "sent")

        same = await campaigns.put(made["id"], EMAIL)
        assert same.status_code == 200
        assert same.headers["etag"] == '"1"'

    async def test_stale(self, campaigns: Campaigns) -> None:
        """A change or deletion of what has changed since is refused."""
        made = (await campaigns.create())["id"]
        assert (await campaigns.put(made, {"priority": 1}, headers={"if-match": '"1"'})).status_code == 200

        stale = {"headers": {"if-match": '"1"'}}
        assert (await campaigns.put(made, {"priority": 2}, **stale)).status_code == 412
        gone = await campaigns.api.send("DELETE", f"/campaigns/{made}", **stale)
        assert gone.status_code == 412
        assert "campaign" in gone.json()["message"]

    async def test_empty(self, campaigns: Campaigns) -> None:
        """A body that names nothing is refused."""
        made = (await campaigns.create())["id"]

        assert (await campaigns.put(made, {})).status_code == 422

    async def test_deleted_keeps_messages(self, campaigns: Campaigns) -> None:
        """What was sent stays for those who look into the past."""
        made = (await campaigns.create())["id"]
        await campaigns.force(made, "sent")
        await campaigns.add_message(made, state="sent", sent_at=ago(hours=1))

        assert (await campaigns.api.send("DELETE", f"/campaigns/{made}")).status_code == 200
        assert len(await campaigns.api.rows(select(campaign_messages.c.state))) == 1
