"""What the tables (CTEs) of figures are made of: customers, instants, parameters, columns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final

#: The UUID of zeros: orders without a customer stand under it, and it is no customer.
NOT_GUEST: Final = "customer_id <> '00000000-0000-0000-0000-000000000000'"


def seen_table(limit: str = "true") -> str:
    """The table `seen`: who is known, since when, and from when on erased.

    Args:
        limit: a condition on customer_id, where not all customers are asked for.
    """
    return f"""seen AS (
    SELECT customer_id, min(time) AS first_at, min(time) FILTER (WHERE is_end) AS ended_at
    FROM (
        SELECT customer_id, time, false AS is_end FROM order_facts
        UNION ALL SELECT customer_id, time, false FROM refunds
        UNION ALL SELECT customer_id, time, false FROM activities
        UNION ALL SELECT customer_id, time, kind = 'deleted' FROM customer_facts
    ) AS facts
    WHERE {NOT_GUEST} AND {limit}
    GROUP BY customer_id
)"""  # noqa: S608 - built from constants and parameters


SEEN: Final = seen_table()
#: Whether a customer of `seen` exists at `as_of`; false where the customer is not in `seen` at all.
EXISTS: Final = "coalesce(first_at <= as_of AND (ended_at IS NULL OR ended_at > as_of), false)"

#: The latest fact first: by time, then sequence (missing is first, so last here), then event id (CONTRACT 3.1).
LATEST: Final = "ORDER BY time DESC, sequence DESC NULLS LAST, event_id DESC"
#: What follows `subjects JOIN <facts>`: the facts of each customer up to the instant.
FACTS_BY: Final = "USING (customer_id) WHERE time <= as_of"


def instant_sql(microseconds: str) -> str:
    """SQL for the timestamptz of a bigint expression, to the microsecond; what lies outside the calendar is infinite.

    Whole seconds and the rest apart: a bigint becomes a double when it multiplies an interval, which is exact only
    below 2^53, that is for the years 1684 to 2255 in microseconds.
    """
    return (
        f"CASE WHEN {microseconds} < -62135596800000000 THEN timestamptz '-infinity'"
        f" WHEN {microseconds} > 253402300799999999 THEN timestamptz 'infinity'"
        f" ELSE timestamptz '1970-01-01 00:00:00+00' + {microseconds} / 1000000 * interval '1 second'"
        f" + {microseconds} % 1000000 * interval '1 microsecond' END"
    )


def microseconds_sql(instant: str) -> str:
    """SQL for the microseconds since the epoch of a finite timestamptz expression, exactly."""
    return f"CAST(extract(epoch FROM {instant}) * 1000000 AS bigint)"


class Parameters:
    """The values of one statement; bound, never written into its text."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._names: dict[tuple[str, str, object], str] = {}

    def bind(self, value: object, kind: str) -> str:
        """A parameter of this SQL type with this value; equal ones are bound once."""
        key = (kind, type(value).__name__, tuple(value) if isinstance(value, list) else value)
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = f"p{len(self._names)}"
            self.values[name] = value
        return f"CAST(:{name} AS {kind})"

    def span(self, microseconds: int) -> str:
        """A length of time; below 2^53 microseconds the product is exact."""
        return f"{self.bind(microseconds, 'bigint')} * interval '1 microsecond'"


class FigureTables(ABC):
    """Tables of figures, one row for each customer and instant (customer_id, as_of) of the table `subjects`.

    Subclasses note which figures are asked for, as columns; equal expressions are one column.
    """

    def __init__(self, parameters: Parameters | None = None) -> None:
        self._parameters = parameters or Parameters()
        self._columns: dict[str, dict[str, str]] = {}

    @property
    def parameters(self) -> dict[str, Any]:
        """Names and values of the parameters, those of every part of the statement included."""
        return self._parameters.values

    @abstractmethod
    def source(self) -> str:
        """What follows FROM: `subjects` with all figures beside each row."""

    @abstractmethod
    def tables(self) -> list[str]:
        """The tables that follow `subjects`, each as `name AS (...)`."""

    def bind(self, value: object, kind: str) -> str:
        """A parameter of this SQL type with this value; equal ones are bound once."""
        return self._parameters.bind(value, kind)

    def span(self, microseconds: int) -> str:
        """A length of time."""
        return self._parameters.span(microseconds)

    def ago(self, span: int) -> str:
        """The instant `as_of` minus a span in microseconds."""
        return f"as_of - {self.span(span)}"

    def _within(self, window: int | None) -> str:
        """What limits a figure to a window of microseconds; nothing without one."""
        return f" AND time > {self.ago(window)}" if window else ""

    def _column(self, table: str, expression: str) -> str:
        columns = self._columns.setdefault(table, {})
        return f"{table}.{columns.setdefault(expression, f'{table[0]}{len(columns)}')}"

    def _aggregated(self, table: str, origin: str) -> list[str]:
        """The table of these columns over `origin`, where there are any."""
        columns = self._columns.get(table)
        return [aggregate_table(table, columns, origin)] if columns else []


def aggregate_table(name: str, columns: dict[str, str], origin: str, key: str = "", having: str = "") -> str:
    """A table of aggregates by customer and instant, and by one more key where it is given.

    Args:
        columns: expression -> name.
        origin: begins with FROM.
    """
    keys = f"customer_id, as_of, {key}" if key else "customer_id, as_of"
    listed = ",\n        ".join(f"{expression} AS {alias}" for expression, alias in columns.items())
    return f"{name} AS (\n    SELECT {keys},\n        {listed}\n    {origin}\n    GROUP BY {keys} {having}\n)"
