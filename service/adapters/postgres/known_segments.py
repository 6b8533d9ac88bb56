"""All segments as SQL must know them where criteria ask for their members."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.app import exact_json
from service.core.criteria.model import Criteria, references
from service.core.criteria.parse import CriteriaError, parse_criteria
from service.core.instants import MISSING


class SegmentsUnusable(Exception):
    """Segments are stored in a way that no membership follows from; the message says which, and why."""


class KnownSegment(NamedTuple):
    """A segment as others refer to it.

    Attributes:
        criteria: None for a static segment, whose members are its pins.
        is_live: whether it has members at all; a draft, archived or deleted segment has none.
        introduced, since: catalogue version and instant (microseconds) of the definition, or of one that it depends on,
            the latest of them, while the hot path keeps it.
        is_backfilling: customers may be left that the definition has not reached.
    """

    criteria: Criteria | None
    is_live: bool
    introduced: int = 0
    since: int = MISSING
    is_backfilling: bool = False

    @property
    def references(self) -> set[UUID]:
        """The segments whose members this one asks for."""
        return references(self.criteria) if self.is_live and self.criteria is not None else set()


Segments = Mapping[UUID, KnownSegment]

#: Every segment there ever was; what the hot path has forgotten brings no definition.
SEGMENTS: Final = """
SELECT id, status = 'active' AND NOT is_deleted, segment_type = 'static', CAST(criteria AS text),
    CASE WHEN is_kept THEN introduced ELSE 0 END, CASE WHEN is_kept THEN since END,
    is_kept AND backfill_state = 'running'
FROM customer_segments
ORDER BY slot
"""


async def load_segments(connection: AsyncConnection) -> dict[UUID, KnownSegment]:
    """All segments, for Figures.

    Raises:
        SegmentsUnusable: stored criteria that this release does not understand.
    """
    found = {}
    for segment_id, is_live, is_static, criteria, introduced, since, is_backfilling in await connection.execute(
        text(SEGMENTS)
    ):
        parsed = None
        if is_live and not is_static:
            try:
                parsed = parse_criteria(exact_json.loads(criteria))
            except CriteriaError as error:
                msg = f"The stored criteria of segment {segment_id} cannot be read: {error}"
                raise SegmentsUnusable(msg) from None
        known = KnownSegment(parsed, is_live, introduced, MISSING if since is None else since, is_backfilling)
        found[segment_id] = known
    return found


def by_dependence(segments: Segments, roots: Iterable[UUID]) -> list[UUID]:
    """The roots and all that they refer to, each once and after those that it refers to; unknown ones are left out.

    Raises:
        SegmentsUnusable: a segment refers to itself, directly or through others, which is refused when it is saved.
    """
    found: dict[UUID, None] = {}
    open_ids: set[UUID] = set()
    waiting = [(one, False) for one in sorted(roots, reverse=True)]
    while waiting:
        segment_id, is_done = waiting.pop()
        if is_done:
            open_ids.discard(segment_id)
            found[segment_id] = None
        elif segment_id in open_ids:
            msg = f"The segment {segment_id} asks for its own members, directly or through other segments"
            raise SegmentsUnusable(msg)
        elif segment_id in segments and segment_id not in found:
            open_ids.add(segment_id)
            waiting.append((segment_id, True))
            waiting += ((one, False) for one in sorted(segments[segment_id].references, reverse=True))
    return list(found)


def with_references(segments: Segments, chosen: Sequence[UUID]) -> dict[UUID, KnownSegment]:
    """The chosen segments; each is backfilling while one that it refers to is.

    Raises:
        SegmentsUnusable: see `by_dependence`.
    """
    found: dict[UUID, KnownSegment] = {}
    for segment_id in by_dependence(segments, chosen):
        own = segments[segment_id]
        is_backfilling = own.is_backfilling or any(found[one].is_backfilling for one in own.references if one in found)
        found[segment_id] = own._replace(is_backfilling=is_backfilling)
    return {segment_id: found[segment_id] for segment_id in chosen if segment_id in found}
