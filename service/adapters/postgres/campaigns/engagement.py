"""The statements of app.engagement on asyncpg's own connection, inside its transaction.

Lock order: messages by their keys, then profiles by id, then all else: the order in which dispatch takes them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from service.adapters.postgres import batch_rows, batch_sql
from service.adapters.postgres.campaigns import engagement_sql as sql
from service.adapters.postgres.campaigns import suppressions
from service.adapters.postgres.campaigns.suppressions import Suppression
from service.app.engagement.consent import COMPLAINT, Withdrawal
from service.app.engagement.decode import Told
from service.app.engagement.outcome import MINIMA, Change, MessageRow
from service.app.ingest import Record
from service.app.outgoing import OutgoingRecord, encode_records, letter_record
from service.app.ports import DeadLetter
from service.core.campaigns.secrets import address_hash
from service.core.instants import from_datetime, to_datetime

Key = tuple[UUID, str]


class PostgresEngagement:
    """app.engagement.apply.EngagementStore.

    Args:
        connection: asyncpg's, within a transaction.
        address_key: hides addresses on the suppression list.
        dead_letter_topic: where dead letters go.
        cluster: of the broker that places in topics speak of.
    """

    def __init__(self, connection: Any, address_key: bytes, dead_letter_topic: str, cluster: str = "") -> None:
        self._connection, self._address_key = connection, address_key
        self._dead_letter_topic, self._cluster = dead_letter_topic, cluster

    async def lettered(self, records: Collection[Record]) -> set[tuple[str, int, int]]:
        """See EngagementStore."""
        places = zip(*((one.topic, one.partition, one.offset) for one in records), strict=True)
        return {tuple(row) for row in await self._connection.fetch(sql.LETTERED, self._cluster, *places)}

    async def known(self, told: Collection[Told]) -> set[tuple[str, str]]:
        """See EngagementStore."""
        columns = ([one.source for one in told], [one.id for one in told])
        return {(row[0], row[1]) for row in await self._connection.fetch(sql.KNOWN, *columns)}

    async def lock_messages(self, message_ids: Collection[UUID]) -> Mapping[UUID, MessageRow]:
        """See EngagementStore."""
        if not message_ids:
            return {}
        rows = await self._connection.fetch(sql.LOCK_MESSAGES, list(message_ids))
        found = {}
        for row in rows:
            values = dict(row)
            minima = {name: values.pop(name) for name in MINIMA}
            found[row["message_id"]] = MessageRow(**values, minima=minima)
        return found

    async def write_told(self, told: Sequence[Told]) -> None:
        """See EngagementStore."""
        columns = zip(*((*_head(one), json.dumps(dict(one.details))) for one in told), strict=True)
        await self._connection.execute(sql.WRITE_TOLD, *columns)

    async def write_changes(self, changes: Sequence[Change]) -> None:
        """See EngagementStore."""
        noted = [(*_key(one.row), *(one.minima.get(name) for name in MINIMA)) for one in changes if one.minima]
        if noted:
            await self._connection.execute(sql.WRITE_MINIMA, *zip(*noted, strict=True))
        moved = [one for one in changes if one.state is not None]
        if moved:
            rows = [
                (*_key(one.row), one.state, one.reason, one.error, _seconds(one.retry_after), _first(one))
                for one in moved
            ]
            await self._connection.execute(sql.WRITE_STATES, *zip(*rows, strict=True))

    async def suppress_bounced(self, rows: Sequence[tuple[MessageRow, Told]]) -> None:
        """See EngagementStore."""
        hashes = await self._hashes([row.message_id for row, _ in rows])
        found = [
            Suppression(row.channel, hashes[row.message_id], "hard_bounce", to_datetime(one.at), row.message_id)  # type: ignore[arg-type]
            for row, one in rows
            if row.message_id in hashes
        ]
        await suppressions.suppress(self._connection, found)

    async def count_soft_bounces(self, rows: Sequence[MessageRow]) -> None:
        """See EngagementStore."""
        hashes = await self._hashes([row.message_id for row in rows])
        asked = {(row.customer_id, row.channel) for row in rows if row.message_id in hashes}
        outcomes = await self._connection.fetch(sql.BOUNCED_SOFTLY, *zip(*asked, strict=True)) if asked else []
        went_to = await self._hashes([row["message_id"] for row in outcomes])
        streaks: dict[tuple[str, bytes], list[Any]] = {}
        for row in outcomes:
            if row["message_id"] in went_to:
                streaks.setdefault((row["channel"], went_to[row["message_id"]]), []).append(row)
        bad = [_streak(key, some) for key, some in streaks.items() if _is_streak(some)]
        good = [key for key, some in streaks.items() if not _is_streak(some)]
        await suppressions.suppress(self._connection, bad)
        await suppressions.lift(self._connection, good, "soft_bounce")

    async def _hashes(self, message_ids: Sequence[UUID]) -> dict[UUID, bytes]:
        """The hashes of the addresses that messages went to; without those whose customer is gone."""
        rows = await self._connection.fetch(sql.ADDRESSES, list(message_ids)) if message_ids else []
        key = self._address_key
        return {row["message_id"]: address_hash(key, row["channel"], row["address"]) for row in rows if row["address"]}

    async def park(self, records: Sequence[tuple[UUID, Record]]) -> None:
        """See EngagementStore."""
        rows = [(message_id, *_place(one), one.key, one.value, _headers(one)) for message_id, one in records]
        await self._connection.execute(sql.PARK, self._cluster, *zip(*rows, strict=True))

    async def take_parked(self, limit: int) -> list[Record]:
        """See EngagementStore."""
        return [_record(row) for row in await self._connection.fetch(sql.TAKE_PARKED, limit)]

    async def take_expired(self, seconds: int, limit: int) -> list[Record]:
        """See EngagementStore."""
        return [
            _record(row) for row in await self._connection.fetch(sql.TAKE_EXPIRED, timedelta(seconds=seconds), limit)
        ]

    async def write_letters(self, letters: Sequence[DeadLetter]) -> Sequence[DeadLetter]:
        """See EngagementStore."""
        rows = [batch_rows.letter_row(letter) for letter in letters]
        found = await self._connection.fetch(batch_sql.INSERT_DEAD_LETTERS, self._cluster, *zip(*rows, strict=True))
        fresh = {(row[0], row[1], row[2]) for row in found}
        new = [one for one in letters if (one.topic, one.partition, one.offset) in fresh]
        await self.write_records([letter_record(self._dead_letter_topic, one) for one in new])
        return new

    async def write_records(self, records: Sequence[OutgoingRecord]) -> None:
        """See ConsentStore."""
        for row in encode_records(list(records)):
            await self._connection.execute(batch_sql.INSERT_OUTBOX, row.records, row.payload, row.counts)

    async def lock_customers(self, customer_ids: Collection[UUID]) -> set[UUID]:
        """See ConsentStore."""
        return {row[0] for row in await self._connection.fetch(sql.LOCK_CUSTOMERS, sorted(customer_ids))}

    async def latest_noes(self, keys: Collection[Key]) -> Mapping[Key, int]:
        """See ConsentStore."""
        rows = await self._connection.fetch(sql.LATEST_NOES, *zip(*keys, strict=True))
        return {(row[0], row[1]): from_datetime(row[2]) for row in rows}

    async def said_yes(self, spans: Sequence[tuple[UUID, str, int, int | None]]) -> list[int]:
        """See ConsentStore."""
        asked = [
            (customer_id, channel, to_datetime(after), None if until is None else to_datetime(until))
            for customer_id, channel, after, until in spans
        ]
        return await suppressions.subscribed(self._connection, asked)

    async def noes_by_message(self, message_ids: Collection[UUID]) -> Mapping[UUID, int]:
        """See ConsentStore."""
        rows = await self._connection.fetch(sql.NOES_BY_MESSAGE, list(message_ids)) if message_ids else []
        return {row[0]: row[1] for row in rows}

    async def suppress_customers(self, withdrawals: Sequence[Withdrawal]) -> None:
        """See ConsentStore."""
        hashes = await self._hashes([one.message_id for one in withdrawals])
        found = [
            Suppression(
                one.channel,  # type: ignore[arg-type]
                hashes[one.message_id],
                "complaint" if one.method == COMPLAINT else "unsubscribed",
                to_datetime(one.at),
                one.message_id,
            )
            for one in withdrawals
            if one.message_id in hashes
        ]
        await suppressions.suppress(self._connection, found)

    async def note_noes(self, withdrawals: Sequence[Withdrawal]) -> None:
        """See ConsentStore."""
        rows = [(one.customer_id, one.channel, one.method, one.message_id, to_datetime(one.at)) for one in withdrawals]
        if rows:
            await self._connection.execute(sql.NOTE_NOES, *zip(*rows, strict=True))


def _key(row: MessageRow) -> tuple[UUID, UUID, str]:
    return row.customer_id, row.campaign_id, row.occasion


def _head(one: Told) -> tuple[Any, ...]:
    return one.source, one.id, one.message_id, one.kind, to_datetime(one.at), one.is_machine


def _seconds(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _first(change: Change) -> Any:
    """When it must have left at the latest, where nobody noted it."""
    return min((at for at in change.minima.values()), default=None)


def _is_streak(some: Sequence[Any]) -> bool:
    """Whether the last three messages with an outcome all bounced softly, and were not delivered after all."""
    last = some[-suppressions.SOFT_BOUNCES_MAX :]
    return len(last) == suppressions.SOFT_BOUNCES_MAX and all(row["bounced_at"] is not None for row in last)


def _streak(key: tuple[str, bytes], some: Sequence[Any]) -> Suppression:
    channel, hashed = key
    last = some[-1]
    return Suppression(channel, hashed, "soft_bounce", last["bounced_at"], last["message_id"])  # type: ignore[arg-type]


def _place(one: Record) -> tuple[str, int, int, int]:
    return one.topic, one.partition, one.offset, one.timestamp_ms


def _headers(one: Record) -> str:
    """As of dead letters: latin-1 of the bytes, with U+FFFD for the one character that jsonb cannot hold."""
    named = [
        (name.replace("\0", "\ufffd"), None if text is None else text.decode("latin-1").replace("\0", "\ufffd"))
        for name, text in one.headers
    ]
    return json.dumps(named)


def _record(row: Any) -> Record:
    headers = [
        (name, None if text is None else text.replace("\ufffd", "\0").encode("latin-1"))
        for name, text in json.loads(row["headers"])
    ]
    return Record(row["topic"], row["partition"], row["offset"], row["timestamp_ms"], row["key"], row["value"], headers)
