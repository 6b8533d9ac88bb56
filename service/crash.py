"""Crash points: named places behind every step of an event's life at which a test can end the process.

With SEGMENTS_CRASH_AT=<point>:<nth> the nth passage of that point ends the process by SIGKILL: nothing is flushed,
closed or rolled back. Without it `crash_point` does nothing. `tests/crash` kills every part at every point it passes.
"""

from __future__ import annotations

import os
import signal
from enum import StrEnum
from typing import Final, NamedTuple

import structlog

log = structlog.get_logger()


class Part(StrEnum):
    """Who dies: a role, or one of the two jobs of the timers role."""

    CONSUME = "consume"
    RELAY = "relay"
    TIMERS = "timers"
    BACKFILL = "backfill"  # in the timers role
    SERVE = "serve"
    DISPATCH = "dispatch"
    MIGRATE = "migrate"


#: Who runs batches: each of them locks customers, walks them and writes what follows.
BATCHES: Final = (Part.CONSUME, Part.TIMERS, Part.BACKFILL, Part.SERVE)


class Point(NamedTuple):
    """One place in the code.

    Attributes:
        name: as SEGMENTS_CRASH_AT and the placement in the code name it.
        parts: who comes by, and is killed there by the tests.
        meaning: what is done at this point, and what is not.
    """

    name: str
    parts: tuple[Part, ...]
    meaning: str


#: Who reads topics in batches.
READERS: Final = (Part.CONSUME, Part.DISPATCH)

