"""Backtests as steps, and the steps that the events say there must be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.backtest import PostgresBacktests
from service.adapters.postgres.database import Database
from service.app.backtest import Step
from service.core import instants
from service.core.criteria.parse import parse_criteria
from service.core.events.decode import Rejected, Rules, decode
from service.core.events.model import Event
from tests import shop
from tests.facts import Service
from tests.integration.support import event

DAY = instants.DAY
NOW = instants.parse(shop.CLOCK)
RULES = Rules("USD", 1_048_576, True)


def decoded(lines: Sequence[bytes], rules: Rules = RULES) -> list[Event]:
    """Events whose time may be any."""
    found = [decode(line, (), rules, instants.INSTANT_MAX) for line in lines]
    return [one for one in found if not isinstance(one, Rejected)]


async def steps_of(
    connection: AsyncConnection, criteria: dict[str, Any], moments: list[int], *, has_members: bool = True
) -> list[Step]:
    """All steps of a backtest."""
    store = PostgresBacktests(connection)
    return [step async for step in store.steps(parse_criteria(criteria), moments, has_members=has_members)]


def expected(members: Sequence[set[str]], moments: Sequence[int]) -> list[Step]:
    """The steps that these members make."""
    found = []
    for place, (now, at) in enumerate(zip(members, moments, strict=True)):
        before = members[place - 1] if place else set()
        found.append(Step(at, len(now), len(now - before), len(before - now), sorted(now)))
    return found


async def shop_service(database: Database) -> Service:
    """A shop by the hot path, a customer who is erased, and one with events that arrive late."""
    made = Service(database, "USD")
    await made.take([json.dumps(event).encode() for event in shop.events(20, 200)], NOW)
    for number, (kind, day, customer) in enumerate(
        [
            ("customer.logged_in", "2024-02-01", "gone"),
            ("customer.logged_in", "2024-02-20", "late"),
            ("customer.registered", "2024-02-10", "late"),
            ("customer.deleted", "2024-03-01", "gone"),
        ]
    ):
        await made.take([event(number, kind, instants.parse(f"{day}T00:00:00Z"), customer)], NOW)
    return made
