"""Campaigns while the dispatcher is killed: by the topic and by e-mail, and an audience whenever somebody comes."""

from __future__ import annotations

import json
import time
from collections import Counter
from uuid import UUID

from service.core import instants
from service.core.campaigns.model import Campaign
from tests.crash.cases import Case
from tests.crash.timeline import Timeline
from tests.crash.waves import HOUR, STILL, Sent, Wave
from tests.integration.dispatch.support import (
    Sink,
    begin,
    campaign,
    mail,
    registered,
    requested,
    rows,
    set_state,
    state_of,
)

PEOPLE = 6
#: No message is in doubt but one of each connection.
CONNECTIONS = 2
SEGMENT = "everybody"
OPTIONS = {"frequency_caps": ()}


class Shop:
    """What is sent in one case, and what must have come of it."""

    def __init__(self, timeline: Timeline, sink: Sink) -> None:
        self.timeline, self.sink = timeline, sink
        segment_id = timeline.ids[SEGMENT]
        self.by_topic = campaign(segment_id, options=OPTIONS)
        self.held = mail(segment_id, options=OPTIONS)
        self.again = mail(segment_id, category="transactional")
        self.audiences: list[Campaign] = []
        self.people: set[str] = set()

    async def begin(self) -> None:
        """They listen."""
        for one in (self.by_topic, self.held, self.again):
            await begin(self.timeline.database, one)

    async def feed(self) -> None:
        """Some customers come, and all that are there get a message by the topic."""
        names = [f"d{len(self.timeline.waves)}-{number}" for number in range(PEOPLE)]
        at = time.time_ns() // 1_000
        events = [registered(one) | {"time": instants.to_text(at - STILL - HOUR)} for one in names]
        sent = [Sent(1, one["data"]["customer_id"].encode(), json.dumps(one).encode()) for one in events]
        await self.timeline.publish(Wave(at, events, set(), sent))
        self.people.update(names)
        made = campaign(self.timeline.ids[SEGMENT], options=OPTIONS, trigger="once", state="scheduled")
        self.audiences.append(made)
        await begin(self.timeline.database, made)

    async def check(self) -> None:
        """Everybody has one message of each campaign; each left once, but for what nobody can tell."""
        ids = [UUID(one.event_id) for one in requested(self.timeline.world)]
        assert len(ids) == len(set(ids))
        mails = Counter(UUID(one["Message-ID"].strip("<>").split("@")[0]) for _, one in self.sink.mails)
        states = await self._states(self.by_topic)
        assert set(states.values()) == {"sent"}
        assert set(states) <= set(ids)
        held = await self._states(self.held)
        assert Counter(held.values())["uncertain"] <= CONNECTIONS
        for message_id, state in held.items():
            assert state in ("sent", "uncertain")
            assert mails[message_id] in ((1,) if state == "sent" else (0, 1))
        again = await self._states(self.again)
        assert set(again.values()) == {"sent"}
        assert all(mails[one] >= 1 for one in again)
        assert sum(mails[one] - 1 for one in again) <= CONNECTIONS * 2
        for one in self.audiences:
            assert await state_of(self.timeline.database, one.id) == ("sent", None)
            sent = [row for row in await rows(self.timeline.database, one.id) if row["state"] == "sent"]
            assert {row["message_id"] for row in sent} <= set(ids)
            assert sent

    async def _states(self, made: Campaign) -> dict[UUID, str]:
        found = {row["external_id"]: row for row in await rows(self.timeline.database, made.id)}
        assert set(found) == self.people
        return {row["message_id"]: row["state"] for row in found.values()}

    async def end(self) -> None:
        """They listen no more."""
        for one in (self.by_topic, self.held, self.again):
            await set_state(self.timeline.database, one.id, "cancelled")


async def kill_dispatch(timeline: Timeline, case: Case) -> None:
    """Killed there and started again."""
    with Sink() as sink:
        timeline.world.env |= {
            "SEGMENTS_SMTP_URL": sink.url,
            "SEGMENTS_SMTP_CONNECTIONS_MAX": str(CONNECTIONS),
            "SEGMENTS_PUBLIC_URL": "http://shop.example",
        }
        shop = Shop(timeline, sink)
        await shop.begin()
        for death in case.deaths:
            await timeline.die("dispatch", death, shop.feed)
        timeline.start("dispatch")
        await timeline.idle()
        await shop.check()
        await shop.end()
        await timeline.idle()
        timeline.end("dispatch")
