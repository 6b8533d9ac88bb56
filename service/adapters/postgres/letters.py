"""Dead letters in PostgreSQL, as operators see them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from service.adapters.postgres.database import Database
from service.adapters.postgres.pins import failing_clearly
from service.app.letters import Letter, LetterFilter, RedriveUnderWay

#: Lets one redrive run at a time; belongs to its session.
REDRIVE_LOCK: Final = 7_300_007
#: What goes out between two marks.
LETTERS_MAX: Final = 500
BYTES_MAX: Final = 8_388_608

_HEAD: Final = 'id, reason, error, topic, partition, "offset", at, redrives, redriven_at'
_WHOLE: Final = f"{_HEAD}, key, value, headers::text"
#: $1 reason, $2 topic, $3 since.
_MATCHES: Final = """
    ($1::text IS NULL OR reason = $1) AND ($2::text IS NULL OR topic = $2) AND ($3::timestamptz IS NULL OR at >= $3)
"""
#: $4 the input topics; the same as app.letters.refusal says one by one.
_REDRIVABLE: Final = """
    value IS NOT NULL AND headers -> -1 ->> 0 IS DISTINCT FROM 'x-truncated'
    AND headers -> 0 ->> 0 IS DISTINCT FROM 'headers-left-out' AND topic = ANY($4::text[])
"""

#: Newest first, from before a place on.
LIST: Final = f"""
SELECT {_HEAD} FROM dead_letters
WHERE {_MATCHES} AND ($5::bigint IS NULL OR id < $5) ORDER BY id DESC LIMIT $4
"""  # noqa: S608 - built from constants
COUNT: Final = f"SELECT count(*) FROM dead_letters WHERE {_MATCHES}"  # noqa: S608
BY_IDS: Final = f"SELECT {_WHOLE} FROM dead_letters WHERE id = ANY($1::bigint[]) ORDER BY id"  # noqa: S608
LATEST: Final = "SELECT COALESCE(max(id), 0) FROM dead_letters"
#: Oldest first, after $5 up to $6, at most $7 and no more once there are $8 bytes; $9 takes those redriven before too.
REDRIVABLE: Final = f"""
SELECT {_WHOLE} FROM (
    SELECT *, sum(octet_length(value)) OVER (ORDER BY id) - octet_length(value) AS bytes_before
    FROM (
        SELECT * FROM dead_letters
        WHERE {_MATCHES} AND {_REDRIVABLE} AND id > $5 AND id <= $6 AND ($9::boolean OR redriven_at IS NULL)
        ORDER BY id LIMIT $7
    ) chosen
) counted
WHERE bytes_before < $8 ORDER BY id
"""  # noqa: S608
OTHERS: Final = f"""
SELECT count(*) FILTER (WHERE {_REDRIVABLE} AND redriven_at IS NULL), count(*) FILTER (WHERE NOT ({_REDRIVABLE}))
FROM dead_letters WHERE {_MATCHES}
"""  # noqa: S608
MARK: Final = "UPDATE dead_letters SET redrives = redrives + 1, redriven_at = now() WHERE id = ANY($1::bigint[])"


async def page_of_letters(
    connection: Any, wanted: LetterFilter, limit: int, before: int | None = None
) -> tuple[list[Letter], int]:
    """Some letters, newest first, without their content; and how many the filter finds in all."""
    found = [Letter(*row) for row in await connection.fetch(LIST, *wanted, limit, before)]
    return found, await connection.fetchval(COUNT, *wanted)


async def letter_by_id(connection: Any, letter_id: int) -> Letter | None:
    """One letter with its content."""
    found = await PostgresLetters(connection).by_ids([letter_id])
    return found[0] if found else None


@asynccontextmanager
async def reading(database: Database) -> AsyncIterator[Any]:
    """A connection to ask for letters.

    Raises:
        ConnectionError: the database is out of reach.
    """
    async with failing_clearly(), database.session() as connection:
        yield connection


@asynccontextmanager
async def redriving(database: Database) -> AsyncIterator[PostgresLetters]:
    """Within the block nobody else redrives.

    Raises:
        RedriveUnderWay: somebody does.
        ConnectionError: the database is out of reach.
    """
    async with reading(database) as connection:
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", REDRIVE_LOCK):
            raise RedriveUnderWay
        try:
            yield PostgresLetters(connection)
        finally:
            with contextlib.suppress(Exception):  # a broken session has let go already
                await connection.execute("SELECT pg_advisory_unlock($1)", REDRIVE_LOCK)


class PostgresLetters:
    """See app.letters.Letters."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def by_ids(self, ids: Sequence[int]) -> list[Letter]:
        """See Letters."""
        return [_whole(row) for row in await self._connection.fetch(BY_IDS, ids)]

    async def redrivable(
        self, wanted: LetterFilter, topics: Sequence[str], limit: int, *, again: bool
    ) -> AsyncIterator[list[Letter]]:
        """See Letters."""
        # What fails again while this runs is a new letter, and must not be taken in a circle.
        latest = await self._connection.fetchval(LATEST)
        after = 0
        while limit > 0:
            size = min(limit, LETTERS_MAX)
            rows = await self._connection.fetch(REDRIVABLE, *wanted, topics, after, latest, size, BYTES_MAX, again)
            if not rows:
                return
            found = [_whole(row) for row in rows]
            yield found
            after = found[-1].id
            limit -= len(found)

    async def mark(self, ids: Sequence[int]) -> None:
        """See Letters."""
        await self._connection.execute(MARK, ids)

    async def count_others(self, wanted: LetterFilter, topics: Sequence[str]) -> tuple[int, int]:
        """See Letters."""
        waiting, lost = await self._connection.fetchrow(OTHERS, *wanted, topics)
        return waiting, lost


def _whole(row: Any) -> Letter:
    return Letter._make((*row[:-1], [(name, text) for name, text in json.loads(row[-1])]))
