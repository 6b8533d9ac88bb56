"""What a profile keeps beside its totals: only what some segment asks for, so that it stays small."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from service.core.criteria.fields import Figure, Purchase, PurchaseKey
from service.core.criteria.model import SequencePredicate, Stream
from service.core.criteria.needs import Measure, Needs
from service.core.profiles.sequences import Pattern, pattern_of


class SeriesKey(NamedTuple):
    """The activities of a stream, or the values of one of their properties."""

    stream: Stream
    property: str | None


class SeriesKept(NamedTuple):
    """What is kept of a series.

    Attributes:
        window_max: how far back its entries go, microseconds; 0 = none are kept.
        has_totals: figures over all time; has_distinct: the different values among them.
        has_numbers_only: entries keep a value only where it is a number, for nobody counts different values of them.
    """

    key: SeriesKey
    window_max: int = 0
    has_totals: bool = False
    has_distinct: bool = False
    has_numbers_only: bool = False

    def grown_for(self, measure: Measure) -> SeriesKept:
        """With what this measure needs besides."""
        if measure.window is not None:
            has_numbers_only = self.has_numbers_only and measure.figure is not Figure.DISTINCT
            return self._replace(window_max=max(self.window_max, measure.window), has_numbers_only=has_numbers_only)
        return self._replace(has_totals=True, has_distinct=self.has_distinct or measure.figure is Figure.DISTINCT)


@dataclass(frozen=True)
class Shape:
    """A growing list of things kept. A profile of an older shape is refolded from its facts.

    An index into purchases, series or sequences never changes its meaning.

    Attributes:
        version: rises whenever the shape grows.
        purchases: the products and categories whose latest purchase is kept.
        window_max: how long entries of orders are kept, in microseconds.
        series: activities kept for figures.
        sequences: sequences whose occurrences are kept.
    """

    version: int = 0
    purchases: tuple[PurchaseKey, ...] = ()
    window_max: int = 0
    series: tuple[SeriesKept, ...] = ()
    sequences: tuple[SequencePredicate, ...] = ()
    places: dict[PurchaseKey, int] = field(init=False, compare=False, repr=False)
    products: dict[str, int] = field(init=False, compare=False, repr=False)
    categories: dict[str, int] = field(init=False, compare=False, repr=False)
    series_places: dict[SeriesKey, int] = field(init=False, compare=False, repr=False)
    sequence_places: dict[SequencePredicate, int] = field(init=False, compare=False, repr=False)
    patterns: tuple[Pattern, ...] = field(init=False, compare=False, repr=False)
    #: By name: (stream, places of its series, [(place of a sequence, mask of its steps)]).
    streams: dict[str, list[tuple[Stream, list[int], list[tuple[int, int]]]]] = field(
        init=False, compare=False, repr=False
    )
    #: (place of a sequence, mask of its steps) for orders.
    order_steps: tuple[tuple[int, int], ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        def note(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        places = {key: index for index, key in enumerate(self.purchases)}
        note("places", places)
        for name, kind in (("products", Purchase.PRODUCT), ("categories", Purchase.CATEGORY)):
            note(name, {key.name: place for key, place in places.items() if key.kind == kind})
        note("series_places", {one.key: index for index, one in enumerate(self.series)})
        note("sequence_places", {one: index for index, one in enumerate(self.sequences)})
        note("patterns", tuple(map(pattern_of, self.sequences)))
        streams: dict[Stream, tuple[list[int], dict[int, int]]] = {}
        orders: dict[int, int] = {}
        for index, kept in enumerate(self.series):
            streams.setdefault(kept.key.stream, ([], {}))[0].append(index)
        for index, sequence in enumerate(self.sequences):
            for place, step in enumerate(sequence.steps):
                masks = orders if step.stream is None else streams.setdefault(step.stream, ([], {}))[1]
                masks[index] = masks.get(index, 0) | 1 << place
        by_name: dict[str, list[tuple[Stream, list[int], list[tuple[int, int]]]]] = {}
        for stream, (series, masked) in streams.items():
            by_name.setdefault(stream.name, []).append((stream, series, list(masked.items())))
        note("streams", by_name)
        note("order_steps", tuple(orders.items()))

    @property
    def activity_names(self) -> list[str]:
        """Names of the activities that profiles keep something of."""
        return sorted(self.streams)

    def grown_for(self, needs: Needs) -> Shape:
        """This shape if it keeps all that is needed, else the next one, which does."""
        purchases = self.purchases + tuple(key for key in needs.purchases if key not in self.places)
        window_max = max([self.window_max, *(window.span for window in needs.windows)])
        series = _grown(self.series, (bounded.measure for bounded in needs.measures))
        sequences = self.sequences + tuple(one for one in needs.sequences if one not in self.sequences)
        grown = Shape(self.version, purchases, window_max, series, sequences)
        return self if grown == self else Shape(self.version + 1, purchases, window_max, series, sequences)


def _grown(kept: tuple[SeriesKept, ...], measures: Iterable[Measure]) -> tuple[SeriesKept, ...]:
    found = {one.key: one for one in kept}
    for measure in measures:
        key = SeriesKey(measure.stream, measure.property)
        found[key] = found.get(key, SeriesKept(key, has_numbers_only=True)).grown_for(measure)
    return tuple(found.values())
