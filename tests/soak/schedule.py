"""Which fault when: seeded rounds, each with every kind once in an order of its own, until the time is up."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from dataclasses import dataclass

from tests.soak.faults import FAULTS
from tests.soak.stage import Stage
from tests.soak.watch import Watch

RECOVERY_SECONDS_MAX = 60.0
#: One fault of so many is followed by the next before anything has recovered; its recovery is not measured.
OVERLAPS = 8
#: One fault of so many comes together with another one.
TOGETHER = 8


@dataclass
class Injected:
    """One fault that was injected; seconds until events and time took effect again, None where not measured."""

    kind: str
    what: str
    at_seconds: float
    is_together: bool
    events_seconds: float | None = None
    timers_seconds: float | None = None
    together_seconds: float | None = None
    is_lost: bool = False


class Rounds:
    """Every kind once in an order of its own, then again."""

    def __init__(self, kinds: list[str], chance: random.Random) -> None:
        self._kinds, self._chance = kinds, chance
        self._waiting: list[str] = []
        self.finished = -1

    def next(self) -> list[str]:
        """One kind, or two of different subjects that come together."""
        if not self._waiting:
            self._waiting = self._chance.sample(self._kinds, len(self._kinds))
            self.finished += 1
        chosen = [self._waiting.pop(0)]
        if self._chance.randrange(TOGETHER) == 0:
            others = [kind for kind in self._waiting if _subject(kind) != _subject(chosen[0])]
            for kind in others[:1]:
                self._waiting.remove(kind)
                chosen.append(kind)
        return chosen

    @property
    def is_complete(self) -> bool:
        """Whether every kind has come at least once."""
        return self.finished + (not self._waiting) > 0


async def play(stage: Stage, watch: Watch, seed: int, seconds: float, only: str = "") -> list[Injected]:
    """Injects faults, those whose names hold `only`, until the time is up and every kind has come at least once."""
    chance = random.Random(seed)
    rounds = Rounds([kind for kind in FAULTS if only in kind], chance)
    started = time.monotonic()
    found: list[Injected] = []
    while time.monotonic() - started <= seconds or not rounds.is_complete:
        chosen = rounds.next()
        at = round(time.monotonic() - started, 1)
        chances = [random.Random(chance.random()) for _ in chosen]
        causes = [FAULTS[kind].cause(stage, one) for kind, one in zip(chosen, chances, strict=True)]
        done = await asyncio.gather(*causes)
        these = [Injected(kind, one.what, at, len(done) > 1) for kind, one in zip(chosen, done, strict=True)]
        found += these
        is_measured = chance.randrange(OVERLAPS) > 0
        if is_measured:
            await _measure(watch, these, max(one.since for one in done))
        await asyncio.sleep(chance.uniform(0.1, 1))
        for one in these:
            _say(one, is_measured)
    last = Injected("none", "the end", round(time.monotonic() - started, 1), False)
    await _measure(watch, [last], time.monotonic())
    return [*found, last]


def _subject(kind: str) -> str:
    """What a fault is done to: two at once must not be done to one process."""
    return kind.partition(":")[0]


async def _measure(watch: Watch, these: list[Injected], since: float) -> None:
    """Waits for recovery; of faults that came together the figure belongs to neither."""
    events, timers = await watch.wait_recovered(since, RECOVERY_SECONDS_MAX)
    for one in these:
        one.is_lost = events is None or timers is None
        if len(these) == 1:
            one.events_seconds, one.timers_seconds = events, timers
        else:
            one.together_seconds = events


def _say(one: Injected, is_measured: bool) -> None:
    told = "the next one comes before it recovers"
    if one.is_together:
        told = "with another" + (f", events after {_rounded(one.together_seconds)} s" if is_measured else "")
    elif is_measured:
        told = f"events after {_rounded(one.events_seconds)} s, timers after {_rounded(one.timers_seconds)} s"
    sys.stdout.write(f"{one.at_seconds:8.1f} s  {one.kind:28} {one.what:46} {told}\n")
    sys.stdout.flush()


def _rounded(seconds: float | None) -> str:
    return "no" if seconds is None else f"{seconds:.1f}"
