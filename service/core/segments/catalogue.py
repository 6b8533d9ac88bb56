"""The catalogue: all segments whose membership is kept, compiled; one version for every state of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from service.core.criteria.model import (
    ActivityPredicate,
    AnyOf,
    Criteria,
    NumberPredicate,
    SequencePredicate,
    predicates,
)
from service.core.criteria.plan import Plan, compile_plan
from service.core.profiles.behaviour import ORDERS, kind_of_sequence, kind_of_series
from service.core.profiles.shape import SeriesKey, Shape

#: What a segment that is going away holds for, and the criteria of a static one: nobody.
NOBODY = AnyOf(())


class Definition(NamedTuple):
    """One segment as the hot path knows it.

    Attributes:
        slot: the segment's place in every profile; never given to another segment.
        version: rises with criteria only.
        introduced: the catalogue version that brought this definition.
        since: the instant of that change, microseconds.
        is_silent: changes that the definition itself causes are stored, not published.
        is_live: whether it has members at all; pins count for live segments only.
        is_readable: False where this release does not understand the stored criteria; members stay as they are.
    """

    segment_id: UUID
    slot: int
    name: str
    version: int
    criteria: Criteria
    introduced: int
    since: int
    is_silent: bool = False
    is_live: bool = True
    is_readable: bool = True


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Definitions in ascending order of slots, with the plan that evaluates them.

    A place is an index into `definitions`. A definition is as new as the newest one it ever referred to: `introduced`
    and `since` are those of that one.

    Attributes:
        places: slot -> place.
        users: kind of entries (profiles.behaviour) -> places of the definitions that cannot do without them.
        newest: the latest `introduced`; a profile born at or after it needs no thought about definitions.
        unreadable: places of definitions that cannot be evaluated.
    """

    version: int
    definitions: tuple[Definition, ...]
    shape: Shape
    plan: Plan = field(repr=False)
    places: Mapping[int, int] = field(repr=False)
    users: Mapping[int, tuple[int, ...]] = field(repr=False)
    newest: int
    unreadable: tuple[int, ...] = ()

    def with_dependants(self, places: Sequence[int]) -> tuple[int, ...]:
        """These places and those of all segments that refer to them, ascending."""
        if not self.plan.dependants:
            return tuple(places)
        return tuple(sorted({*places, *(one for place in places for one in self.plan.dependants.get(place, ()))}))


def compile_catalogue(version: int, definitions: Sequence[Definition], shape: Shape) -> Catalogue:
    """Compiles definitions; the shape must keep all that they need."""
    ordered = sorted(definitions, key=lambda definition: definition.slot)
    slots = {definition.segment_id: definition.slot for definition in ordered}
    plan = compile_plan({definition.slot: definition.criteria for definition in ordered}, slots)
    places = {definition.slot: place for place, definition in enumerate(ordered)}
    newest = max((definition.introduced for definition in ordered), default=0)
    users = _users(ordered, plan, shape)
    unreadable = tuple(place for place, definition in enumerate(ordered) if not definition.is_readable)
    return Catalogue(version, tuple(ordered), shape, plan, places, users, newest, unreadable)


def _users(definitions: Sequence[Definition], plan: Plan, shape: Shape) -> dict[int, tuple[int, ...]]:
    """Who asks for which kind of entries; who refers to one of them asks as well."""
    found: dict[int, set[int]] = {}
    for place, definition in enumerate(definitions):
        for predicate in predicates(definition.criteria):
            if isinstance(predicate, NumberPredicate) and predicate.window:
                kind = ORDERS
            elif isinstance(predicate, ActivityPredicate):
                kind = kind_of_series(shape.series_places[SeriesKey(predicate.stream, predicate.property)])
            elif isinstance(predicate, SequencePredicate):
                kind = kind_of_sequence(shape.sequence_places[predicate])
            else:
                continue
            found.setdefault(kind, set()).update((place, *plan.dependants.get(place, ())))
    return {kind: tuple(sorted(places)) for kind, places in found.items()}
