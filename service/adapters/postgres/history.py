"""Reads of recorded transitions and of versions of definitions (STYLE R10: plain SQL).

A stay is one row and two transitions. Joins and leaves are read apart, each in the order of its own index, and merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.app import exact_json
from service.app.history import JOINED, LEFT, HistoryFilter, PastTransition, Place, Version
from service.core.instants import to_datetime

_JOIN: Final = """segment_id, 'joined' AS change, customer_id, joined_at AS at, recorded_at,
    membership_source AS reason, ordinal AS sequence, segment_version"""
_LEAVE: Final = """segment_id, 'left' AS change, customer_id, left_at AS at,
    coalesce(left_recorded_at, left_at) AS recorded_at, coalesce(left_reason, 'event') AS reason,
    ordinal + 1 AS sequence, segment_version"""
_JOINS: Final = """
SELECT {join} FROM {stays} WHERE {where}
ORDER BY joined_at DESC, customer_id DESC, ordinal DESC LIMIT :rows_max
"""
_LEAVES: Final = """
SELECT {leave} FROM customer_segment_memberships WHERE left_at IS NOT NULL AND {where}
ORDER BY left_at DESC, customer_id DESC, ordinal DESC LIMIT :rows_max
"""
_STAYS: Final = "customer_segment_memberships"
#: The stays that ended last before the place: what comes next in a history is among their joins, or it is no join of
#: a stay that ended before the place.
_ENDED_LAST: Final = """(
    SELECT * FROM customer_segment_memberships WHERE left_at IS NOT NULL AND {where}
    ORDER BY left_at DESC, customer_id DESC, ordinal DESC LIMIT :rows_max
) ended"""
_MERGED: Final = """
SELECT t.segment_id, t.change, t.customer_id, c.external_id, t.at, t.recorded_at, t.reason, t.sequence,
    t.segment_version
FROM ({parts}) t
LEFT JOIN LATERAL (SELECT external_id FROM customers WHERE customer_id = t.customer_id OFFSET 0) c ON true
ORDER BY t.at DESC, t.customer_id DESC, t.sequence DESC
LIMIT :rows_max
"""
_BEFORE: Final = "({at}, customer_id, ordinal) < (:place_at, :place_customer, CAST(:place_sequence AS bigint))"
_LEFT_BEFORE: Final = (
    "(left_at, customer_id, ordinal) < (:place_at, :place_customer, CAST(:place_sequence AS bigint) - 1)"
)
#: The conditions of joins and of leaves, each only where it is asked for, so that the plan is made for what is asked.
_CONDITIONS: Final = {
    "segment_id": ("segment_id = :segment_id",) * 2,
    "customer_id": ("customer_id = :customer_id",) * 2,
    "earliest": ("joined_at >= :earliest", "left_at >= :earliest"),
    "reason": ("membership_source = :reason", "left_reason = :reason"),
    "place_at": (_BEFORE.format(at="joined_at"), _LEFT_BEFORE),
}
_VERSION_STARTS: Final = text("""
SELECT segment_id, version, created_at FROM segment_versions
WHERE segment_id = ANY(:segment_ids) ORDER BY segment_id, version
""")
_VERSIONS: Final = text("""
SELECT v.version, CAST(v.criteria AS text), v.created_by, coalesce(u.name, v.created_by), v.created_at
FROM segment_versions v LEFT JOIN users u ON u.id = v.created_by
WHERE v.segment_id = :segment_id AND v.version < :before
ORDER BY v.version DESC LIMIT :rows_max
""")


async def page_of_history(
    connection: AsyncConnection, segment_id: UUID, wanted: HistoryFilter, after: Place | None, rows_max: int
) -> list[PastTransition]:
    """Transitions of a segment, the latest effective_at first, then by customer and ordinal descending."""
    values: dict[str, Any] = {"segment_id": segment_id, "customer_id": wanted.customer_id, "reason": wanted.reason}
    values["earliest"] = None if wanted.earliest is None else to_datetime(wanted.earliest)
    place = wanted.place(after)
    if place is not None:
        values["place_at"] = to_datetime(place.effective_at)
        values |= {"place_customer": place.customer_id, "place_sequence": place.sequence}
    asked = {name: value for name, value in values.items() if value is not None}
    return await _read(connection, asked, wanted.change, rows_max)


async def latest_of_customer(connection: AsyncConnection, customer_id: UUID, rows_max: int) -> list[PastTransition]:
    """The latest transitions of a customer in all segments, in the same order."""
    return await _read(connection, {"customer_id": customer_id}, None, rows_max)


async def version_starts(connection: AsyncConnection, segment_ids: Sequence[UUID]) -> dict[UUID, list[tuple[int, Any]]]:
    """(version, since when) of these segments, ascending by version."""
    found: dict[UUID, list[tuple[int, Any]]] = {one: [] for one in segment_ids}
    for segment_id, version, created_at in await connection.execute(_VERSION_STARTS, {"segment_ids": segment_ids}):
        found[segment_id].append((version, created_at))
    return found


async def page_of_versions(connection: AsyncConnection, segment_id: UUID, before: int, rows_max: int) -> list[Version]:
    """Versions below `before`, the latest first; at most `rows_max`."""
    values = {"segment_id": segment_id, "before": before, "rows_max": rows_max}
    return [
        Version(version, exact_json.loads(criteria), *rest)
        for version, criteria, *rest in await connection.execute(_VERSIONS, values)
    ]


async def _read(
    connection: AsyncConnection, values: dict[str, Any], change: str | None, rows_max: int
) -> list[PastTransition]:
    statement = statement_for(frozenset(values), change)
    return [PastTransition(*row) for row in await connection.execute(statement, {**values, "rows_max": rows_max})]


def statement_for(asked: frozenset[str], change: str | None) -> TextClause:
    """The statement with the conditions for these values: of joins, of leaves, or of both."""
    conditions = [pair for name, pair in _CONDITIONS.items() if name in asked]
    of_joins, of_leaves = (" AND ".join(pair[side] for pair in conditions) for side in (0, 1))
    parts = []
    if change != LEFT:
        parts += [
            _JOINS.format(join=_JOIN, stays=stays, where=f"{of_joins}{more}")
            for stays, more in _stays(asked, change, of_leaves)
        ]
    if change != JOINED:
        parts.append(_LEAVES.format(leave=_LEAVE, where=of_leaves))
    return text(_MERGED.format(parts=" UNION ALL ".join(f"({part})" for part in parts)))


def _stays(asked: frozenset[str], change: str | None, of_leaves: str) -> list[tuple[str, str]]:
    """Where joins are looked for: tables, and what is asked of their rows besides.

    Open stays have an index by their begin, ended ones by their end. Of joins and leaves together that is enough: the
    joins of ended stays that come next belong to those that ended last before the place, or ended behind it. Of joins
    alone, or of one reason, all ended stays must be looked at; of one customer they are few.
    """
    if change is not None or asked & {"customer_id", "reason"}:
        return [(_STAYS, "")]
    found = [(_STAYS, " AND left_at IS NULL"), (_ENDED_LAST.format(where=of_leaves), "")]
    if "place_at" in asked:
        found.append((_STAYS, f" AND left_at IS NOT NULL AND left_at >= :place_at AND NOT {_LEFT_BEFORE}"))
    return found
