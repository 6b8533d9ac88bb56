"""What an operator should look at now, a sentence each; no figures that are merely interesting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

#: Dead letters of the last so many minutes are news.
LETTERS_MINUTES: Final = 15
#: Input and outbox are meant to be applied and published within milliseconds.
WAITING_SECONDS_MAX: Final = 60
#: A backfill tells its progress with each slice; the one statement before the first may take a while.
BACKFILL_SECONDS_MAX: Final = 120
#: What should not happen is told for so long.
COUNTED_HOURS: Final = 24
DEATHS_MAX: Final = 3
DEATHS_MINUTES: Final = 10


class Counted(NamedTuple):
    """Something that should not happen: how often it did, and when last (RFC 3339)."""

    times: int
    at: str


@dataclass
class Signs:
    """What the sentences are made of.

    Attributes:
        letters: dead letters of the last LETTERS_MINUTES, by reason.
        waiting: records that came more than WAITING_SECONDS_MAX ago and are not applied, by input topic.
        outbox_seconds: age of the oldest row.
        changes_seconds: age of the oldest membership change that is not merged.
        overtook: timers that fired ahead of unread input, where that was within COUNTED_HOURS.
        set_aside: customers that could not be walked, likewise.
        over_limit: how many customers are beyond the limits of a profile.
        backfills: (segment, seconds) of those that stand still for longer than BACKFILL_SECONDS_MAX.
        deaths: how often each role died within DEATHS_MINUTES.
    """

    letters: Mapping[str, int] = field(default_factory=dict)
    waiting: Mapping[str, int] = field(default_factory=dict)
    outbox_seconds: float = 0.0
    changes_seconds: float = 0.0
    overtook: Counted | None = None
    set_aside: Counted | None = None
    over_limit: int = 0
    backfills: Sequence[tuple[str, float]] = ()
    deaths: Mapping[str, int] = field(default_factory=dict)


def sentences(signs: Signs) -> list[str]:
    """The alarms; none where all is well."""
    return list(_sentences(signs))


def _sentences(signs: Signs) -> Iterator[str]:
    for role, times in sorted(signs.deaths.items()):
        if times >= DEATHS_MAX:
            yield f"The role {role} died {times} times within {DEATHS_MINUTES} minutes; its log says why."
    for topic, records in signs.waiting.items():
        if records:
            yield (
                f"{records} records of {topic} came more than {WAITING_SECONDS_MAX} s ago and are not applied;"
                " the log of consume names what it waits for."
            )
    if signs.outbox_seconds > WAITING_SECONDS_MAX:
        yield f"The outbox's oldest row is {signs.outbox_seconds:.0f} s old; the log of relay says why."
    if signs.changes_seconds > WAITING_SECONDS_MAX:
        yield (
            f"Membership changes wait for {signs.changes_seconds:.0f} s to be merged, so that lists of members are"
            " late; the log of relay says why."
        )
    for name, seconds in signs.backfills:
        yield f"The backfill of {name} has not advanced for {seconds:.0f} s; see that a timers role runs."
    if signs.letters:
        told = ", ".join(f"{count} {reason}" for reason, count in sorted(signs.letters.items()))
        yield f"Dead letters of the last {LETTERS_MINUTES} minutes: {told}; see `segments dead-letters list`."
    if signs.overtook:
        yield (
            f"Timers fired ahead of unread input, last at {signs.overtook.at} ({signs.overtook.times} times in all):"
            " joined and left of that time may not be exact."
        )
    if signs.set_aside:
        yield (
            f"Customers whose profile cannot be walked were left out, last at {signs.set_aside.at}"
            f" ({signs.set_aside.times} in all); the log of timers names them."
        )
    if signs.over_limit:
        yield f"{signs.over_limit} customers are beyond the limits of a profile; some of their memberships stand still."
