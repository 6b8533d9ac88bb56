"""Segments that name other segments: what they name must be there, and they must not go in a circle.

All checks are made while the catalogue is held exclusively, so that two edits at once cannot make a circle together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from service.app.segments import Segment, SegmentConflict, SegmentStore
from service.core.criteria.model import references
from service.core.criteria.parse import CriteriaError, CriteriaFault, parse_leaves
from service.core.identity import UUID_FORM

_ASKING: Final = ("member_of", "not_member_of")
#: How many names a message repeats.
NAMES_MAX: Final = 10

#: Which segments a segment names.
_Named = Mapping[UUID, frozenset[UUID]]


async def check_references(store: SegmentStore, segment: Segment) -> None:
    """Refuses criteria that name segments which are not there, or by which the segment would depend on itself.

    Raises:
        CriteriaError: with the path of every condition that is at fault.
    """
    asked = [(leaf.path, one) for leaf in parse_leaves(segment.criteria)[1] for one in references(leaf.criteria)]
    if not asked:
        return
    known = await store.names({one for _, one in asked} | {segment.id})
    known[segment.id] = segment.segment_name
    others = [one for one in await store.referrers() if one.segment_id != segment.id]
    named = {one.segment_id: named_in(one.criteria) for one in others}
    names = {one.segment_id: one.segment_name for one in others} | known
    faults = []
    for path, target in asked:
        if target not in known:
            faults.append(CriteriaFault(path, f"there is no segment {target}", "unknown_segment"))
            continue
        way = _way(named, target, segment.id)
        if way:
            circle = " -> ".join(f'"{names[one]}"' for one in [segment.id, *way])
            faults.append(CriteriaFault(path, f"would make segments depend on themselves: {circle}", "cycle"))
    if faults:
        raise CriteriaError(faults)


async def check_unnamed(store: SegmentStore, segment: Segment) -> None:
    """Refuses that a segment goes while others ask for its members.

    Raises:
        SegmentConflict: with the names of those segments.
    """
    dependants = [
        one.segment_name
        for one in await store.referrers()
        if one.segment_id != segment.id and segment.id in named_in(one.criteria)
    ]
    if dependants:
        said = _listed(dependants)
        msg = f"The segment cannot be deleted, for other segments ask for its members: {said}; change them first"
        raise SegmentConflict(msg)


async def check_no_campaigns(store: SegmentStore, segment: Segment, what: str) -> None:
    """Refuses that a segment goes while campaigns to its members are under way: they would end half-way, unasked.

    Raises:
        SegmentConflict: with the names of those campaigns.
    """
    names = await store.campaigns_under_way(segment.id)
    if names:
        msg = f"The segment cannot be {what}, for campaigns to it are under way: {_listed(names)}; cancel them first"
        raise SegmentConflict(msg)


async def dependants(store: SegmentStore, segment_id: UUID) -> set[UUID]:
    """The active segments whose membership depends on this one's, directly or through other active ones."""
    live = [one for one in await store.referrers() if one.is_live]
    named = {one.segment_id: named_in(one.criteria) for one in live}
    found: set[UUID] = set()
    waiting = [segment_id]
    while waiting:
        asked = waiting.pop()
        following = {one for one, names in named.items() if asked in names} - found
        found |= following
        waiting += following
    return found


def named_in(criteria: object) -> frozenset[UUID]:
    """The segments that stored criteria name, also where another release wrote them and this one cannot read them."""
    found: set[UUID] = set()
    waiting = [criteria]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            asked = [one.get(key) for key in _ASKING]
            found |= {UUID(text) for text in asked if isinstance(text, str) and UUID_FORM.fullmatch(text)}
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return frozenset(found)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES_MAX} more" if len(names) > NAMES_MAX else ""
    return ", ".join(f'"{name}"' for name in names[:NAMES_MAX]) + more


def _way(named: _Named, start: UUID, goal: UUID) -> Sequence[UUID]:
    """The segments from `start` to `goal`, each naming the next; empty where there is no such way."""
    ways: dict[UUID, tuple[UUID, ...]] = {start: (start,)}
    waiting = [start]
    while waiting:
        here = waiting.pop(0)
        if here == goal:
            return ways[here]
        for following in sorted(named.get(here, ())):
            if following not in ways:
                ways[following] = (*ways[here], following)
                waiting.append(following)
    return ()
