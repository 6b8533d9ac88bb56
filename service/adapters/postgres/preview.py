"""Whom criteria hold for now, by the folds: what app.preview asks of PostgreSQL, in one snapshot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.criteria_sql import Statement, criteria_sql, prepare, statement
from service.adapters.postgres.database import Database
from service.adapters.postgres.fold_figures import FoldFigures
from service.adapters.postgres.limited import limited_snapshot
from service.adapters.postgres.members import count_members
from service.app.members import Member
from service.app.preview import Comparison, Definition, Preview, Side
from service.core.criteria.model import Criteria
from service.core.instants import to_datetime

#: A merge join walks all profiles in the order of ids, one page for each, where a scan is ten times as fast.
HASHES: Final = "SET LOCAL enable_mergejoin = off"
#: Some customers are looked up by id.
LOOK_UP: Final = "SET LOCAL enable_nestloop = on"
#: As a Member; when and why somebody joined who is no member says nothing.
SAMPLE: Final = """
SELECT c.customer_id, c.external_id, c.name, c.email, c.phone, c.customer_type, c.country, c.state, c.city,
    p.total_orders, p.total_spent, p.last_order_at, p.registered_at, CAST(:now AS timestamptz), ''
FROM customers c JOIN profiles p USING (customer_id)
WHERE c.customer_id = ANY(:customer_ids) AND p.customer_id = ANY(:customer_ids)
ORDER BY customer_id
"""
EXTERNAL_IDS: Final = "SELECT customer_id, external_id FROM customers WHERE customer_id = ANY(:customer_ids)"


@asynccontextmanager
async def preview_store(database: Database, seconds_max: float, setting: str) -> AsyncIterator[PostgresPreviews]:
    """The reads of a preview or dry run in one snapshot.

    Args:
        database: an ordinary pool, not one that is set for look-ups.
        seconds_max: after which PostgreSQL stops a statement.
        setting: the name of what says so, for the message.

    Raises:
        TooSlow: a statement was stopped.
    """
    async with limited_snapshot(database, seconds_max, setting) as connection:
        await prepare(connection)
        await connection.execute(text(HASHES))
        yield PostgresPreviews(connection)


class PostgresPreviews:
    """app.preview.PreviewStore on one connection, which must be in one REPEATABLE READ transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def preview(self, criteria: Criteria, now: int, sample: int) -> Preview:
        """See PreviewStore."""
        asked = preview_statement(criteria, now, sample)
        count, orders, spent, first = (await self._run(asked)).one()
        await self.connection.execute(text(LOOK_UP))
        shown = {"customer_ids": first or [], "now": to_datetime(now)}
        members = [Member(*row) for row in await self.connection.execute(text(SAMPLE), shown)]
        return Preview(count, members, int(orders or 0), int(spent or 0), now)

    async def compare(self, definition: Definition, now: int, sample: int) -> Comparison:
        """See PreviewStore."""
        found = (await self._run(comparison_statement(definition, now, sample))).one()
        now_count, then_count, joining, leaving, joiners, leavers = found
        await self.connection.execute(text(LOOK_UP))
        shown = {"customer_ids": [*(joiners or ()), *(leavers or ())]}
        names = {row[0]: row[1] for row in await self.connection.execute(text(EXTERNAL_IDS), shown)}

        def side(count: int, ids: Sequence[UUID] | None) -> Side:
            return Side(count, [names.get(one, str(one)) for one in ids or ()])

        return Comparison(now_count, then_count, side(joining, joiners), side(leaving, leavers))

    async def count_members(self, segment_id: UUID) -> int:
        """See PreviewStore."""
        return await count_members(self.connection, segment_id)

    async def _run(self, asked: Statement) -> Any:
        return await self.connection.execute(text(asked.sql), asked.parameters)


def preview_statement(criteria: Criteria, now: int, sample: int) -> Statement:
    """One row: how many customers, their orders, their spending in minor units, the first ids."""
    figures = FoldFigures(now)
    test = criteria_sql(criteria, figures)
    # Materialized, since the first ids take a second look at those who match.
    matching = f"""matching AS MATERIALIZED (
    SELECT customer_id, subjects.total_orders, subjects.total_spent
    FROM {figures.source()}
    WHERE {test}
)"""  # noqa: S608 - built from constants and parameters
    query = f"""SELECT count(*), sum(total_orders), sum(total_spent), {_first("matching", "true", figures, sample)}
FROM matching"""  # noqa: S608 - as above
    tables = [*figures.tables(), matching]
    return statement("preview", "Whom criteria hold for by now.", tables, query, figures.parameters)


def comparison_statement(definition: Definition, now: int, sample: int) -> Statement:
    """One row: members now and then, how many join and leave, the first ids of each."""
    figures = FoldFigures(now)
    segment_id = figures.bind(definition.segment_id, "uuid")
    live = f"""live AS (
    SELECT customer_id, true AS is_now FROM customer_segment_memberships
    WHERE segment_id = {segment_id} AND left_at IS NULL
)"""  # noqa: S608 - built from constants and parameters
    held = f"held AS (SELECT customer_id, is_included FROM pins WHERE segment_id = {segment_id})"  # noqa: S608 - as above
    if not definition.is_live:
        tables, candidates = [], "SELECT customer_id, true AS is_then FROM live WHERE false"
    elif definition.criteria is None:
        tables, candidates = [held], "SELECT customer_id, true AS is_then FROM held WHERE is_included"
    else:
        test = criteria_sql(definition.criteria, figures)
        candidates = f"""SELECT customer_id, true AS is_then
    FROM {figures.source()} LEFT JOIN held USING (customer_id)
    WHERE coalesce(is_included, {test})"""  # noqa: S608 - as above
        tables = [held, *figures.tables()]
    moving = f"""compared AS MATERIALIZED (
    SELECT customer_id, coalesce(is_now, false) AS is_now, coalesce(is_then, false) AS is_then
    FROM ({candidates}) AS candidates FULL JOIN live USING (customer_id)
)"""  # noqa: S608 - as above
    joining, leaving = "is_then AND NOT is_now", "is_now AND NOT is_then"
    query = f"""SELECT count(*) FILTER (WHERE is_now), count(*) FILTER (WHERE is_then),
    count(*) FILTER (WHERE {joining}), count(*) FILTER (WHERE {leaving}),
    {_first("compared", joining, figures, sample)},
    {_first("compared", leaving, figures, sample)}
FROM compared"""  # noqa: S608 - as above
    sentence = "Who would join and leave by a change of a segment."
    return statement("dry_run", sentence, [live, *tables, moving], query, figures.parameters)


def _first(table: str, condition: str, figures: FoldFigures, count: int) -> str:
    """The least ids of those in the table for whom the condition holds."""
    rows_max = figures.bind(count, "bigint")
    chosen = f"SELECT customer_id FROM {table} WHERE {condition} ORDER BY customer_id LIMIT {rows_max}"  # noqa: S608
    return f"(SELECT array_agg(customer_id) FROM ({chosen}) AS first)"  # noqa: S608 - built from constants and parameters
