"""Customers as messages need them, read without locks: for what is only looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.campaigns.messages import PEOPLE
from service.app.dispatch.model import Person
from service.core.instants import from_datetime


async def people_of(connection: AsyncConnection, customer_ids: Sequence[UUID], segment_id: UUID) -> list[Person]:
    """These customers in the order given, and since when they are members of the segment; unknown ones are blank."""
    rows = await connection.exec_driver_sql(PEOPLE, (list(customer_ids), segment_id))
    found = {row[0]: _person(row) for row in rows}
    return [found[one] for one in customer_ids]


def _person(row: Any) -> Person:
    joined_at = row[17]
    return Person._make([*row[:17], None if joined_at is None else from_datetime(joined_at)])
