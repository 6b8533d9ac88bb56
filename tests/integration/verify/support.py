"""What the tests of verify do to a database, and how they read the report."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from service.app.verify import Report
from tests.facts import Service


def drift_of(report: Report) -> dict[str, int]:
    """Segments with drift."""
    return {one.segment.name: one.drift for one in report.segments if one.drift}


async def damage(service: Service, statement: str, values: Mapping[str, UUID]) -> None:
    """Changes the database by hand; the statement gets those of the values that it names."""
    await service.run(statement, **{key: value for key, value in values.items() if f":{key}" in statement})
