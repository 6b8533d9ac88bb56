"""Backtest: whom criteria would have had at each step of a span of the past, from the facts alone.

Unlike the recorded history, which knows an event only from the instant at which it took effect, a late event counts
here from its own time on.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from service.app.preview import unnamed_segment
from service.app.segment_references import check_references
from service.app.segments import SegmentStore
from service.core import instants
from service.core.criteria.model import Criteria
from service.core.criteria.parse import parse_criteria

STEPS_MAX: Final = 1_000
STEP_DEFAULT: Final = "1d"

_STEP: Final = re.compile(r"([0-9]{1,6})([wdhm])")
_UNITS: Final = {"w": 7 * instants.DAY, "d": instants.DAY, "h": instants.HOUR, "m": instants.MINUTE}


class SpanError(ValueError):
    """The span of a backtest cannot be used; `field` is from, to or step, and the message says how to mend it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Step:
    """The members at one instant (microseconds).

    Attributes:
        joined, left: against the step before; the first counts against nobody.
        members: external ids by code point; None where nobody asked for them.
    """

    at: int
    count: int
    joined: int
    left: int
    members: Sequence[str] | None = None

    def to_json(self) -> dict[str, Any]:
        """As `segments backtest --json` and the API show it."""
        shown = {"at": instants.to_text(self.at), "count": self.count, "joined": self.joined, "left": self.left}
        return shown if self.members is None else {**shown, "members": list(self.members)}


class BacktestStore(Protocol):
    """Reads of the facts, all of them in one snapshot of the database."""

    def steps(self, criteria: Criteria, moments: Sequence[int], *, has_members: bool) -> AsyncGenerator[Step]:
        """One step for each of the ascending instants."""
        ...


def moments_of(first: str, last: str, step: str, now: int) -> list[int]:
    """The instants of a backtest: `first`, `first` + `step`, ... up to `last`, which may be one of them.

    Args:
        first: a date, which is the start of that UTC day, or an instant with offset.
        last: as `first`; not after now.
        step: a whole number of w, d, h or m, such as 1d.
        now: the clock, microseconds.

    Raises:
        SpanError: one of them cannot be used, or the steps are more than STEPS_MAX.
    """
    begin, end = _instant("from", first), _instant("to", last)
    length = _length(step)
    if end > now:
        clock = instants.to_text(now)
        raise SpanError("to", f"must not lie after now, which is {clock}: nothing is known of the future")
    if begin > end:
        raise SpanError("from", "must not lie after to")
    count = (end - begin) // length + 1
    if count > STEPS_MAX:
        raise SpanError("step", f"gives {count} steps; at most {STEPS_MAX} are allowed: make it longer")
    return [begin + length * place for place in range(count)]


def _instant(field: str, text: str) -> int:
    try:
        return instants.parse_edge(text)
    except ValueError:
        message = "must be a date such as 2024-02-29 or an instant with offset such as 2024-02-29T12:00:00Z"
        raise SpanError(field, message) from None


def _length(step: str) -> int:
    found = _STEP.fullmatch(step)
    if found is None or not int(found[1]):
        raise SpanError("step", "must be a whole number of w, d, h or m, such as 1d, 12h, 30m or 1w")
    return int(found[1]) * _UNITS[found[2]]


async def backtest(
    store: BacktestStore,
    segments: SegmentStore,
    criteria: Any,
    moments: Sequence[int],
    *,
    has_members: bool,
) -> AsyncGenerator[Step]:
    """The members at each of the instants, in their order; one by one, so that memory does not grow with the steps.

    Args:
        store: reads the facts.
        segments: reads the segments that the criteria name.
        criteria: JSON in the form of docs/criteria.md.
        moments: see moments_of.
        has_members: with the external ids of the members.

    Raises:
        CriteriaError: with every fault of the criteria; a segment that is not there is one.
        TooSlow: the database was stopped.
    """
    parsed = parse_criteria(criteria)
    await check_references(segments, unnamed_segment(criteria))
    async for step in store.steps(parsed, moments, has_members=has_members):
        yield step
