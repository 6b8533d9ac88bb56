"""All members of a segment, now or at a past instant, for exports (STYLE R10: plain SQL)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.members import count_members, count_past_members
from service.app.exports import Export
from service.core.instants import to_datetime

ROWS_AT_ONCE: Final = 1_000
#: Who reads most of a big table in the order of ids must not be led there by an index, row by row: reading it through
#: and sorting takes a quarter of the time. Small segments are still looked up.
READ_THROUGH: Final = text("""
SELECT set_config('work_mem', '64MB', true), set_config('random_page_cost', '4', true),
    set_config('cursor_tuple_fraction', '1', true), set_config('plan_cache_mode', 'force_custom_plan', true)
""")

#: By column of Member; tables of which no column is asked for are not read.
_COLUMNS: Final = {
    **dict.fromkeys(("customer_id", "joined_at", "membership_source"), "m"),
    **dict.fromkeys(("external_id", "name", "email", "phone", "customer_type", "country", "state", "city"), "c"),
    **dict.fromkeys(("total_orders", "total_spent", "last_order_at", "registered_at"), "p"),
}
_NOW: Final = "left_at IS NULL"
_PAST: Final = "joined_at <= $2 AND (left_at IS NULL OR left_at > $2)"
_ALL: Final = """
SELECT {columns}
FROM customer_segment_memberships m
LEFT JOIN customers c ON c.customer_id = m.customer_id
LEFT JOIN profiles p ON p.customer_id = m.customer_id
WHERE m.segment_id = $1 AND {stay}
ORDER BY m.customer_id
"""


async def count_exported(connection: AsyncConnection, export: Export) -> int:
    """How many members an export has."""
    if export.past is None:
        return await count_members(connection, export.segment_id)
    return await count_past_members(connection, export.segment_id, export.past)


async def stream_members(
    connection: AsyncConnection, export: Export, sources: Iterable[str]
) -> AsyncGenerator[Sequence[Sequence[Any]]]:
    """All members ascending by id, some at a time, by a cursor in the server; memory does not grow with them.

    Args:
        connection: in a snapshot.
        export: whose members.
        sources: columns of Member, the columns of the rows.
    """
    await connection.execute(READ_THROUGH)  # also begins the transaction that a cursor lives in
    driver: Any = (await connection.get_raw_connection()).driver_connection
    columns = ", ".join(f"{_COLUMNS[source]}.{source}" for source in sources)
    statement = _ALL.format(columns=columns, stay=_NOW if export.past is None else _PAST)
    values = [export.segment_id, *([] if export.past is None else [to_datetime(export.past)])]
    cursor = await driver.cursor(statement, *values)
    # The server finds the next rows while these are made use of.
    coming = asyncio.ensure_future(cursor.fetch(ROWS_AT_ONCE))
    try:
        while rows := await coming:
            coming = asyncio.ensure_future(cursor.fetch(ROWS_AT_ONCE))
            await asyncio.sleep(0)  # so that the server is asked before
            yield rows
    finally:
        await _ended(coming)


async def _ended(fetch: asyncio.Future[Any]) -> None:
    """Waits for a fetch that nobody wants any more: a connection does one thing at a time."""
    await asyncio.wait((fetch,))
    if not fetch.cancelled():
        fetch.exception()  # looked at, or asyncio would log that nobody did
