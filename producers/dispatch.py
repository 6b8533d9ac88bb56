"""The dispatch role: joins and leaves become messages, audiences are taken, and what is due is decided and leaves."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from producers.deciding import Decider
from producers.scheduling import Scheduler
from producers.sending import Sender
from service.adapters.postgres.campaigns import attempts, schedule
from service.adapters.postgres.campaigns.schedule import Standing
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
        self._reaped_at = 0.0

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
        await self._reap()
        async with self._runtime.database.session() as connection:
            found = await schedule.standing(connection, self._runtime.clock())
        has_acted = False
        for one in found:
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
            try:
                done = await self._decider.decide(campaign.id, limit, None if sender is None else sender.way)
            except TemplateError as error:
                await self._pause(one, str(error))
                continue
            if sender is not None:
                sender.take(done.leases)
                has_more |= bool(done.claimed) and bool(sender.room)
            else:
                has_more |= bool(done.claimed)
        return has_more

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
            found = await schedule.lock(connection, one.campaign.id, one.campaign.state)
            if found is not None:
                await schedule.step(connection, found[0], State.PAUSED, reason="invalid_template")

    async def _reap(self) -> None:
        """Now and then: messages of processes that died."""
        if time.monotonic() - self._reaped_at < REAP_SECONDS:
            return
        self._reaped_at = time.monotonic()
        async with self._runtime.database.batch() as connection:
            back = Counter(await attempts.take_back(connection, self._runtime.clock()))
        if back:
            crash_point("leases-taken-back")
            log.warning("leases ran out", messages=back.total())
            held: dict[tuple[str, ...], int] = {key: n for key, n in back.items() if key[1] == Message.UNCERTAIN}
            self._runtime.tally.count_all(metrics.DISPATCHED, held)


def _wait(found: Sequence[Standing]) -> float:
    if any(one.has_unsettled and one.campaign.state in LIVE for one in found):
        return BUSY_SECONDS
    if any(one.campaign.state in (*LIVE, State.SCHEDULED) for one in found):
        return LISTENING_SECONDS
    return IDLE_SECONDS


async def _wake_at(stop: asyncio.Event, wake: asyncio.Event) -> None:
    await stop.wait()
    wake.set()
