"""Sends messages of one channel by a transport of our own: a few at once, each marked before and told after."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import structlog

from producers.journal import Journal
from service.adapters.postgres.campaigns import attempts
from service.app import metrics
from service.app.dispatch.breaker import Breaker
from service.app.dispatch.outcomes import Finished, Lease, finished
from service.app.dispatch.rates import Rates, domain_of
from service.app.dispatch.transport import Outcome, Transport, TryLater, Unknown
from service.bootstrap import Runtime
from service.core.campaigns.backoff import Way
from service.core.campaigns.states import Message
from service.core.instants import SECOND
from service.crash import crash_point
from service.logs import detail_of

log = structlog.get_logger()

#: Leases at hand for each connection; more are taken when half of them are used.
LEASES_EACH: Final = 32
#: Consent was looked at when a lease was taken; one that waited longer is given back, and looked at anew.
AGE_SECONDS_MAX: Final = 5.0
RENEWAL_SECONDS: Final = 2.5
LOOK_SECONDS: Final = 0.05
STOP_SECONDS_MAX: Final = 5.0


class Sender:
    """One channel's; lives as long as the role."""

    def __init__(
        self, runtime: Runtime, channel: str, transport: Transport, way: Way, rates: Rates, lease_seconds: float
    ) -> None:
        self._runtime, self._channel, self._transport, self._rates = runtime, channel, transport, rates
        self.way: Way = way
        self._lease_seconds = lease_seconds
        limit = getattr(runtime.settings, f"{channel}_per_second_max")
        at_hand = LEASES_EACH * transport.concurrency
        self._capacity = min(at_hand, max(1, int(limit * AGE_SECONDS_MAX / 2))) if limit else at_hand
        self._breaker = Breaker()
        self._waiting: deque[tuple[Lease, float]] = deque()
        self._held: dict[UUID, Lease] = {}
        self._has_some = asyncio.Event()
        self._wake = asyncio.Event()
        self._journal = Journal(runtime, lease_seconds, self._count)

    @property
    def room(self) -> int:
        """How many more messages may be leased now; 0 until there is room for many."""
        if self._breaker.paused_seconds(time.monotonic()):
            return 0
        room = self._capacity - len(self._held)
        return room if 2 * room >= self._capacity else 0

    def take(self, leases: Sequence[Lease]) -> None:
        """Takes over what was leased."""
        now = time.monotonic()
        self._held.update((one.token, one) for one in leases)
        self._waiting.extend((one, now) for one in leases)
        if leases:
            self._has_some.set()

    async def run(self, stop: asyncio.Event, wake: asyncio.Event) -> None:
        """Sends until `stop`; what is on its way is finished, the rest is given back. `wake`: there is room again."""
        self._wake = wake
        journal = asyncio.create_task(self._journal.run())
        renewing = asyncio.create_task(self._renew_on())
        workers = [asyncio.create_task(self._work(stop)) for _ in range(self._transport.concurrency)]
        try:
            await stop.wait()
            self._has_some.set()
            _, late = await asyncio.wait(workers, timeout=STOP_SECONDS_MAX)
            for worker in late:
                worker.cancel()
            await self._give_back([one for one, _ in self._waiting])
        finally:
            renewing.cancel()
            journal.cancel()
            await self._transport.close()

    async def _work(self, stop: asyncio.Event) -> None:
        """One connection's: what came of a message is written with the mark of the next one."""
        ended: tuple[Lease, Finished] | None = None
        while True:
            lease = None if stop.is_set() else await self._next(stop, is_waiting=ended is None)
            if lease is None and ended is None:
                if stop.is_set():
                    return
                continue
            may_begin = await self._journal.write(ended, lease)
            if ended is not None:
                self._drop(ended[0])
            ended = None
            if lease is not None and may_begin:
                ended = (lease, await self._send(lease))
            elif lease is not None:
                self._drop(lease)

    async def _next(self, stop: asyncio.Event, *, is_waiting: bool) -> Lease | None:
        """The next message that may leave now; None where there is none, after a while if waiting is of use."""
        if not self._waiting:
            if is_waiting:
                self._has_some.clear()
                await self._has_some.wait()
            return None
        now = time.monotonic()
        stale = self._take_stale(now)
        if stale:
            await self._give_back(stale)
            return None
        lease, taken_at = self._waiting.popleft()
        wait = self._rates.take(self._channel, domain_of(lease.outbound.address), now)
        if not wait:
            return lease
        self._waiting.append((lease, taken_at))
        if is_waiting:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(wait, LOOK_SECONDS))
        return None

    def _take_stale(self, now: float) -> list[Lease]:
        """What waited too long, or all of it while the channel rests."""
        is_resting = bool(self._breaker.paused_seconds(now))
        stale = [one for one, taken_at in self._waiting if is_resting or now - taken_at > AGE_SECONDS_MAX]
        if stale:
            gone = {one.token for one in stale}
            self._waiting = deque(pair for pair in self._waiting if pair[0].token not in gone)
        return stale

    async def _send(self, lease: Lease) -> Finished:
        crash_point("attempt-begins")
        try:
            outcome: Outcome = await self._transport.send(lease.outbound)
        except Exception as error:  # a fault of ours, of which nobody can tell what became of the message
            log.error("transport failed", channel=self._channel, error=type(error).__name__)
            outcome = Unknown(f"The transport failed: {type(error).__name__}.")
        crash_point("attempt-ended")
        if isinstance(outcome, TryLater) and outcome.is_outage:
            if self._breaker.failed(time.monotonic()):
                log.warning("channel paused: its provider is out of reach", channel=self._channel)
        else:
            self._breaker.worked()
        return finished(lease, outcome, self._runtime.clock(), random.random())  # noqa: S311 - spreads retries

    async def _give_back(self, leases: Sequence[Lease]) -> None:
        """Their messages wait again; should that fail, until the leases run out."""
        try:
            async with self._journal.turn, self._runtime.database.batch() as connection:
                await attempts.release(connection, leases)
        except Exception as error:
            log.warning("leases not given back", error=type(error).__name__, detail=detail_of(error))
        for one in leases:
            self._drop(one)

    def _drop(self, lease: Lease) -> None:
        self._held.pop(lease.token, None)
        if self.room:
            self._wake.set()

    async def _renew_on(self) -> None:
        while True:
            await asyncio.sleep(RENEWAL_SECONDS)
            try:
                async with self._journal.turn, self._runtime.database.batch() as connection:
                    await attempts.renew(connection, list(self._held.values()), self._lease_seconds)
            except Exception as error:  # who cannot renew loses them, which is what they are for
                log.warning("leases not renewed", error=type(error).__name__, detail=detail_of(error))

    def _count(self, lease: Lease, one: Finished) -> None:
        outcome = "retried" if one.state == Message.PENDING else str(one.state)
        self._runtime.tally.count(metrics.DISPATCHED, self._channel, outcome)
        if one.sent_at is not None and one.state == Message.SENT:
            seconds = max(0, one.sent_at - lease.due_at) / SECOND
            self._runtime.tally.observe(metrics.DISPATCH_SECONDS, seconds, self._channel)
