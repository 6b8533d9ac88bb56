"""Segments in PostgreSQL: the statements of app.segments.SegmentStore on one request's connection."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres import catalogue
from service.adapters.postgres.campaigns.store import PostgresCampaigns
from service.adapters.postgres.tables import catalogue as catalogue_table
from service.adapters.postgres.tables import customer_segments, memberships, profiles, segment_versions, users
from service.app import exact_json
from service.app.segments import ACTIVE, STATIC, Author, Referrer, Segment, SegmentQuery
from service.core.profiles.shape import Shape

_segments: Final = customer_segments.c
#: The columns that a change may touch, beside those that follow from it.
_CHANGING: Final = ("segment_name", "description", "segment_type", "status", "version", "revision", "is_deleted")
#: The columns that a new definition sets, with `previous` all of them together; the backfill counts them on.
_INTRODUCING: Final = (
    "introduced",
    "since",
    "is_silent",
    "is_kept",
    "backfill_state",
    "backfill_done",
    "backfill_total",
)
_PLAIN: Final = (
    "id",
    *_CHANGING,
    *_INTRODUCING,
    "customer_count",
    "created_by",
    "created_at",
    "updated_at",
    "last_updated",
)
_SELECT: Final = sa.select(
    *(_segments[name] for name in _PLAIN),
    # As text, because the driver's reader would turn exact numbers into floats.
    sa.cast(_segments.criteria, sa.Text).label("criteria"),
    sa.cast(_segments.previous, sa.Text).label("previous"),
    sa.func.coalesce(users.c.name, _segments.created_by).label("creator_name"),
).select_from(customer_segments.outerjoin(users, users.c.id == _segments.created_by))


class PostgresSegments:
    """The statements of one transaction. Lock order: catalogue, customers by id, all else."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def count_profiles(self) -> int:
        """See SegmentStore."""
        return await self._scalar(sa.select(sa.func.count()).select_from(profiles))

    async def lock_catalogue(self) -> tuple[int, Shape]:
        """See SegmentStore."""
        return await catalogue.lock_catalogue(self._connection)

    async def is_recovering(self) -> bool:
        """See SegmentStore."""
        return bool((await self._connection.execute(sa.select(catalogue_table.c.recovering.is_not(None)))).scalar_one())

    async def store_catalogue(self, version: int, shape: Shape) -> None:
        """See SegmentStore."""
        await catalogue.store_catalogue(self._connection, version, shape)

    async def note_author(self, author: Author) -> None:
        """See SegmentStore."""
        statement = insert(users).values(id=author.id, name=author.name)
        changed = statement.on_conflict_do_update(
            index_elements=[users.c.id],
            set_={"name": statement.excluded.name},
            where=users.c.name != statement.excluded.name,
        )
        await self._connection.execute(changed)

    async def get(self, segment_id: UUID) -> Segment | None:
        """See SegmentStore."""
        found = await self._connection.execute(_SELECT.where(_segments.id == segment_id, ~_segments.is_deleted))
        row = found.one_or_none()
        return None if row is None else _segment(row)

    async def named(self, name: str) -> Sequence[Segment]:
        """All segments with exactly this name; names may repeat."""
        found = await self._connection.execute(
            _SELECT.where(_segments.segment_name == name, ~_segments.is_deleted).order_by(_segments.slot)
        )
        return [_segment(row) for row in found]

    async def insert(self, segment: Segment) -> None:
        """See SegmentStore."""
        values = {name: getattr(segment, name) for name in ("id", "created_by", *_CHANGING, *_INTRODUCING)}
        values |= {"criteria": as_jsonb(segment.criteria), "previous": _jsonb_or_null(segment.previous)}
        await self._connection.execute(sa.insert(customer_segments).values(**values))

    async def update(self, before: Segment, after: Segment) -> None:
        """See SegmentStore."""
        values: dict[str, Any] = {
            name: getattr(after, name) for name in _CHANGING if getattr(after, name) != getattr(before, name)
        }
        if after.version != before.version:
            values["criteria"] = as_jsonb(after.criteria)
        if after.introduced != before.introduced:
            values |= {name: getattr(after, name) for name in _INTRODUCING}
            values["previous"] = _jsonb_or_null(after.previous)
            values["last_updated"] = sa.func.now()
        await self._connection.execute(
            sa.update(customer_segments).where(_segments.id == after.id).values(**values, updated_at=sa.func.now())
        )

    async def names(self, segment_ids: Collection[UUID]) -> dict[UUID, str]:
        """See SegmentStore."""
        found = await self._connection.execute(
            sa.select(_segments.id, _segments.segment_name).where(_segments.id.in_(segment_ids), ~_segments.is_deleted)
        )
        return {row.id: row.segment_name for row in found}

    async def referrers(self) -> Sequence[Referrer]:
        """See SegmentStore."""
        criteria = sa.cast(_segments.criteria, sa.Text)
        found = await self._connection.execute(
            sa.select(_segments.id, _segments.segment_name, criteria, _segments.status == ACTIVE)
            # Both keys hold this; who says so in some text alone is read for nothing.
            .where(criteria.contains("member_of"), ~_segments.is_deleted, _segments.segment_type != STATIC)
            .order_by(_segments.slot)
        )
        return [Referrer(one, name, exact_json.loads(source), is_live) for one, name, source, is_live in found]

    async def introduce_again(self, segment_ids: Collection[UUID], introduced: int, since: int) -> None:
        """See SegmentStore. Nobody asked for silence about what another segment's change does to these."""
        await self._connection.execute(
            sa.update(customer_segments)
            .where(_segments.id.in_(segment_ids))
            .values(introduced=introduced, since=since, is_silent=False)
        )

    async def complete_to(self, now: int) -> int:
        """The instant up to which membership is complete: now, or the earliest edge that has not been evaluated."""
        earliest = (await self._connection.execute(sa.select(sa.func.min(profiles.c.next_due_at)))).scalar_one()
        return now if earliest is None else min(now, earliest)

    async def add_version(self, segment: Segment, author: Author) -> None:
        """See SegmentStore."""
        await self._connection.execute(
            sa.insert(segment_versions).values(
                segment_id=segment.id,
                version=segment.version,
                criteria=as_jsonb(segment.criteria),
                created_by=author.id,
            )
        )

    async def campaigns_under_way(self, segment_id: UUID) -> Sequence[str]:
        """See SegmentStore."""
        return [one.campaign_name for one in await PostgresCampaigns(self._connection).live_of_segment(segment_id)]

    async def page(self, query: SegmentQuery) -> tuple[Sequence[Segment], int]:
        """One page of segments, and how many there are in all."""
        wanted = [~_segments.is_deleted]
        if query.search:
            wanted.append(
                _segments.segment_name.icontains(query.search, autoescape=True)
                | _segments.description.icontains(query.search, autoescape=True)
            )
        if query.status:
            wanted.append(_segments.status == query.status)
        if query.segment_type:
            wanted.append(_segments.segment_type == query.segment_type)
        sort, slot = _segments[query.sort], _segments.slot
        order = (sort.desc(), slot.desc()) if query.is_descending else (sort.asc(), slot.asc())
        found = await self._connection.execute(
            _SELECT.where(*wanted).order_by(*order).limit(query.limit).offset((query.page - 1) * query.limit)
        )
        total = await self._scalar(sa.select(sa.func.count()).select_from(customer_segments).where(*wanted))
        return [_segment(row) for row in found], total

    async def member_ids(self, segment_id: UUID, ids_max: int) -> list[UUID]:
        """The ids of current members, ascending; at most `ids_max`."""
        found = await self._connection.execute(
            sa.select(memberships.c.customer_id)
            .where(memberships.c.segment_id == segment_id, memberships.c.left_at.is_(None))
            .order_by(memberships.c.customer_id)
            .limit(ids_max)
        )
        return list(found.scalars())

    async def _scalar(self, statement: sa.Select[int]) -> int:
        return (await self._connection.execute(statement)).scalar_one()


def as_jsonb(value: Any) -> sa.ColumnElement[Any]:
    """JSON whose numbers stay as they are."""
    return sa.cast(sa.literal(exact_json.dumps(value).decode(), sa.Text), JSONB)


def _jsonb_or_null(value: Any) -> sa.ColumnElement[Any]:
    return sa.null() if value is None else as_jsonb(value)


def _segment(row: Any) -> Segment:
    values = row._asdict()
    values["criteria"] = exact_json.loads(values["criteria"])
    values["previous"] = None if values["previous"] is None else exact_json.loads(values["previous"])
    return Segment(**values)
