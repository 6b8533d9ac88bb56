"""Figures of customers in SQL, computed from the fact tables alone: those that are asked for, and no more."""

from __future__ import annotations

from service.adapters.postgres.figure_tables import (
    EXISTS,
    FACTS_BY,
    LATEST,
    NOT_GUEST,
    SEEN,
    FigureTables,
    Parameters,
    instant_sql,
    microseconds_sql,
    seen_table,
)
from service.adapters.postgres.known_segments import Segments
from service.adapters.postgres.member_figures import MemberFigures, Memberships
from service.adapters.postgres.sequence_figures import SequenceFigures
from service.core.criteria.fields import LOCATION_PARTS, TRAIT_PREFIX

__all__ = ["EXISTS", "LATEST", "NOT_GUEST", "SEEN", "Figures", "instant_sql", "microseconds_sql", "seen_table"]


class LifeFigures(FigureTables):
    """Notes instants and attributes that customers' own events tell."""

    def __init__(self, parameters: Parameters | None = None) -> None:
        super().__init__(parameters)
        self._kinds: set[str] = set()

    def registered_at(self) -> str:
        """The first registration."""
        return self._moment("min", "registered")

    def last_login_at(self) -> str:
        """The latest login."""
        return self._moment("max", "logged_in")

    def _moment(self, pick: str, kind: str) -> str:
        self._kinds.add(kind)
        return self._column("lives", f"{pick}(time) FILTER (WHERE kind = '{kind}')")

    def attribute(self, field: str) -> str:
        """The jsonb value of customer_type, country, traits.<key>, ...: NULL or a JSON null where it is missing."""
        self._kinds |= {"registered", "updated"}
        holder, key = "data", field
        if field.startswith(TRAIT_PREFIX):
            holder, key = "data -> 'traits'", field.removeprefix(TRAIT_PREFIX)
        elif field in LOCATION_PARTS.values():
            key = "location"
        named = self.bind(key, "text")
        # `?` finds texts in arrays and plain strings too; only an object names a field. Traits that are null as a whole
        # make each of them missing.
        is_named = f"(jsonb_typeof({holder}) = 'object' AND {holder} ? {named} OR jsonb_typeof({holder}) = 'null')"
        found = self._column("lives", f"(array_agg({holder} -> {named} {LATEST}) FILTER (WHERE {is_named}))[1]")
        return f"({found} -> {self.bind(field, 'text')})" if key == "location" and field != key else found

    def _life_tables(self) -> list[str]:
        kinds = ", ".join(f"'{kind}'" for kind in sorted(self._kinds))
        return self._aggregated("lives", f"FROM subjects JOIN customer_facts {FACTS_BY} AND kind IN ({kinds})")


class Figures(SequenceFigures, LifeFigures, MemberFigures):
    """Notes which figures are asked for, then writes the tables (CTEs) that compute them.

    The figures are those of the rows of a table `subjects (customer_id, as_of)`, which the statement must define before
    them, after `seen`; a customer may stand there at several instants. Each method gives a SQL expression for use over
    `source()`. Facts later than `as_of` do not count. Values are bound, never written into the text.
    """

    def __init__(
        self,
        segments: Segments | None = None,
        *,
        has_pins_as_of: bool = False,
        parameters: Parameters | None = None,
        memberships: Memberships | None = None,
    ) -> None:
        """Figures of a statement.

        Args:
            segments: those whose members can be asked for (known_segments.load_segments); others have none.
            has_pins_as_of: only pins that were there at `as_of` count; else all, since what is stored follows a pin at
                once.
            parameters, memberships: of the whole statement, where these figures are a part of it.
        """
        super().__init__(parameters)
        self._is_part = memberships is not None
        self._memberships = memberships or Memberships(segments or {})
        self._has_pins_as_of = has_pins_as_of

    def _apart(self) -> Figures:
        return Figures(has_pins_as_of=self._has_pins_as_of, parameters=self._parameters, memberships=self._memberships)

    def source(self) -> str:
        """What follows FROM: `subjects` with all figures beside each row."""
        joins = "".join(f" LEFT JOIN {table} USING (customer_id, as_of)" for table in self._columns)
        return f"subjects{joins}{self._member_joins_sql()}"

    def tables(self) -> list[str]:
        """The tables that follow `subjects`, each as `name AS (...)`."""
        members = [] if self._is_part else sorted(self._memberships.tables, key=lambda table: table.level)
        return [
            *(table.sql() for table in members),
            *self._order_tables(),
            *self._life_tables(),
            *self._activity_tables(),
            *self._sequence_tables(),
            *self._pin_tables(),
        ]
