"""Definitions out of PostgreSQL and into it: what app.definitions and app.definitions_import ask for."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.campaign_tables import customer_segment_campaigns
from service.adapters.postgres.campaigns.rows import CAMPAIGN_COLUMNS, campaign_of
from service.adapters.postgres.campaigns.store import PostgresCampaigns
from service.adapters.postgres.operation_tables import input_frontier
from service.adapters.postgres.segments import PostgresSegments, as_jsonb
from service.adapters.postgres.tables import catalogue, customer_segments, segment_versions, users
from service.app import exact_json
from service.app.campaigns.definitions import CampaignDefinition
from service.app.definitions import (
    FORMAT,
    FORMAT_VERSION,
    Definitions,
    PinDefinition,
    SegmentDefinition,
    VersionDefinition,
)
from service.core.campaigns.model import Campaign

SEGMENTS: Final = text("""
SELECT id, segment_name, description, segment_type, status, CAST(criteria AS text) AS criteria, version, created_by,
    created_at, updated_at
FROM customer_segments WHERE NOT is_deleted ORDER BY slot
""")
VERSIONS: Final = text("""
SELECT segment_id, version, CAST(criteria AS text), created_by, created_at
FROM segment_versions ORDER BY segment_id, version
""")
PINS: Final = text("""
SELECT p.segment_id, coalesce(c.external_id, CAST(p.customer_id AS text)), p.is_included, p.source, p.created_by,
    p.created_at
FROM pins p LEFT JOIN customers c ON c.customer_id = p.customer_id
ORDER BY p.segment_id, p.customer_id
""")
CAMPAIGNS: Final = text(f"""
SELECT {CAMPAIGN_COLUMNS} FROM customer_segment_campaigns
WHERE NOT is_deleted AND segment_id IN (SELECT id FROM customer_segments WHERE NOT is_deleted)
ORDER BY created_at, id
""")  # noqa: S608 - built from constants
KNOWN_CAMPAIGNS: Final = text(f"""
SELECT {CAMPAIGN_COLUMNS} FROM customer_segment_campaigns WHERE id = ANY(CAST(:ids AS uuid[]))
""")  # noqa: S608 - built from constants
USERS: Final = text("SELECT id, name FROM users ORDER BY id")
STAMP_PINS: Final = text("""
UPDATE pins SET created_at = u.created_at
FROM unnest(CAST(:customer_ids AS uuid[]), CAST(:created_at AS timestamptz[])) AS u (customer_id, created_at)
WHERE pins.customer_id = u.customer_id AND pins.segment_id = :segment_id AND pins.created_at >= :since
""")


async def read_definitions(connection: AsyncConnection) -> Definitions:
    """All segments and campaigns that have not been deleted, of one snapshot."""
    versions: dict[UUID, list[VersionDefinition]] = {}
    for segment_id, version, criteria, created_by, created_at in await connection.execute(VERSIONS):
        one = VersionDefinition(version, exact_json.loads(criteria), created_by, created_at)
        versions.setdefault(segment_id, []).append(one)
    pins: dict[UUID, list[PinDefinition]] = {}
    for segment_id, customer, is_included, source, created_by, created_at in await connection.execute(PINS):
        pin = PinDefinition(customer, "included" if is_included else "excluded", source, created_by, created_at)
        pins.setdefault(segment_id, []).append(pin)
    segments = []
    for row in await connection.execute(SEGMENTS):
        values = row._asdict() | {"criteria": exact_json.loads(row.criteria)}
        segments.append(SegmentDefinition(**values, versions=versions.get(row.id, []), pins=pins.get(row.id, [])))
    names = {row.id: row.name for row in await connection.execute(USERS)}
    campaigns = [CampaignDefinition.of(campaign_of(row)) for row in (await connection.execute(CAMPAIGNS)).mappings()]
    return Definitions(FORMAT, FORMAT_VERSION, datetime.now(UTC), names, segments, campaigns)


class PostgresDefinitions(PostgresSegments):
    """The statements of one transaction that imports."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection)
        self._rows = connection

    async def deleted(self, segment_ids: Collection[UUID]) -> set[UUID]:
        """See DefinitionStore."""
        found = await self._rows.execute(
            sa.select(customer_segments.c.id).where(
                customer_segments.c.id.in_(segment_ids), customer_segments.c.is_deleted
            )
        )
        return set(found.scalars())

    async def others(self, segment_ids: Collection[UUID]) -> int:
        """See DefinitionStore."""
        found = await self._rows.execute(
            sa.select(sa.func.count()).select_from(customer_segments).where(customer_segments.c.id.not_in(segment_ids))
        )
        return int(found.scalar_one())

    async def campaigns(self, campaign_ids: Collection[UUID]) -> dict[UUID, Campaign]:
        """See DefinitionStore."""
        rows = (await self._rows.execute(KNOWN_CAMPAIGNS, {"ids": list(campaign_ids)})).mappings()
        return {row["id"]: campaign_of(row) for row in rows}

    async def insert_campaign(self, campaign: Campaign) -> None:
        """See DefinitionStore."""
        await PostgresCampaigns(self._rows).insert(campaign)
        names = ("failure_reason", "started_at", "sent_at", "created_at", "updated_at")
        await self._rows.execute(
            sa.update(customer_segment_campaigns)
            .where(customer_segment_campaigns.c.id == campaign.id)
            .values(**{name: getattr(campaign, name) for name in names})
        )

    async def put_versions(self, definition: SegmentDefinition) -> None:
        """See DefinitionStore."""
        for one in definition.versions:
            await self._rows.execute(
                sa.insert(segment_versions).values(
                    segment_id=definition.id,
                    version=one.version,
                    criteria=as_jsonb(one.criteria),
                    created_by=one.created_by,
                    created_at=one.created_at,
                )
            )
        await self._rows.execute(
            sa.update(customer_segments)
            .where(customer_segments.c.id == definition.id)
            .values(created_at=definition.created_at, updated_at=definition.updated_at)
        )

    async def put_users(self, names: Sequence[tuple[str, str]]) -> None:
        """See DefinitionStore."""
        if names:
            values = [{"id": user_id, "name": name} for user_id, name in names]
            await self._rows.execute(insert(users).on_conflict_do_nothing(), values)

    async def names_and_now(self) -> tuple[dict[str, str], datetime]:
        """See DefinitionStore."""
        names = {row.id: row.name for row in await self._rows.execute(USERS)}
        return names, (await self._rows.execute(sa.select(sa.func.now()))).scalar_one()

    async def stamp_pins(
        self, segment_id: UUID, customer_ids: Sequence[UUID], at: Sequence[datetime], since: datetime
    ) -> None:
        """See DefinitionStore."""
        values = {"segment_id": segment_id, "customer_ids": list(customer_ids), "created_at": list(at), "since": since}
        await self._rows.execute(STAMP_PINS, values)

    async def begin_recovery(self, read_to: Mapping[tuple[str, int], int]) -> None:
        """See DefinitionStore. Without a frontier timers wait until the input has been read anew."""
        topics: dict[str, dict[str, int]] = {}
        for (topic, partition), offset in read_to.items():
            topics.setdefault(topic, {})[str(partition)] = offset
        # One that was cut short keeps what was read before it.
        began = sa.func.coalesce(catalogue.c.recovering, sa.cast(sa.literal(json.dumps(topics), sa.Text), JSONB))
        await self._rows.execute(sa.update(catalogue).values(recovering=began))
        await self._rows.execute(sa.delete(input_frontier))
