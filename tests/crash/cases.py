"""The matrix: who dies, where, and how often one after another."""

from __future__ import annotations

from typing import NamedTuple

from service.crash import POINTS, Part


class Case(NamedTuple):
    """Deaths of one part, each the end of the process started after the one before.

    Attributes:
        deaths: points as SEGMENTS_CRASH_AT takes them.
        what: what a request asks for, of serve.
    """

    part: Part
    deaths: tuple[str, ...]
    what: str = ""

    def __str__(self) -> str:
        """As the test's id."""
        return "-".join([self.part, *([self.what] if self.what else []), *self.deaths])


#: A relay that starts after nobody's death has nothing to mend: these die after the death of another.
MENDING = ("predecessor-ended", "marker-read", "marked-rows-deleted")
#: Points that one part passes several times before it rests, each time in another state.
LATER = {
    Part.CONSUME: ("records-read:3", "customers-locked:2", "profiles-written:2", "frontier-written:3")
    + ("batch-committed:2", "offsets-committed:2", "frontier-followed:2"),
    Part.RELAY: ("rows-read:2", "transaction-written:2", "transaction-committed:2", "rows-deleted:2"),
    Part.TIMERS: ("due-committed:2",),
    Part.DISPATCH: ("messages-written:2", "messages-committed:2", "attempts-written:2", "attempt-ended:2"),
    Part.BACKFILL: ("slice-written:2", "slice-committed:2", "slice-committed:3"),
}
REVOKED = "partitions-revoked"
#: There is nothing to take back unless a dispatcher died before.
LAPSED = "leases-taken-back"
DEFINITIONS = ("definition-written", "request-committed")
KILLED_TWICE = (
    Case(Part.CONSUME, ("batch-committed:1", "known-dropped:1", "batch-committed:1")),
    Case(Part.RELAY, ("transaction-written:1", "transaction-committed:1", "transaction-committed:1")),
)


def _once(part: Part, name: str) -> list[Case]:
    if name in MENDING:
        return [Case(part, (before, f"{name}:1")) for before in ("transaction-written:1", "transaction-committed:1")]
    if name == LAPSED:
        return [Case(part, ("attempts-committed:1", f"{name}:1"))]
    if name == REVOKED:  # the first passage is that of joining the group
        return [Case(part, (f"{name}:2",))]
    if name in DEFINITIONS:
        return [Case(part, (f"{name}:1",), what) for what in ("create", "change", "delete")]
    return [Case(part, (f"{name}:1",), "pin" if part is Part.SERVE else "")]


#: In this order they may share a timeline, which ends with the partitions that move.
ORDER = (Part.DISPATCH, Part.RELAY, Part.TIMERS, Part.SERVE, Part.CONSUME, Part.BACKFILL, Part.MIGRATE)
#: Every point for every part that passes it.
CASES = sorted(
    [
        *(case for point in POINTS for part in point.parts for case in _once(part, point.name)),
        *(Case(part, (death,)) for part, deaths in LATER.items() for death in deaths),
        *KILLED_TWICE,
    ],
    key=lambda case: (ORDER.index(case.part), case.deaths[0].startswith(REVOKED)),
)
