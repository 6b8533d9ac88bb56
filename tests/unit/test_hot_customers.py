"""Customers to whom much happens: what an event costs does not grow with what is kept."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from uuid import UUID

import pytest

from service.core import instants
from service.core.events.model import Event
from service.core.profiles.ledger import ActivityFact, Ledger
from service.core.profiles.profile import Profile
from tests.offline import Engine, catalogue_of
from tests.unit.test_definitions import START, event

FEW, FACTOR = 1_000, 4
#: Less is not measured well.
SECONDS_MIN = 0.05


def within(figure: str) -> dict:
    """A figure of activities v in a window that holds them all."""
    test: dict = {"operator": "gt", "value": 300} | ({} if figure == "count" else {"property": "p"})
    return {"activity": {"name": "v", figure: test, "window": {"days": 30}}}


def followed(*steps: str) -> dict:
    """A sequence of activities; `-` before a name is a not."""
    told = [{"activity": {"name": one.strip("-")}} | ({"not": True} if one[0] == "-" else {}) for one in steps]
    return {"sequence": {"steps": told, "within": {"days": 30}}}


#: What never becomes true, so that every occurrence counts.
SEGMENTS = {
    "figures": [within(one) for one in ("count", "sum", "avg", "min", "max", "distinct")],
    "followed by nothing": [followed("v", "-w")],
    "nothing between": [followed("v", "-w", "x", "y")],
    "nothing between and after": [followed("v", "-w", "x", "w", "-v")],
}


def engine_of(kind: str) -> Engine:
    """An engine with the segments of a kind."""
    segments = [{"key": str(place), "criteria": one} for place, one in enumerate(SEGMENTS[kind])]
    return Engine(catalogue_of(segments), START + 300 * instants.DAY)


def hot(engine: Engine, count: int) -> list[Event]:
    """Activities v, w and x of one customer, a second apart, with a number that rises and falls."""
    lines = (
        event(n, n / 86_400, "customer.activity", name="vwvx"[n % 4], properties={"p": n % 97 + 0.5})
        for n in range(count)
    )
    return engine.read(lines)


def seconds(run: Callable[[], None]) -> float:
    """CPU time of this thread, without what collecting the garbage of all tests before costs."""
    gc.collect()
    gc.disable()
    try:
        started = time.thread_time()
        run()
        return time.thread_time() - started
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", SEGMENTS)
def test_a_batch_of_one_customer_costs_as_many_times_as_it_has_events(kind: str) -> None:
    """Four times the events take about four times as long, not sixteen."""
    spent = []
    for count in (FEW, FEW * FACTOR):
        engine = engine_of(kind)
        events = hot(engine, count)
        spent.append(seconds(lambda engine=engine, events=events: engine.batch(events)))  # type: ignore[misc]

    assert spent[1] < 2 * FACTOR * max(spent[0], SECONDS_MIN)


def test_late_events_cost_no_more_than_others() -> None:
    """Figures stay cheap where what arrives lies before what is known."""
    spent = []
    for count in (FEW, FEW * FACTOR):
        engine = engine_of("figures")
        events = hot(engine, count)
        engine.batch(events[1::2])
        spent.append(seconds(lambda engine=engine, events=events: engine.batch(events[::2])))  # type: ignore[misc]

    assert spent[1] < 2 * FACTOR * max(spent[0], SECONDS_MIN)


def test_a_refold_costs_as_many_times_as_there_are_facts() -> None:
    """Facts in any order are put behind one another in that of time."""
    spent = []
    shape = engine_of("nothing between").catalogue.shape
    for count in (20_000, 20_000 * FACTOR):
        facts = [ActivityFact("v", START + n, {"p": n}) for n in range(count, 0, -1)]
        profile, ledger = Profile(UUID(int=1), "c"), Ledger(True, facts)
        spent.append(seconds(lambda profile=profile, ledger=ledger: profile.refold(ledger, shape)))  # type: ignore[misc]
        (occurrences,) = profile.behaviour.occurrences.values()
        assert len(occurrences.instants) == count

    assert spent[1] < 2 * FACTOR * max(spent[0], SECONDS_MIN)
