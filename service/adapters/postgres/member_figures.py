"""Members of other segments in SQL: by the criteria of these segments over the facts, and by pins."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from service.adapters.postgres.figure_tables import FigureTables, Parameters
from service.adapters.postgres.known_segments import KnownSegment, Segments, by_dependence
from service.core.criteria.model import Criteria, predicates

#: So many predicates of segments go into one table; a table has at most 1,664 columns, and a figure may take two.
PREDICATES_MAX: Final = 400

#: As EXISTS; qualified, for `subjects` may hold columns of the same names.
_EXISTS: Final = "coalesce(seen.first_at <= as_of, false) AND NOT coalesce(seen.ended_at <= as_of, false)"

#: Puts criteria into SQL over some figures (criteria_sql); handed in, since criteria ask for members in turn.
ToSql = Callable[[Criteria, Any], str]


class MemberTable:
    """One table of memberships: customers and instants with a column for each of some segments.

    Attributes:
        level: segments of a table refer only to those of tables of lower levels.
        figures: what the criteria of these segments ask for.
        columns: column -> whether the customer is a member, over `figures.source()`.
    """

    def __init__(self, name: str, level: int, figures: MemberFigures) -> None:
        self.name, self.level, self.figures = name, level, figures
        self.columns: dict[str, str] = {}
        self.weight = 0

    def sql(self) -> str:
        """The table, as `name AS (...)`; materialized, so that no other table computes it again."""
        columns = ",\n        ".join(f"{expression} AS {alias}" for alias, expression in self.columns.items())
        tables = ",\n".join(self.figures.tables())
        query = f"SELECT customer_id, as_of,\n        {columns}\n    FROM {self.figures.source()}"  # noqa: S608
        return f"{self.name} AS MATERIALIZED (\n    WITH {tables}\n    {query}\n)"


class Memberships:
    """The tables of memberships of one statement; each segment stands in one of them."""

    def __init__(self, segments: Segments) -> None:
        self.segments = segments
        self.tables: list[MemberTable] = []
        self._places: dict[UUID, tuple[MemberTable, str]] = {}

    def place(self, segment_id: UUID, make: Callable[[], MemberFigures], to_sql: ToSql) -> tuple[MemberTable, str]:
        """Table and column of a segment.

        Args:
            segment_id: a live segment.
            make: gives the figures of a new table.
            to_sql: see ToSql.

        Raises:
            SegmentsUnusable: the segment refers to itself.
        """
        if segment_id not in self._places:
            for one in by_dependence(self.segments, [segment_id]):
                if one not in self._places and self.segments[one].is_live:
                    self._add(one, self.segments[one], make, to_sql)
        return self._places[segment_id]

    def _add(self, segment_id: UUID, segment: KnownSegment, make: Callable[[], MemberFigures], to_sql: ToSql) -> None:
        below = [self._places[one][0].level for one in segment.references if one in self._places]
        level = max(below, default=-1) + 1
        weight = 1 + (0 if segment.criteria is None else sum(1 for _ in predicates(segment.criteria)))
        table = next(
            (one for one in self.tables if one.level == level and one.weight + weight <= PREDICATES_MAX),
            None,
        )
        if table is None:
            table = MemberTable(f"members_{len(self.tables)}", level, make())
            self.tables.append(table)
        column = f"m{len(self._places)}"
        table.weight += weight
        table.columns[column] = table.figures.membership(segment_id, segment, to_sql)
        self._places[segment_id] = (table, column)


class MemberFigures(FigureTables):
    """Notes the segments whose members are asked for."""

    def __init__(self, parameters: Parameters | None = None) -> None:
        super().__init__(parameters)
        self._memberships = Memberships({})
        self._has_pins_as_of = False
        self._member_joins: dict[str, None] = {}
        self._pinned: dict[UUID, str] = {}
        self._asks_existence = False

    def member(self, segment_id: UUID, to_sql: ToSql) -> str:
        """Whether the customer is a member of another segment: its criteria and its pins.

        Raises:
            SegmentsUnusable: the segment refers to itself.
        """
        segment = self._memberships.segments.get(segment_id)
        if segment is None or not segment.is_live:
            return "false"
        table, column = self._memberships.place(segment_id, self._apart, to_sql)
        self._member_joins[table.name] = None
        return f"coalesce({table.name}.{column}, false)"

    @abstractmethod
    def _apart(self) -> MemberFigures:
        """Figures of a table of its own, with the parameters of this statement."""

    def membership(self, segment_id: UUID, segment: KnownSegment, to_sql: ToSql) -> str:
        """Whether the customer is a member of a live segment: by pin, or else by criteria.

        Who does not exist can be a member of a static segment alone.
        """
        pin = self._pin(segment_id)
        if segment.criteria is None:
            return f"coalesce({pin}, false)"
        self._asks_existence = True
        return f"({_EXISTS} AND coalesce({pin}, {to_sql(segment.criteria, self)}))"

    def _pin(self, segment_id: UUID) -> str:
        """True where the customer is pinned into the segment, false where out of it, NULL without a pin."""
        pinned = self.bind(segment_id, "uuid")
        self._pinned[segment_id] = pinned
        return self._column("pinned", f"bool_or(is_included) FILTER (WHERE segment_id = {pinned})")

    def _pin_tables(self) -> list[str]:
        listed = self.bind(sorted(self._pinned), "uuid[]")
        known = " AND created_at <= as_of" if self._has_pins_as_of else ""
        origin = f"""FROM subjects JOIN pins USING (customer_id)
    WHERE segment_id = ANY({listed}){known}
        AND NOT EXISTS (SELECT FROM erasures WHERE erasures.customer_id = pins.customer_id)"""
        return self._aggregated("pinned", origin)

    def _member_joins_sql(self) -> str:
        joins = "".join(f" LEFT JOIN {name} USING (customer_id, as_of)" for name in self._member_joins)
        return joins + (" LEFT JOIN seen USING (customer_id)" if self._asks_existence else "")
