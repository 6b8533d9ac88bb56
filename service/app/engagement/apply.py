"""What became of messages: one batch of the engagement topic in one transaction.

Every column is a minimum over the events, or follows from them and nothing else, so that order, repeats and replays do
not matter. The one thing that is done rather than noted is a further attempt after a failure that may pass.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol
from uuid import UUID

from service.app.engagement.consent import ConsentStore, Topics, Withdrawal, withdraw
from service.app.engagement.decode import Ignored, Told, decode_told
from service.app.engagement.outcome import BadTime, Change, MessageRow, change_of
from service.app.ingest import Record, dead_letter
from service.app.ports import DeadLetter
from service.core.events.decode import Rejected

#: An event may be of a message whose row is not committed yet; so long it waits, in seconds of real time.
WAIT_SECONDS: Final = 24 * 3_600
UNKNOWN: Final = Rejected("unknown_message", "message_id: names no message of this service, a day after it came.")


class EngagementStore(ConsentStore, Protocol):
    """What this asks of the store, all in one transaction."""

    async def lettered(self, records: Collection[Record]) -> set[tuple[str, int, int]]:
        """Places of these that are dead letters for a reason that depends on when they were read; they stay so."""
        ...

    async def known(self, told: Collection[Told]) -> set[tuple[str, str]]:
        """The (source, id) of these that were applied before."""
        ...

    async def lock_messages(self, message_ids: Collection[UUID]) -> Mapping[UUID, MessageRow]:
        """Messages by id, locked in the order of their keys."""
        ...

    async def write_told(self, told: Sequence[Told]) -> None:
        """Adds to the history of messages."""
        ...

    async def write_changes(self, changes: Sequence[Change]) -> None:
        """Writes what follows for the messages."""
        ...

    async def suppress_bounced(self, rows: Sequence[tuple[MessageRow, Told]]) -> None:
        """Suppresses the addresses that these messages went to: they do not exist."""
        ...

    async def count_soft_bounces(self, rows: Sequence[MessageRow]) -> None:
        """Suppresses or frees the addresses that these messages went to, by how many bounced softly in a row."""
        ...

    async def park(self, records: Sequence[tuple[UUID, Record]]) -> None:
        """Keeps events of messages that are not known yet."""
        ...

    async def take_parked(self, limit: int) -> list[Record]:
        """Takes out events whose message is known by now."""
        ...

    async def take_expired(self, seconds: int, limit: int) -> list[Record]:
        """Takes out events that have waited for so long."""
        ...

    async def write_letters(self, letters: Sequence[DeadLetter]) -> Sequence[DeadLetter]:
        """Stores dead letters and has them published, each place once; gives the new ones."""
        ...


@dataclass(frozen=True)
class Rules:
    """What the settings say."""

    topics: Topics
    bytes_max: int


@dataclass
class Applied:
    """What became of a batch.

    Attributes:
        fresh: applied now.
        duplicates, ignored, parked: known before; of test messages; of messages not known yet.
        letters: set aside now.
    """

    fresh: list[Told] = field(default_factory=list)
    duplicates: int = 0
    ignored: int = 0
    parked: int = 0
    letters: Sequence[DeadLetter] = ()


async def apply_batch(store: EngagementStore, records: Sequence[Record], rules: Rules, now: int) -> Applied:
    """Applies one batch.

    Args:
        store: within a transaction that commits after this.
        records: as they came, in any order.
        rules: the settings.
        now: the service's clock, microseconds.
    """
    applied = Applied()
    letters: list[DeadLetter] = []
    told: list[tuple[Told, Record]] = []
    set_aside = await store.lettered(records)
    for record in records:
        if (record.topic, record.partition, record.offset) in set_aside:
            applied.duplicates += 1
            continue
        found = decode_told(record.value, record.headers, now, rules.bytes_max)
        if isinstance(found, Rejected):
            letters.append(dead_letter(record, found))
        elif isinstance(found, Ignored):
            applied.ignored += 1
        else:
            told.append((found, record))
    fresh = await _without_known(store, told, applied)
    messages = await store.lock_messages({one.message_id for one, _ in fresh})
    await _park(store, [(one, record) for one, record in fresh if one.message_id not in messages], applied)
    events = [(one, record) for one, record in fresh if one.message_id in messages]
    letters += await _apply_known(store, events, messages, rules, now, applied)
    if letters:
        applied.letters = await store.write_letters(letters)
    return applied


async def sweep(store: EngagementStore, rules: Rules, now: int, limit: int) -> Applied:
    """Applies events that waited for their message, and sets those aside whose message never came."""
    records = await store.take_parked(limit)
    applied = await apply_batch(store, records, rules, now) if records else Applied()
    expired = await store.take_expired(WAIT_SECONDS, limit)
    if expired:
        gone = await store.write_letters([dead_letter(record, UNKNOWN) for record in expired])
        applied.letters = [*applied.letters, *gone]
    return applied


async def _without_known(
    store: EngagementStore, told: Sequence[tuple[Told, Record]], applied: Applied
) -> list[tuple[Told, Record]]:
    """Each (source, id) that is not known, once."""
    seen = await store.known([one for one, _ in told]) if told else set()
    fresh = []
    for one, record in told:
        if (one.source, one.id) in seen:
            applied.duplicates += 1
            continue
        seen.add((one.source, one.id))
        fresh.append((one, record))
    return fresh


async def _park(store: EngagementStore, unknown: Sequence[tuple[Told, Record]], applied: Applied) -> None:
    if unknown:
        await store.park([(one.message_id, record) for one, record in unknown])
        applied.parked = len(unknown)


async def _apply_known(
    store: EngagementStore,
    events: Sequence[tuple[Told, Record]],
    messages: Mapping[UUID, MessageRow],
    rules: Rules,
    now: int,
    applied: Applied,
) -> list[DeadLetter]:
    """Applies events of messages that are there; gives those that cannot be of them."""
    letters = []
    by_message: dict[UUID, list[Told]] = {}
    for one, record in events:
        try:
            messages[one.message_id].check_time(one)
        except BadTime as fault:
            letters.append(dead_letter(record, Rejected("bad_time", str(fault))))
            continue
        by_message.setdefault(one.message_id, []).append(one)
        applied.fresh.append(one)
    if not applied.fresh:
        return letters
    await store.write_told(applied.fresh)
    changes = [change_of(messages[key], some, random.random()) for key, some in by_message.items()]  # noqa: S311
    await store.write_changes(changes)
    await _follow(store, [(messages[one.message_id], one) for one in applied.fresh], rules, now)
    return letters


async def _follow(store: EngagementStore, events: Sequence[tuple[MessageRow, Told]], rules: Rules, now: int) -> None:
    """What follows for addresses and consent."""
    gone = [(row, one) for row, one in events if one.is_hard]
    if gone:
        await store.suppress_bounced(gone)
    counted = {row.message_id: row for row, one in events if one.is_soft or one.kind == "delivered"}
    if counted:
        await store.count_soft_bounces(list(counted.values()))
    noes = [_withdrawal(row, one) for row, one in events if one.is_unsubscribe or one.kind == "complained"]
    if noes:
        await withdraw(store, rules.topics, noes, now)


def _withdrawal(row: MessageRow, one: Told) -> Withdrawal:
    method = "complaint" if one.kind == "complained" else one.method
    return Withdrawal(row.customer_id, row.channel, row.message_id, one.at, method)  # type: ignore[arg-type]
