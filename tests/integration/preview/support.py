"""Whom criteria hold for: by the folds, as a preview shows it, and by the facts."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from service.adapters.postgres.criteria_sql import verdicts_at
from service.adapters.postgres.database import Database
from service.adapters.postgres.known_segments import load_segments
from service.adapters.postgres.preview import preview_store
from service.app.preview import SAMPLE_MAX, Preview
from service.core.criteria.parse import parse_criteria
from tests.facts import fetch


async def told(database: Database, criteria: dict[str, Any], now: int) -> set[UUID]:
    """Whom the criteria hold for by the facts."""
    async with database.snapshot() as connection:
        segments = await load_segments(connection)
        rows = await fetch(connection, verdicts_at([parse_criteria(criteria)], now, segments))
    return {row.customer_id for row in rows if row.verdicts[0]}


async def shown(database: Database, criteria: dict[str, Any], now: int, sample: int = SAMPLE_MAX) -> Preview:
    """The preview."""
    async with preview_store(database, 60, "TESTS") as store:
        return await store.preview(parse_criteria(criteria), now, sample)
