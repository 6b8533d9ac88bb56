"""The roles, one process each: consume, relay, timers. `serve` has a module of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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
    """Publish joined/left events and dead letters from the outbox, each exactly once."""
    run_role("relay", _relay)


async def _relay(settings: Settings, stop: asyncio.Event) -> None:
    from producers.relay import Relay

    async with _running(settings, "relay", pool_size=2) as runtime:
        await Relay(runtime).run(stop)


def timers() -> None:
    """Move customers whose membership changes by time alone, and run backfills."""
    run_role("timers", _timers)


async def _timers(settings: Settings, stop: asyncio.Event) -> None:
    from producers.timers import Timers

    async with _running(settings, "timers") as runtime:
        await Timers(runtime).run(stop)
