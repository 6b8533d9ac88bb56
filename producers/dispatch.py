"""The dispatch role: joins and leaves become messages, audiences are taken, and what is due is decided and leaves."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final
from uuid import UUID

import structlog

from producers.deciding import Decider, Done
from producers.recalling import Recaller
from producers.scheduling import Scheduler
from producers.sending import Sender
from service.adapters.postgres.campaigns import attempts, schedule
from service.adapters.postgres.campaigns.schedule import Standing
from service.adapters.postgres.faults import AWAY
from service.app import metrics
from service.app.campaigns.templates import TemplateError, Templates
from service.app.dispatch.rates import Rates
from service.bootstrap import Runtime
from service.core.campaigns.states import LIVE, Message, State
from service.crash import crash_point
from service.logs import detail_of

log = structlog.get_logger()

#: While messages wait or an audience goes out; while campaigns only listen; and while there are none.
BUSY_SECONDS: Final = 0.1
LISTENING_SECONDS: Final = 0.5
IDLE_SECONDS: Final = 1.0
PAUSE_SECONDS_MAX: Final = 1.0
REAP_SECONDS: Final = 2.0
MESSAGES_MAX: Final = 500
#: A campaign that cannot be worked on is tried again after so long.
REST_SECONDS: Final = 5.0


class Dispatcher:
    """Works until `stop` is set; any number of processes share the work."""

    def __init__(
        self, runtime: Runtime, templates: Templates, senders: Mapping[str, Sender], rates: Rates, wake: asyncio.Event
    ) -> None:
        """What it goes by.

        Args:
            runtime: of the role.
            templates: the template engine.
            senders: by channel; messages of the others leave by the topic.
            rates: how fast they may.
            wake: set by whoever has made new messages.
        """
        self._runtime, self._senders, self._rates, self._wake = runtime, senders, rates, wake
        self._decider = Decider(runtime, templates)
        self._scheduler = Scheduler(runtime)
        self._recaller = Recaller(runtime, senders.keys())
        self._reaped_at = 0.0
        self._resting: dict[UUID, float] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop`; any fault of the outside is waited out."""
        sending = [asyncio.create_task(one.run(stop, self._wake)) for one in self._senders.values()]
        waking = asyncio.create_task(_wake_at(stop, self._wake))
        pause = BUSY_SECONDS
        while not stop.is_set():
            self._wake.clear()
            try:
                wait = await self._look()
                pause = BUSY_SECONDS
            except Exception as error:  # a transaction that failed changed nothing
                wait = pause = min(pause * 2, PAUSE_SECONDS_MAX)
                log.warning("dispatch starts over", error=type(error).__name__, detail=detail_of(error))
            if wait:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), wait)
        waking.cancel()
        for task in sending:
            await task

    async def _look(self) -> float:
        """Does what there is to do now; gives the seconds after which to look again."""
        has_acted = await self._reap()
        async with self._runtime.database.session() as connection:
            found = self._awake(await schedule.standing(connection, self._runtime.clock(), self._scheduler.tell))
        for one in found:
            async with self._alone(one):
                has_acted |= await self._scheduler.look(one)
        due = [one for one in found if one.has_due and one.campaign.state in LIVE]
        has_more = await self._decide(due)
        if has_acted or has_more:
            return 0.0
        return _wait(found)

    async def _decide(self, due: Sequence[Standing]) -> bool:
        """One portion of each campaign, those of higher priority first; whether there may be more."""
        has_more = False
        for one in due:
            campaign = one.campaign
            sender = self._senders.get(campaign.channel)
            limit = self._room(campaign.channel) if sender is None else sender.room
            if not limit:
                continue
            async with self._alone(one):
                has_more |= await self._decide_some(one, sender, limit)
        return has_more

    async def _decide_some(self, one: Standing, sender: Sender | None, limit: int) -> bool:
        done = Done()
        try:
            done = await self._decider.decide(one.campaign.id, limit, None if sender is None else sender.way)
        except TemplateError as error:
            await self._pause(one, str(error))
            return False
        finally:
            if sender is None:  # what was suppressed or waits has not left, and must not slow down what does
                self._rates.give_back(one.campaign.channel, limit - done.sent)
        if sender is None:
            return bool(done.claimed)
        sender.take(done.leases)
        return bool(done.claimed) and bool(sender.room)

    def _awake(self, found: Sequence[Standing]) -> Sequence[Standing]:
        """Without those that have failed a moment ago."""
        now = time.monotonic()
        self._resting = {one: until for one, until in self._resting.items() if until > now}
        return [one for one in found if one.campaign.id not in self._resting]

    @contextlib.asynccontextmanager
    async def _alone(self, one: Standing) -> AsyncIterator[None]:
        """A fault in one campaign holds up no other; what concerns all of them ends the look."""
        try:
            yield
        except (*AWAY, OSError, TimeoutError):
            raise
        except Exception as error:  # its transaction changed nothing
            campaign_id = str(one.campaign.id)
            self._resting[one.campaign.id] = time.monotonic() + REST_SECONDS
            log.error(
                "campaign passed over", campaign_id=campaign_id, error=type(error).__name__, detail=detail_of(error)
            )

    def _room(self, channel: str) -> int:
        """How many messages of the topic may leave now."""
        now, room = time.monotonic(), 0
        while room < MESSAGES_MAX and not self._rates.take(channel, None, now):
            room += 1
        return room

    async def _pause(self, one: Standing, why: str) -> None:
        """A campaign that cannot be read waits for a release that can."""
        log.error("campaign paused: its template cannot be read", campaign_id=str(one.campaign.id), why=why[:500])
        async with self._runtime.database.batch() as connection:
            found = await schedule.lock_in_turn(connection, one.campaign.id, one.campaign.state)
            if found is not None:
                await schedule.step(connection, found, State.PAUSED, reason="invalid_template")

    async def _reap(self) -> bool:
        """Now and then: messages of processes that died, and of campaigns that are over; whether there is more."""
        if time.monotonic() - self._reaped_at < REAP_SECONDS:
            return False
        self._reaped_at = time.monotonic()
        async with self._runtime.database.batch() as connection:
            back = Counter(await attempts.take_back(connection, self._runtime.clock()))
        if back:
            crash_point("leases-taken-back")
            log.warning("leases ran out", messages=back.total())
            held: dict[tuple[str, ...], int] = {key: n for key, n in back.items() if key[1] == Message.UNCERTAIN}
            self._runtime.tally.count_all(metrics.DISPATCHED, held)
        has_more = await self._scheduler.tidy() | await self._recaller.look()
        if has_more:
            self._reaped_at = 0.0
        return has_more


def _wait(found: Sequence[Standing]) -> float:
    if any(one.has_unsettled and one.campaign.state in LIVE for one in found):
        return BUSY_SECONDS
    if any(one.campaign.state in (*LIVE, State.SCHEDULED) for one in found):
        return LISTENING_SECONDS
    return IDLE_SECONDS


async def _wake_at(stop: asyncio.Event, wake: asyncio.Event) -> None:
    await stop.wait()
    wake.set()
