"""The roles, one process each: consume, relay, timers, dispatch. `serve` has a module of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from service.adapters.telling import telling
from service.bootstrap import Runtime, open_runtime
from service.cli.run import run_role
from service.settings import Settings


@asynccontextmanager
async def _running(settings: Settings, role: str, *, pool_size: int = 4) -> AsyncIterator[Runtime]:
    """A role's parts; what it counts is told to the database meanwhile."""
    async with open_runtime(settings, role, pool_size=pool_size) as runtime, telling(runtime.database, runtime.tally):
        yield runtime


def consume() -> None:
    """Apply events from the input topics: facts, profiles, memberships, one transaction a batch."""
    run_role("consume", _consume)


async def _consume(settings: Settings, stop: asyncio.Event) -> None:
    from consumers.events import EventConsumer

    async with _running(settings, "consume") as runtime:
        await EventConsumer(runtime).run(stop)


def relay() -> None:
    """Publish joined/left events and dead letters from the outbox, each exactly once; merge memberships."""
    run_role("relay", _relay)


async def _relay(settings: Settings, stop: asyncio.Event) -> None:
    from producers.merging import Merging
    from producers.relay import Relay

    async with _running(settings, "relay") as runtime:
        await _together((Relay(runtime).run, Merging(runtime).run), stop)


def timers() -> None:
    """Move customers whose membership changes by time alone, and run backfills."""
    run_role("timers", _timers)


async def _timers(settings: Settings, stop: asyncio.Event) -> None:
    from producers.timers import Timers

    async with _running(settings, "timers") as runtime:
        await Timers(runtime).run(stop)


def dispatch() -> None:
    """Send campaigns: to an audience at its time, and to who joins or leaves; follow what becomes of the messages."""
    run_role("dispatch", _dispatch)


async def _dispatch(settings: Settings, stop: asyncio.Event) -> None:
    from consumers.engagement import EngagementConsumer
    from consumers.memberships import MembershipConsumer
    from producers.dispatch import Dispatcher
    from producers.ways_out import ways_out
    from service.adapters.liquid import LiquidTemplates

    async with _running(settings, "dispatch", pool_size=8) as runtime:
        wake = asyncio.Event()
        senders, rates = ways_out(runtime)
        dispatcher = Dispatcher(runtime, LiquidTemplates(), senders, rates, wake)
        engagement = EngagementConsumer(runtime)
        parts = (dispatcher.run, MembershipConsumer(runtime, wake).run, engagement.run)
        await _together(parts, stop)


async def _together(parts: Sequence[Callable[[asyncio.Event], Coroutine[Any, Any, None]]], stop: asyncio.Event) -> None:
    """Runs all until `stop`; where one fails, the others finish what is in flight, and its error is raised."""
    tasks = [asyncio.create_task(part(stop)) for part in parts]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    stop.set()
    await asyncio.wait(tasks)
    for task in done:
        task.result()