#: Every point, in the order in which a batch, the relay, the timers, a backfill, a request, a campaign comes by.
POINTS: Final = (
    Point("records-read", READERS, "Records are handed out; none of them has been looked at."),
    Point("records-decoded", (Part.CONSUME,), "Each record is an event or a dead letter; the database knows nothing."),
    Point("catalogue-shared", BATCHES, "The catalogue is held and compiled; no customer is locked."),
    Point("customers-locked", BATCHES, "The customers are locked, and tombstones have been asked for."),
    Point("known-dropped", BATCHES, "Events that are known are dropped, and facts that the others touch are there."),
    Point("walked", BATCHES, "The transitions are known; nothing is written."),
    Point("facts-written", (Part.CONSUME,), "Facts are written, and what follows from them is not."),
    Point("profiles-written", BATCHES, "Profiles are written, and orders and memberships are not."),
    Point("orders-written", (Part.CONSUME,), "Orders are written, and memberships are not."),
    Point("memberships-written", BATCHES, "Memberships are written; nothing is on its way out."),
    Point("customers-erased", (Part.CONSUME,), "Customers are erased; their leaving is not on its way out."),
    Point("letters-written", (Part.CONSUME,), "Dead letters are stored, and are not in the outbox."),
    Point("outbox-written", BATCHES, "All that must leave is in the outbox; the frontier stands still."),
    Point("frontier-written", (Part.CONSUME,), "All of a batch is written, and not committed."),
    Point("batch-committed", (Part.CONSUME,), "A batch is committed; its offsets are not."),
    Point("offsets-committed", READERS, "A batch and its offsets are committed; it is not acknowledged."),
    Point("frontier-followed", (Part.CONSUME,), "The frontier has passed transaction markers; the offsets have not."),
    Point("partitions-revoked", (Part.CONSUME,), "Partitions go to another worker while a batch is in flight."),
    Point("predecessor-ended", (Part.RELAY,), "The transaction of the relay before is ended; the marker is not read."),
    Point("marker-read", (Part.RELAY,), "It is known what was sent; those rows are still in the outbox."),
    Point("marked-rows-deleted", (Part.RELAY,), "What the relay before sent is deleted; nothing new has been read."),
    Point("rows-read", (Part.RELAY,), "Rows of the outbox are read; no transaction has begun."),
    Point("transaction-begun", (Part.RELAY,), "A Kafka transaction has begun; nothing is in it."),
    Point("records-collected", (Part.RELAY,), "The records are with the client, some of them on their way; no marker."),
    Point("transaction-written", (Part.RELAY,), "Records and marker are acknowledged, and not committed."),
    Point("transaction-committed", (Part.RELAY,), "The Kafka transaction is committed; its rows are not deleted."),
    Point("rows-deleted", (Part.RELAY,), "The rows are deleted, by a statement that is its own transaction."),
    Point("changes-merged", (Part.RELAY,), "Changes are in the table of memberships, and still wait; not committed."),
    Point("merge-committed", (Part.RELAY,), "Changes are merged; others may wait."),
    Point("due-seen", (Part.TIMERS,), "Somebody is due; the ends of the input have not been read."),
    Point("input-applied", (Part.TIMERS,), "All input before those ends is applied; nobody is locked."),
    Point("due-written", (Part.TIMERS,), "All that time changed is written, and not committed."),
    Point("due-committed", (Part.TIMERS,), "What time changed is committed; others may be due."),
    Point("candidates-noted", (Part.BACKFILL,), "It is known and noted whom a backfill visits; nobody is locked."),
    Point("slice-written", (Part.BACKFILL,), "A slice and its progress are written, and not committed."),
    Point("slice-committed", (Part.BACKFILL,), "A slice, or the end of the backfill, is committed."),
    Point("backfill-ended", (Part.BACKFILL,), "The end of a backfill is written, and not committed."),
    Point("definition-written", (Part.SERVE,), "A change of a definition is written, and not committed."),
    Point("request-committed", (Part.SERVE,), "A request's transaction is committed; nobody has been answered."),
    Point("pins-written", (Part.SERVE,), "Pins and what follows from them are written, and not committed."),
    Point("pins-committed", (Part.SERVE,), "Pins are committed; nobody has been answered."),
    Point("triggers-written", (Part.DISPATCH,), "Messages that joins and leaves fire are written, and not committed."),
    Point("triggers-committed", (Part.DISPATCH,), "These messages are committed; the offsets of what fired are not."),
    Point("audience-written", (Part.DISPATCH,), "An audience has its messages, and its campaign sends; not committed."),
    Point("audience-committed", (Part.DISPATCH,), "An audience is committed; nobody has got anything."),
    Point("messages-claimed", (Part.DISPATCH,), "Messages that are due are locked; nothing is decided about them."),
    Point("messages-settled", (Part.DISPATCH,), "What becomes of messages is written; nothing is on its way out."),
    Point("messages-written", (Part.DISPATCH,), "What leaves is in the outbox, and not committed."),
    Point("messages-committed", (Part.DISPATCH,), "Messages are sent or leased, and that is committed."),
    Point("attempts-written", (Part.DISPATCH,), "Outcomes and the next attempts are written, and not committed."),
    Point("attempts-committed", (Part.DISPATCH,), "Outcomes and the next attempts are committed; none of them began."),
    Point("attempt-begins", (Part.DISPATCH,), "A message is handed to its transport, which has done nothing yet."),
    Point("attempt-ended", (Part.DISPATCH,), "A message has left, or has not; what came of it is not written."),
    Point("leases-taken-back", (Part.DISPATCH,), "What a process that died left behind waits again or is held."),
    Point("campaign-ended", (Part.DISPATCH,), "A campaign of which nothing waits any more is sent."),
    Point("engagement-written", (Part.DISPATCH,), "What became of messages is written, and not committed."),
    Point("engagement-committed", (Part.DISPATCH,), "What became of messages is committed; its offsets are not."),
    Point("schema-written", (Part.MIGRATE,), "The schema has been changed, and the change is not committed."),
)
NAMES: Final = tuple(point.name for point in POINTS)

#: Passages left until this process ends, by point; empty unless a test has armed it.
_left: dict[str, int] = {}


def crash_point(name: str) -> None:
    """Ends this process if SEGMENTS_CRASH_AT says so; else nothing."""
    if _left:
        _pass(name)


def read_crash_at(text: str) -> tuple[str, int]:
    """The point and which of its passages are meant by <point>:<nth>.

    Raises:
        ValueError: one sentence that lists the points.
    """
    name, _, nth = text.partition(":")
    if name not in NAMES or not (nth.isascii() and nth.isdecimal() and int(nth) >= 1):
        msg = f"must be <point>:<nth>, nth from 1 on, and is for tests alone; the points are {', '.join(NAMES)}"
        raise ValueError(msg)
    return name, int(nth)


def arm(crash_at: str | None) -> None:
    """Makes the nth passage of a point this process's end, and says so; None leaves everything as it is.

    Raises:
        ValueError: there is no such point.
    """
    if crash_at is None:
        return
    name, nth = read_crash_at(crash_at)
    _left[name] = nth
    log.error("SEGMENTS_CRASH_AT is set, for tests alone: this process will kill itself", point=name, nth=nth)


def _pass(name: str) -> None:
    if name in _left:
        _left[name] -= 1
        if _left[name] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
