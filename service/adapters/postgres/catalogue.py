"""The catalogue in PostgreSQL: its one row (version, shape) and the definitions that the hot path must know.

Who evaluates holds CATALOGUE_LOCK shared and reads with `load_catalogue`; who changes a definition takes it exclusively
with `lock_catalogue` as the first statement of the transaction and ends with `store_catalogue`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.database import CATALOGUE_LOCK
from service.adapters.postgres.shape_json import shape_from_json, shape_to_json
from service.app import exact_json
from service.core.criteria.model import Criteria
from service.core.criteria.parse import CriteriaError, parse_criteria
from service.core.profiles.shape import Shape
from service.core.segments.catalogue import NOBODY, Catalogue, Definition, compile_catalogue

log = structlog.get_logger()

#: The version alone, for the look at the start of each batch.
VERSION_SQL: Final = "SELECT version FROM catalogue"
#: Version and shape.
CATALOGUE_SQL: Final = "SELECT version, CAST(shape AS text) FROM catalogue"
#: All definitions that batches and timers evaluate, those on their way out included, for `catalogue_from_rows`.
DEFINITIONS_SQL: Final = """
SELECT id, slot, segment_name, version, CAST(criteria AS text), status = 'active' AND NOT is_deleted,
       segment_type = 'static', introduced, since, is_silent
FROM customer_segments
WHERE is_kept
ORDER BY slot
"""
STORE_CATALOGUE_SQL: Final = "UPDATE catalogue SET version = :version, shape = CAST(:shape AS jsonb)"


def catalogue_from_rows(version: int, shape_json: str, rows: Iterable[Sequence[Any]]) -> Catalogue:
    """Compiles what CATALOGUE_SQL and DEFINITIONS_SQL answered, by whichever driver.

    A definition that this release does not understand is left as it is, and the others go on.
    """
    definitions = []
    for segment_id, slot, name, segment_version, criteria, is_live, is_static, introduced, since, is_silent in rows:
        read = _read(segment_id, criteria) if is_live and not is_static else NOBODY
        definitions.append(
            Definition(
                segment_id=segment_id,
                slot=slot,
                name=name,
                version=segment_version,
                criteria=NOBODY if read is None else read,
                introduced=introduced,
                since=since,
                is_silent=is_silent,
                is_live=is_live,
                is_readable=read is not None,
            )
        )
    return compile_catalogue(version, definitions, shape_from_json(shape_json))


def _read(segment_id: UUID, criteria: str) -> Criteria | None:
    try:
        return parse_criteria(exact_json.loads(criteria))
    except CriteriaError as error:
        log.error("segment cannot be evaluated; its members stay", segment=str(segment_id), faults=str(error)[:500])
        return None


async def load_catalogue(connection: Any) -> Catalogue:
    """Reads and compiles the whole catalogue.

    Args:
        connection: asyncpg's own, in a transaction that holds CATALOGUE_LOCK (or in one snapshot), so that both
            statements see the same version.
    """
    version, shape_json = await connection.fetchrow(CATALOGUE_SQL)
    return catalogue_from_rows(version, shape_json, await connection.fetch(DEFINITIONS_SQL))


async def lock_catalogue(connection: AsyncConnection) -> tuple[int, Shape]:
    """Takes the catalogue exclusively until the transaction ends: its version and shape now."""
    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": CATALOGUE_LOCK})
    version, shape_json = (await connection.execute(text(CATALOGUE_SQL))).one()
    return version, shape_from_json(shape_json)


async def store_catalogue(connection: AsyncConnection, version: int, shape: Shape) -> None:
    """Writes version and shape; the lock of `lock_catalogue` must be held."""
    await connection.execute(text(STORE_CATALOGUE_SQL), {"version": version, "shape": shape_to_json(shape)})
