"""Whom a backfill must visit: by the folds, so that it need not visit everybody (docs/decisions/0012)."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.criteria_sql import Statement, criteria_sql, prepare, statement
from service.adapters.postgres.database import Database
from service.adapters.postgres.fold_figures import FoldFigures
from service.adapters.postgres.membership_changes import merge_all
from service.app import exact_json
from service.core.criteria.by_time import by_time
from service.core.criteria.model import Criteria, NumberPredicate, predicates
from service.core.criteria.parse import CriteriaError, parse_criteria

ID_BYTES: Final = 16

#: Segments whose backfill runs, up to a catalogue version.
RUNNING: Final = """
SELECT id, CAST(criteria AS text), segment_type, status = 'active' AND NOT is_deleted AS is_live, since
FROM customer_segments
WHERE backfill_state = 'running' AND introduced <= :introduced
"""


class Candidates:
    """Customers in ascending order of ids, sixteen bytes each."""

    def __init__(self, ids: bytes) -> None:
        self._ids = ids

    def __len__(self) -> int:
        return len(self._ids) // ID_BYTES

    def some(self, place: int, count: int) -> list[UUID]:
        """At most `count` ids from a place on."""
        end = min(place + count, len(self))
        return [UUID(bytes=self._ids[at * ID_BYTES : (at + 1) * ID_BYTES]) for at in range(place, end)]


async def find_candidates(database: Database, introduced: int) -> Candidates | None:
    """Who may be affected by the definitions that are being backfilled; None where it may be anybody.

    Nobody is left out who is or becomes a member, or who may become one by time alone. Who is left out stays behind in
    the catalogue: the next event, timer or backfill that takes the customer brings the definitions in.
    """
    async with database.batch() as writing:
        await merge_all(writing)
    async with database.snapshot() as connection:
        await prepare(connection)
        found: list[bytes] = []
        for row in (await connection.execute(text(RUNNING), {"introduced": introduced})).all():
            criteria = None
            if row.is_live and row.segment_type != "static":
                try:
                    criteria = parse_criteria(exact_json.loads(row.criteria))
                except CriteriaError:  # nobody understands it, so nobody can say whom it affects
                    return None
                if by_time(criteria).true:
                    return None
            found.append(await _ids(connection, candidates_statement(row.id, criteria, row.since)))
    if len(found) == 1:
        return Candidates(found[0])
    chunks = {ids[at : at + ID_BYTES] for ids in found for at in range(0, len(ids), ID_BYTES)}
    return Candidates(b"".join(sorted(chunks)))


def candidates_statement(segment_id: UUID, criteria: Criteria | None, since: int) -> Statement:
    """One value: the ids of members, of pinned customers, and of those for whom the criteria hold as of `since`.

    Whatever the criteria say, among them are those who were evaluated beyond that instant, by a clock that was ahead,
    and where it matters (criteria.by_time) those with a negative amount.
    """
    figures = FoldFigures(since)
    segment = figures.bind(segment_id, "uuid")
    parts = [
        f"SELECT customer_id FROM customer_segment_memberships WHERE segment_id = {segment} AND left_at IS NULL",  # noqa: S608
        f"SELECT customer_id FROM pins WHERE segment_id = {segment}",  # noqa: S608 - built from parameters, as all here
    ]
    tables: list[str] = []
    if criteria is not None:
        test = criteria_sql(criteria, figures)
        parts.append(f"SELECT customer_id FROM {figures.source()} WHERE {test}")  # noqa: S608
        parts.append(f"SELECT customer_id FROM profiles WHERE evaluated_to > {figures.bind(since, 'bigint')}")  # noqa: S608
        if any(isinstance(one, NumberPredicate) and one.window for one in predicates(criteria)):
            parts += [
                "SELECT customer_id FROM orders WHERE amount < 0",
                "SELECT customer_id FROM refunds WHERE order_id IS NULL",
            ]
        tables = figures.tables()
    tables.append("chosen AS (" + "\n    UNION ".join(parts) + ")")
    query = "SELECT coalesce(string_agg(uuid_send(customer_id), '' ORDER BY customer_id), '') FROM chosen"
    sentence = "Whom a backfill must visit."
    return statement("backfill_candidates", sentence, tables, query, figures.parameters)


async def _ids(connection: AsyncConnection, asked: Statement) -> bytes:
    found: Any = (await connection.execute(text(asked.sql), asked.parameters)).scalar_one()
    return bytes(found)
