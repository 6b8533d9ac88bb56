"""Figures of activities in SQL, computed from the facts."""

from __future__ import annotations

from typing import Final

from service.adapters.postgres.attribute_sql import COMPARE, attribute_sql, number_sql, present_sql
from service.adapters.postgres.figure_tables import FACTS_BY, FigureTables, Parameters
from service.core.criteria.fields import Figure
from service.core.criteria.model import ActivityPredicate, Stream

_AGGREGATES: Final = {Figure.SUM: "sum", Figure.AVG: "sum", Figure.MIN: "min", Figure.MAX: "max"}


class StreamRows:
    """Activities as rows (customer_id, as_of, time), with a flag for each stream and a value for each property asked.

    Every flag and value is a column of its own, computed once for each activity however many figures use it.
    """

    def __init__(self, parameters: Parameters, origin: str = f"subjects JOIN activities {FACTS_BY}") -> None:
        """Rows of a statement.

        Args:
            parameters: of the statement.
            origin: what follows FROM, with its condition: activities up to `as_of`, which it must have.
        """
        self._parameters = parameters
        self._origin = origin
        self._streams: dict[Stream, str] = {}
        self._values: dict[str, str] = {}

    def flag(self, stream: Stream) -> str:
        """The column that says whether the activity is of the stream; true or false."""
        return self._streams.setdefault(stream, f"s{len(self._streams)}")

    def number(self, name: str) -> str:
        """The column of a property's exact number; NULL where it is missing or no number."""
        return self._value(number_sql(self._property(name)))

    def scalar(self, name: str) -> str:
        """The column of a property's jsonb value; NULL where it is missing."""
        found = self._property(name)
        return self._value(f"CASE WHEN {present_sql(found)} THEN {found} END")

    def _value(self, expression: str) -> str:
        return self._values.setdefault(expression, f"v{len(self._values)}")

    def _property(self, name: str) -> str:
        return f"(properties -> {self._parameters.bind(name, 'text')})"

    @property
    def any_flag(self) -> str:
        """A condition: the activity is of one of the streams at least."""
        return " OR ".join(self._streams.values())

    def sql(self) -> str:
        """The rows, to stand after FROM; streams must have been asked for."""
        flags = [f"{self._test(stream)} AS {alias}" for stream, alias in self._streams.items()]
        values = [f"{expression} AS {alias}" for expression, alias in self._values.items()]
        listed = ",\n            ".join(["time", *flags, *values])
        names = self._parameters.bind(sorted({stream.name for stream in self._streams}), "text[]")
        # OFFSET 0 keeps the planner from copying each expression to every place that uses its column.
        return f"""(
        SELECT customer_id, as_of, {listed}
        FROM {self._origin} AND name = ANY({names}) OFFSET 0
    ) AS streams"""  # noqa: S608 - built from constants and parameters

    def _test(self, stream: Stream) -> str:
        bind = self._parameters.bind
        tests = (f"coalesce({attribute_sql(one, self._property(one.field), bind)}, false)" for one in stream.where)
        return " AND ".join([f"name = {bind(stream.name, 'text')}", *tests])


class ActivityFigures(FigureTables):
    """Notes the figures of activities that are asked for.

    Different values are counted in a table of their own: that takes a sort, which the other figures do without.
    """

    def __init__(self, parameters: Parameters | None = None) -> None:
        super().__init__(parameters)
        self._activities = {name: StreamRows(self._parameters) for name in ("acted", "varied")}

    def activity(self, predicate: ActivityPredicate) -> str:
        """Whether the figure satisfies the operator; NULL, which means false, where it is missing."""
        figure, name = predicate.figure, predicate.property
        table = "varied" if figure is Figure.DISTINCT else "acted"
        rows = self._activities[table]
        chosen = f"FILTER (WHERE {rows.flag(predicate.stream)}{self._within(predicate.window)})"
        if name is None:
            return self._compared(f"coalesce({self._column(table, f'count(*) {chosen}')}, 0)", "{}", predicate)
        if figure is Figure.DISTINCT:
            counted = self._column(table, f"count(DISTINCT {rows.scalar(name)}) {chosen}")
            return self._compared(f"coalesce({counted}, 0)", "{}", predicate)
        number = rows.number(name)
        found = self._column(table, f"{_AGGREGATES[figure]}({number}) {chosen}")
        if figure is Figure.SUM:
            return self._compared(f"coalesce({found}, 0)", "{}", predicate)
        if figure is Figure.AVG:
            # The sum against bounds times the count, without division; of nothing the sum is NULL.
            counted = self._column(table, f"count({number}) {chosen}")
            return self._compared(found, f"{{}} * {counted}", predicate)
        return self._compared(found, "{}", predicate)

    def _compared(self, value: str, scaled: str, predicate: ActivityPredicate) -> str:
        return compared_sql(
            value,
            predicate.operator,
            *(
                None if bound is None else scaled.format(self.bind(bound, "numeric"))
                for bound in (predicate.low, predicate.high)
            ),
        )

    def _activity_tables(self) -> list[str]:
        return [
            table
            for name, rows in self._activities.items()
            if self._columns.get(name)
            for table in self._aggregated(name, f"FROM {rows.sql()}\n    WHERE {rows.any_flag}")
        ]


def compared_sql(value: str, operator: str, low: str | None, high: str | None) -> str:
    """An expression against one bound, or against two for `between`."""
    if operator == "between":
        return f"{value} >= {low} AND {value} <= {high}"
    return f"{value} {COMPARE[operator]} {low}"
