"""The catalogue: all segments whose membership is kept, compiled; one version for every state of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from service.core.criteria.model import AnyOf, Criteria
from service.core.criteria.plan import Plan, compile_plan
from service.core.profiles.shape import Shape

#: What a segment that is going away holds for: nobody.
NOBODY = AnyOf(())


class Definition(NamedTuple):
    """One segment as the hot path knows it.

    Attributes:
        slot: the segment's place in every profile; never given to another segment.
        version: rises with criteria only.
        introduced: the catalogue version that brought this definition.
        since: the instant of that change, microseconds.
        is_silent: changes that the definition itself causes are stored, not published.
    """

    segment_id: UUID
    slot: int
    name: str
    version: int
    criteria: Criteria
    introduced: int
    since: int
    is_silent: bool = False


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Definitions in ascending order of slots, with the plan that evaluates them."""

    version: int
    definitions: tuple[Definition, ...]
    shape: Shape
    plan: Plan = field(repr=False)
    newest: int  # the latest `introduced`; a profile born at or after it needs no thought about definitions


def compile_catalogue(version: int, definitions: Sequence[Definition], shape: Shape) -> Catalogue:
    """Compiles definitions; the shape must keep all that they need."""
    ordered = tuple(sorted(definitions, key=lambda definition: definition.slot))
    plan = compile_plan({definition.slot: definition.criteria for definition in ordered})
    newest = max((definition.introduced for definition in ordered), default=0)
    return Catalogue(version, ordered, shape, plan, newest)
