"""Dead letters looked at, and redriven: published again as they came, to the topic they came from.

A redrive publishes first and marks then, so a crash in between repeats it. That is harmless: what was applied is known
by its facts, and what fails again lies at a new place in the input and becomes a new dead letter.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

from service.app.outgoing import OUR_HEADERS

#: What a redrive by filter takes at most.
REDRIVES_MAX: Final = 10_000
REDRIVES: Final = 1_000
#: How many letters one redrive may name.
IDS_MAX: Final = 1_000
ID_MAX: Final = 2**63 - 1

TRUNCATED: Final = "x-truncated"
HEADERS_LEFT_OUT: Final = "headers-left-out"

Headers = Sequence[tuple[str, bytes | None]]


class Letter(NamedTuple):
    """A dead letter as it is stored; header values are latin-1 of their bytes."""

    id: int
    reason: str
    error: str
    topic: str
    partition: int
    offset: int
    at: datetime
    redrives: int
    redriven_at: datetime | None
    key: bytes | None = None
    value: bytes | None = None
    headers: Sequence[tuple[str, str | None]] = ()


class LetterFilter(NamedTuple):
    """Which letters are meant; what is None does not matter."""

    reason: str | None = None
    topic: str | None = None
    since: datetime | None = None


class RedriveRefused(ValueError):
    """The redrive cannot be done as asked; the message is a sentence."""


class RedriveUnderWay(Exception):
    """Somebody else redrives at this moment."""


class Publisher(Protocol):
    """Where letters go."""

    async def add(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        """Takes one record."""

    async def flush(self) -> None:
        """Waits until all that was taken is acknowledged."""


class Letters(Protocol):
    """What a redrive asks of the store; all of it under the lock that lets one redrive run at a time."""

    async def by_ids(self, ids: Sequence[int]) -> list[Letter]:
        """These letters, ascending; unknown ids are left out."""
        ...

    def redrivable(
        self, wanted: LetterFilter, topics: Sequence[str], limit: int, *, again: bool
    ) -> AsyncIterator[list[Letter]]:
        """Letters that can be redriven, oldest first, some at a time; none that came after this began."""
        ...

    async def mark(self, ids: Sequence[int]) -> None:
        """Notes that these were redriven just now."""
        ...

    async def count_others(self, wanted: LetterFilter, topics: Sequence[str]) -> tuple[int, int]:
        """How many still wait for their first redrive, and how many can never be redriven."""
        ...


class Redrive(NamedTuple):
    """What to redrive: letters by id, or by filter."""

    ids: Sequence[int] = ()
    wanted: LetterFilter = LetterFilter()
    limit: int = REDRIVES
    again: bool = False


@dataclass
class RedriveReport:
    """What was done.

    Attributes:
        redriven: ids, in the order in which they went out.
        refused: (id, sentence) of letters named by id that cannot be redriven.
        waiting: of those the filter finds, how many still wait for their first redrive; 0 where ids were given.
        lost: of those the filter finds, how many have no whole bytes any more, or no topic that is read.
    """

    redriven: list[int] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    waiting: int = 0
    lost: int = 0

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        refused = [{"id": letter_id, "error": why} for letter_id, why in self.refused]
        return {"redriven": self.redriven, "refused": refused, "waiting": self.waiting, "lost": self.lost}


def check_redrive(asked: Redrive) -> None:
    """Somebody must have said which letters are meant.

    Raises:
        RedriveRefused: neither ids nor a filter, or both.
    """
    has_filter = asked.wanted != LetterFilter()
    if bool(asked.ids) == has_filter:
        msg = "Say which dead letters to redrive: either their ids, or by reason, topic or since."
        raise RedriveRefused(msg)


async def redrive(
    letters: Letters,
    open_publisher: Callable[[], AbstractAsyncContextManager[Publisher]],
    topics: Sequence[str],
    asked: Redrive,
) -> RedriveReport:
    """Publishes letters again, each batch before it is marked.

    Args:
        letters: the store.
        open_publisher: called where there is anything to publish.
        topics: those that are read: of events and of engagement.
        asked: which ones.

    Raises:
        RedriveRefused: the request does not say which letters are meant.
    """
    check_redrive(asked)
    report = RedriveReport()
    async with AsyncExitStack() as stack:
        publisher: Publisher | None = None
        parts = _named(letters, topics, asked, report) if asked.ids else _found(letters, topics, asked)
        async for some in parts:
            if not some:
                continue
            if publisher is None:
                publisher = await stack.enter_async_context(open_publisher())
            for letter in some:
                await publisher.add(letter.topic, letter.key, letter.value, original_headers(letter))
            await publisher.flush()
            ids = [letter.id for letter in some]
            await letters.mark(ids)
            report.redriven += ids
    if not asked.ids:
        report.waiting, report.lost = await letters.count_others(asked.wanted, topics)
    return report


def _found(letters: Letters, topics: Sequence[str], asked: Redrive) -> AsyncIterator[list[Letter]]:
    return letters.redrivable(asked.wanted, topics, asked.limit, again=asked.again)


async def _named(
    letters: Letters, topics: Sequence[str], asked: Redrive, report: RedriveReport
) -> AsyncIterator[list[Letter]]:
    ids = sorted(set(asked.ids))
    found = {letter.id: letter for letter in await letters.by_ids(ids)}
    for letter_id in ids:
        letter = found.get(letter_id)
        why = f"There is no dead letter {letter_id}." if letter is None else refusal(letter, topics, again=asked.again)
        if why is not None:
            report.refused.append((letter_id, why))
        elif letter is not None:
            yield [letter]


def refusal(letter: Letter, topics: Sequence[str], *, again: bool) -> str | None:
    """Why a letter cannot be redriven, as a sentence; None where it can."""
    names = [name for name, _ in letter.headers]
    if letter.value is None:
        return f"Dead letter {letter.id} has no bytes: the record had none, or they were erased."
    if names[-1:] == [TRUNCATED]:
        return f"Dead letter {letter.id} was cut off when it was set aside; publish the whole event again."
    if names[:1] == [HEADERS_LEFT_OUT]:
        return f"Dead letter {letter.id} was set aside without its headers; publish the whole event again."
    if letter.topic not in topics:
        return f"Dead letter {letter.id} came from {letter.topic}, which is no input topic now; publish it anew."
    if letter.redriven_at is not None and not again:
        at = letter.redriven_at.isoformat(timespec="seconds").replace("+00:00", "Z")
        return f"Dead letter {letter.id} was redriven at {at}; ask for it again if that is meant."
    return None


def original_headers(letter: Letter) -> Headers:
    """The record's own headers as bytes; jsonb cannot hold U+0000, so U+FFFD stands for it in the table."""
    return [
        (name, None if text is None else text.replace("\ufffd", "\0").encode("latin-1"))
        for name, text in letter.headers
        if name not in OUR_HEADERS
    ]


def letter_json(letter: Letter) -> dict[str, Any]:
    """A letter without its content, as `list` shows it."""
    return {
        "id": letter.id,
        "reason": letter.reason,
        "error": letter.error,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "at": _text(letter.at),
        "redrives": letter.redrives,
        "redriven_at": _text(letter.redriven_at),
    }


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")
