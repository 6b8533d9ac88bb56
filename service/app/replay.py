"""Replay: where each partition of an input topic would be read again from.

A replay reads again and never skips: a partition that has not come as far as the place asked for stays where it is.
What is read again is known by its facts, so nothing is published and nothing changes (decision 0001).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from service.core import instants

EARLIEST: Final = "earliest"
MICROSECONDS_A_MILLISECOND: Final = 1_000
#: Offsets are 64 bits wide.
OFFSET_MAX: Final = 2**63 - 1


class ReplayRefused(ValueError):
    """The replay cannot be done as asked; the message is a sentence that names the option."""


class Source(NamedTuple):
    """From where to read again: an offset, an instant (microseconds), or with neither the earliest record."""

    offset: int | None = None
    instant: int | None = None


class Partition(NamedTuple):
    """One partition as it is.

    Attributes:
        number: the partition.
        begin: the first offset that is still there.
        committed: where the group goes on; None where it has never been.
        end: the end for readers of committed records.
        at_instant: the first offset at or after the instant asked for; None where there is none.
    """

    number: int
    begin: int
    committed: int | None
    end: int
    at_instant: int | None = None


class Move(NamedTuple):
    """What becomes of one partition; `records` counts offsets, a few of which may be markers of transactions."""

    partition: int
    current: int
    new: int
    end: int

    @property
    def records(self) -> int:
        """How many records will be read again, at most."""
        return self.current - self.new


def read_topic(text: str, input_topics: Sequence[str]) -> tuple[str, frozenset[int] | None]:
    """The topic and the partitions that `--topic T[:0,1]` names; None for all partitions.

    Raises:
        ReplayRefused: no input topic, or no list of partitions.
    """
    topic, colon, numbers = text.partition(":")
    if topic not in input_topics:
        msg = f"--topic: {topic!r} is no input topic of this service; use {' or '.join(input_topics)}."
        raise ReplayRefused(msg)
    if not colon:
        return topic, None
    parts = numbers.split(",")
    if not all(part.isascii() and part.isdecimal() and len(part) < 10 for part in parts):
        msg = f"--topic: {numbers!r} is no list of partitions; write {topic}:0,1 for the first two."
        raise ReplayRefused(msg)
    return topic, frozenset(map(int, parts))


def read_source(text: str) -> Source:
    """What `--from` says.

    Raises:
        ReplayRefused: neither `earliest` nor an offset nor an instant.
    """
    if text == EARLIEST:
        return Source()
    if text.isascii() and text.isdecimal():
        if int(text) <= OFFSET_MAX:
            return Source(offset=int(text))
    else:
        try:
            return Source(instant=instants.parse(text))
        except ValueError:
            pass
    msg = f"--from: {text!r} is neither earliest, nor an offset such as 1500, nor an instant such as 2024-02-29T12:00Z."
    raise ReplayRefused(msg)


def plan_moves(
    topic: str, source: Source, partitions: Sequence[Partition], chosen: frozenset[int] | None
) -> list[Move]:
    """What becomes of each partition, by number.

    Raises:
        ReplayRefused: a partition does not exist, or the offset lies beyond the end of one.
    """
    numbers = {one.number for one in partitions}
    if chosen is not None and not chosen <= numbers:
        wrong = min(chosen - numbers)
        msg = f"--topic: {topic} has no partition {wrong}; it has {len(numbers)}, from 0 on."
        raise ReplayRefused(msg)
    wanted = [one for one in sorted(partitions) if chosen is None or one.number in chosen]
    if source.offset is not None:
        _check_offset(topic, source.offset, wanted)
    return [_move(source, one) for one in wanted]


def _check_offset(topic: str, offset: int, partitions: Sequence[Partition]) -> None:
    short = [one for one in partitions if offset > one.end]
    if short:
        ends = ", ".join(f"{one.number} ends at {one.end}" for one in short[:3])
        more = ", ..." if len(short) > 3 else ""
        msg = (
            f"--from: offset {offset} lies beyond the end of {len(short)} of {len(partitions)} partitions of {topic}"
            f" ({ends}{more}); choose a smaller one, or name partitions: --topic {topic}:0,1."
        )
        raise ReplayRefused(msg)


def _move(source: Source, one: Partition) -> Move:
    # A group whose offset is gone begins with the earliest record, and so does one that has never been here.
    current = max(one.begin, one.begin if one.committed is None else one.committed)
    target = one.begin
    if source.offset is not None:
        target = source.offset
    elif source.instant is not None:
        target = one.end if one.at_instant is None else one.at_instant
    return Move(one.number, current, max(one.begin, min(current, target)), one.end)


def instant_ms(instant: int) -> int:
    """The first whole millisecond at or after an instant, as Kafka counts; below 0 it would mean something else."""
    return max(0, -(-instant // MICROSECONDS_A_MILLISECOND))


def as_json(moves: Sequence[Move], records_per_second: float | None) -> dict[str, Any]:
    """The moves as plain values; seconds are None where no pace was measured."""
    total = sum(one.records for one in moves)
    seconds = round(total / records_per_second, 1) if records_per_second else None
    return {
        "partitions": [{**one._asdict(), "records": one.records} for one in moves],
        "records": total,
        "estimated_seconds": seconds,
    }


def as_offsets(topic: str, moves: Sequence[Move]) -> Mapping[tuple[str, int], int]:
    """What the group is to have committed."""
    return {(topic, one.partition): one.new for one in moves}
