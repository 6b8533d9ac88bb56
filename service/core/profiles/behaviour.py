"""What a profile keeps of activities and sequences, for the shape that segments ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from service.core.criteria.model import Stream
from service.core.criteria.needs import Needs
from service.core.criteria.operators import attribute_holds
from service.core.profiles.ledger import ActivityFact, Ledger, LedgerIncomplete
from service.core.profiles.running import is_number
from service.core.profiles.sequences import NEVER, Occurrences
from service.core.profiles.series import Series, Totals
from service.core.profiles.shape import SeriesKey, Shape

#: Told for each kind of thing that has more entries than are kept: the instant at which to look at it again.
Overflow = Callable[[int, int], None]
#: Kinds of things with a limit on their entries: orders, then series and sequences by their places in the shape.
ORDERS = 0


def kind_of_series(place: int) -> int:
    """The kind that stands for a series."""
    return 2 * place + 1


def kind_of_sequence(place: int) -> int:
    """The kind that stands for a sequence."""
    return 2 * place + 2


class Behaviour:
    """Series and occurrences by their places in the shape; those that nothing has happened in are absent."""

    __slots__ = ("occurrences", "series")

    def __init__(self) -> None:
        self.series: dict[int, Series] = {}
        self.occurrences: dict[int, Occurrences] = {}

    def apply(
        self, fact: ActivityFact, shape: Shape, ledger: Ledger, over: Mapping[int, int], evaluated_to: int
    ) -> None:
        """Folds one activity in; what no window reaches from `evaluated_to` on is not kept.

        Raises:
            LedgerIncomplete: a sequence may have begun with something that is not kept any more.
        """
        for stream, series, masked in shape.streams.get(fact.name, ()):
            if passes(stream, fact.properties):
                for place in series:
                    if kind_of_series(place) not in over:
                        self._put(place, fact, shape, evaluated_to)
                for place, mask in masked:
                    self.occur(place, fact.at, mask, shape, ledger, over)

    def _put(self, place: int, fact: ActivityFact, shape: Shape, evaluated_to: int) -> None:
        kept = shape.series[place]
        is_within = fact.at > evaluated_to - kept.window_max if kept.window_max else False
        if not (is_within or kept.has_totals):
            return
        series = self.series.get(place)
        if series is None:
            series = self.series[place] = Series(Totals(kept.has_distinct) if kept.has_totals else None)
        name = kept.key.property
        value = None if name is None else fact.properties.get(name)
        if series.totals is not None:
            series.totals.put(value)
        if is_within:
            series.put(fact.at, None if kept.has_numbers_only and not is_number(value) else value, name is not None)

    def occur(
        self, place: int, at: int, mask: int, shape: Shape, ledger: Ledger, over: Mapping[int, int], sign: int = 1
    ) -> None:
        """Puts (1) or takes back (-1) one occurrence of steps of a sequence.

        Raises:
            LedgerIncomplete: a match may have begun with something that is not kept any more.
        """
        if kind_of_sequence(place) in over:
            return
        pattern = shape.patterns[place]
        found = self.occurrences.get(place)
        if found is None:
            found = self.occurrences[place] = Occurrences()
        if found.is_settled and pattern.is_lasting:
            return
        if found.reaches_dropped(at, pattern) and not ledger.is_complete:
            raise LedgerIncomplete
        if sign > 0:
            found.put(at, mask)
        else:
            found.drop(at, mask)

    def columns(self, needs: Needs, shape: Shape, as_of: int) -> list[int]:
        """The columns of measures and sequences."""
        found = []
        for (stream, figure, name, window), bounds in needs.measures:
            series = self.series.get(shape.series_places[SeriesKey(stream, name)])
            found.append((series or _NOTHING).place(figure, window, bounds, as_of))
        for sequence in needs.sequences:
            place = shape.sequence_places[sequence]
            occurrences = self.occurrences.get(place)
            found.append(int(occurrences is not None and occurrences.holds(shape.patterns[place], as_of)))
        return found

    def edge(self, needs: Needs, shape: Shape, after: int, edge: int) -> int:
        """The first instant after this one at which time alone may flip a predicate, or `edge` if that is first."""
        for (stream, figure, name, window), bounds in needs.measures if self.series else ():
            series = self.series.get(shape.series_places[SeriesKey(stream, name)])
            if window is not None and series is not None:
                found = series.edge(figure, window, bounds, after)
                edge = edge if found is None else min(edge, found)
        for sequence in needs.sequences if self.occurrences else ():
            place = shape.sequence_places[sequence]
            occurrences = self.occurrences.get(place)
            if occurrences is not None:
                found = occurrences.edge(shape.patterns[place], after)
                edge = edge if found is None else min(edge, found)
        return edge

    def trim(self, shape: Shape, as_of: int, entries_max: int, overflow: Overflow) -> None:
        """Forgets what nothing can reach any more; of a kind with more than `entries_max` left, all.

        Args:
            shape: what is kept.
            as_of: nothing looks back from an earlier instant.
            entries_max: of one kind.
            overflow: told of each kind that is forgotten.
        """
        for place, series in list(self.series.items()):
            window_max = shape.series[place].window_max
            series.trim(as_of - window_max)
            if len(series.instants) > entries_max:
                overflow(kind_of_series(place), last_to_leave(series.instants, entries_max) + window_max)
                del self.series[place]
            elif series.totals and series.totals.distinct and len(series.totals.distinct) > entries_max:
                overflow(kind_of_series(place), NEVER)
                del self.series[place]
        for place, occurrences in list(self.occurrences.items()):
            pattern = shape.patterns[place]
            occurrences.trim(as_of, pattern)
            if len(occurrences.instants) > entries_max:
                overflow(kind_of_sequence(place), last_to_leave(occurrences.instants, entries_max) + pattern.within + 1)
                del self.occurrences[place]

    def forget(self, kind: int) -> None:
        """Forgets a series or a sequence."""
        place, is_sequence = divmod(kind - 1, 2)
        found: dict[int, Series] | dict[int, Occurrences] = self.occurrences if is_sequence else self.series
        found.pop(place, None)


def last_to_leave(instants: Sequence[int], entries_max: int) -> int:
    """The entry after whose leaving nine tenths of `entries_max` are left, of more that ascend by instant.

    A kind is looked at again no sooner: each look takes all facts, and somebody around the limit would pay for one
    with every event. By then at least a tenth of the limit has left, so there are few looks for many events.
    """
    return instants[-(entries_max * 9 // 10) - 1]


_NOTHING = Series(Totals(has_distinct=True))


def passes(stream: Stream, properties: Mapping[str, object]) -> bool:
    """Whether an activity with these properties is one of the stream."""
    return all(attribute_holds(test.operator, properties.get(test.field), test.value) for test in stream.where)
