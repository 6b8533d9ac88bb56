"""How much segments have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from uuid import UUID

import numpy as np

from service.app.segments import Segment
from service.core import instants
from service.core.identity import UUID_FORM
from service.core.ratios import ratio

SEGMENTS_MIN: Final = 2
#: Each is one bit of a whole number of 64.
SEGMENTS_MAX: Final = 50
SETS_AT_ONCE: Final = 10_000


class SegmentsError(ValueError):
    """The segments to compare cannot be used; the message says why."""


@dataclass(frozen=True)
class Overlap:
    """Members of some segments at an instant.

    Attributes:
        customers: everybody who was known.
        sets: which of the segments somebody was in, as bits by place -> how many customers; never 0.
    """

    customers: int
    sets: Mapping[int, int]


class OverlapStore(Protocol):
    """The reads of this use case, all of one instant."""

    async def overlap(self, segment_ids: Sequence[UUID], at: int) -> Overlap:
        """Who was in which of these segments."""
        ...


def segment_ids_of(text: str) -> list[UUID]:
    """Ids of segments with commas between.

    Raises:
        SegmentsError: too few, too many, no ids, or one twice.
    """
    names = [one.strip() for one in text.split(",")]
    if not SEGMENTS_MIN <= len(names) <= SEGMENTS_MAX:
        msg = f"must name {SEGMENTS_MIN} to {SEGMENTS_MAX} segments with commas between, not {len(names)}"
        raise SegmentsError(msg)
    for name in names:
        if not UUID_FORM.fullmatch(name):
            msg = f'"{name[:100]}" is no id of a segment; ids have the form 8-4-4-4-12'
            raise SegmentsError(msg)
    found = [UUID(name) for name in names]
    for one in found:
        if found.count(one) > 1:
            msg = f"{one} is named twice"
            raise SegmentsError(msg)
    return found


def shared_counts(count: int, sets: Mapping[int, int]) -> list[list[int]]:
    """How many customers are in both of two segments, by the places of both; the diagonal has the members of one."""
    bits = np.fromiter(sets.keys(), np.int64, len(sets))
    sizes = np.fromiter(sets.values(), np.float64, len(sets))
    both = np.zeros((count, count))
    for first in range(0, len(bits), SETS_AT_ONCE):
        some = slice(first, first + SETS_AT_ONCE)
        # Floats, which multiply faster; exact up to 2^53 customers.
        held = ((bits[some, None] >> np.arange(count)) & 1).astype(np.float64)
        both += (held * sizes[some, None]).T @ held
    found: list[list[int]] = both.astype(np.int64).tolist()
    return found


def overlap_data(found: Overlap, segments: Sequence[Segment], as_of: int) -> dict[str, Any]:
    """The matrix as the API shows it: row i, column j."""
    both = shared_counts(len(segments), found.sets)
    places = range(len(segments))
    return {
        "as_of": instants.to_text(as_of),
        "customers": found.customers,
        "segments": [
            {"id": str(one.id), "segment_name": one.segment_name, "total_customers": both[place][place]}
            for place, one in enumerate(segments)
        ],
        "matrix": [[_cell(both[i][j], both[i][i], both[j][j], found.customers) for j in places] for i in places],
    }


def _cell(both: int, mine: int, other: int, customers: int) -> dict[str, Any]:
    return {
        "count": both,
        "jaccard": ratio(both, mine + other - both),
        "lift": ratio(both * customers, mine * other),
        "share_i": ratio(both, mine),
        "share_j": ratio(both, other),
    }
