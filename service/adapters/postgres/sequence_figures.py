"""Sequences in SQL: whether one thing and then another, or not another, ever happened within a span.

A chain is one instant for each step that must happen, ascending; between two neighbours lies nothing of what must not
happen there, so neighbours stand in one gap of the timeline. Pairs of instants are never listed, for they would be the
square of what happened:

- Without a `not` at the end a chain is good when it ends within the span. Of all chains that end at an instant the one
  that starts latest leaves the most room, so one start for each end is enough.
- A `not` at the end is one more gap, from the last step to the deadline, which lies a microsecond after the span. A
  chain must reach the deadline of its own start. That is so exactly where the start is not after the latest start that
  reaches this deadline, and the deadline is not after the latest deadline that this start reaches. For where of two
  chains one starts first and ends last, some two neighbours of it enclose those of the other; so in this gap each can
  go on as the other does, and each start reaches both ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from service.adapters.postgres.activity_figures import ActivityFigures, StreamRows
from service.adapters.postgres.figure_tables import Parameters
from service.adapters.postgres.order_figures import OrderFigures
from service.core.criteria.model import SequencePredicate, Step

#: Ranks of what lies at one instant: whoever asks sees neither what is barred then nor what is known then.
_ASKING, _BARRED, _KNOWN = 0, 1, 2
_MICROSECOND: Final = 1


class SequenceFigures(OrderFigures, ActivityFigures):
    """Notes the sequences that are asked for."""

    def __init__(self, parameters: Parameters | None = None) -> None:
        super().__init__(parameters)
        self._sequences: dict[SequencePredicate, int] = {}
        self._found: list[str] = []
        self._happened = StreamRows(self._parameters)

    def sequence(self, predicate: SequencePredicate) -> str:
        """Whether it has ever happened."""
        number = self._sequences.get(predicate)
        if number is None:
            number = self._sequences[predicate] = len(self._sequences)
            chains = self._chains(predicate)
            self._found.append(f"SELECT customer_id, as_of, {number} AS number FROM (\n{chains}\n) AS found")  # noqa: S608
        return f"coalesce({self._column('lasting', f'bool_or(number = {number})')}, false)"

    def _sequence_tables(self) -> list[str]:
        """One table of who has had which sequence; a table and a join for each would cost the planner its square."""
        if not self._sequences:
            return []
        rows, tables = self._happened, []
        if rows.any_flag:
            happened = f"SELECT *, time AS at FROM {rows.sql()}\n    WHERE {rows.any_flag}"  # noqa: S608 - from constants
            tables.append(f"happened AS (\n    {happened}\n)")
        found = "\nUNION ALL ".join(self._found)
        return [*tables, *self._aggregated("lasting", f"FROM (\n{found}\n    ) AS found")]

    def _instants(self, step: Step) -> str:
        """When the step happened, as rows (customer_id, as_of, at)."""
        if step.stream is None:
            return self.ordered()
        return f"SELECT customer_id, as_of, at FROM happened WHERE {self._happened.flag(step.stream)}"  # noqa: S608

    def _chains(self, predicate: SequencePredicate) -> str:
        """Rows (customer_id, as_of) of those with a good chain.

        The tables within are (customer_id, as_of, at, reached): the ends of chains up to each step, and the latest
        start that reaches each end.
        """
        wanted, barred = _split(predicate.steps)
        within = self.span(predicate.within)
        ended = f" WHERE at + {within} <= as_of" if barred[-1] else ""
        tables = [f"ends_0 AS (SELECT *, at AS reached FROM ({self._instants(wanted[0])}) AS first{ended})"]  # noqa: S608
        for place, step in enumerate(wanted[1:]):
            ends = self._carried(f"ends_{place}", barred[place], self._instants(step), is_forward=True)
            tables.append(f"ends_{place + 1} AS (SELECT * FROM ({ends}) AS ends WHERE at <= reached + {within})")  # noqa: S608
        if barred[-1]:
            tables += self._deadlines(barred, predicate.within)
            found = self._own_deadlines(predicate.within)
        else:
            found = f"SELECT DISTINCT customer_id, as_of FROM ends_{len(wanted) - 1}"  # noqa: S608 - as above
        listed = ",\n".join(tables)
        return f"WITH {listed}\n{found}"

    def _deadlines(self, barred: Sequence[Sequence[Step]], within: int) -> list[str]:
        """Deadlines, and back from there the ends of chains, `reached` then being the latest deadline of each."""
        last = len(barred) - 1
        deadlines = f"SELECT customer_id, as_of, at + {self.span(within + _MICROSECOND)} AS at FROM ends_0"  # noqa: S608
        tables = [
            f"deadlines AS ({self._carried(f'ends_{last}', barred[last], deadlines, is_forward=True)})",
            f"from_{last + 1} AS (SELECT customer_id, as_of, at, at AS reached FROM deadlines)",  # noqa: S608 - as above
        ]
        for place in range(last, -1, -1):
            asking = f"SELECT customer_id, as_of, at FROM ends_{place}"  # noqa: S608 - built from constants
            carried = self._carried(f"from_{place + 1}", barred[place], asking, is_forward=False)
            tables.append(f"from_{place} AS ({carried})")
        return tables

    def _own_deadlines(self, within: int) -> str:
        """Who has a start that reaches its own deadline.

        Grouped, not joined: the planner might join by customer alone, and compare each start with each deadline.
        """
        return f"""SELECT DISTINCT customer_id, as_of
FROM (
    SELECT customer_id, as_of, at + {self.span(within + _MICROSECOND)} AS deadline, at AS started_at,
        reached AS latest_deadline, NULL AS latest_start
    FROM from_0
    UNION ALL SELECT customer_id, as_of, at, NULL, NULL, reached FROM deadlines
) AS both_ways
GROUP BY customer_id, as_of, deadline
HAVING max(started_at) <= max(latest_start) AND deadline <= max(latest_deadline)"""  # noqa: S608 - built from constants

    def _carried(self, known: str, barred: Sequence[Step], asking: str, *, is_forward: bool) -> str:
        """Rows (customer_id, as_of, at, reached): for who asks the latest that is `reached` by what is known.

        Args:
            known: a table (customer_id, as_of, at, reached).
            barred: steps of which nothing may lie strictly between what is known and who asks.
            asking: rows (customer_id, as_of, at); those that nothing reaches are left out.
            is_forward: what is known lies strictly before who asks; else strictly after.
        """
        order = f"ORDER BY at {'ASC' if is_forward else 'DESC'}, rank"
        ranked = [(_ASKING, asking), *((_BARRED, self._instants(step)) for step in barred)]
        rows = "\n        UNION ALL ".join(
            [
                f"SELECT customer_id, as_of, at, {_KNOWN} AS rank, reached FROM {known}",  # noqa: S608 - as above
                *(f"SELECT customer_id, as_of, at, {rank}, NULL FROM ({one}) AS one" for rank, one in ranked),  # noqa: S608
            ]
        )
        gap = f"count(*) FILTER (WHERE rank = {_BARRED}) OVER (PARTITION BY customer_id, as_of {order})"
        # Without anything barred the whole timeline is one gap, and a sort is spared.
        gaps = f"SELECT *, {gap if barred else '0'} AS gap FROM (\n        {rows}\n    ) AS ranked"  # noqa: S608
        partition = "customer_id, as_of, gap" if barred else "customer_id, as_of"
        return f"""
    SELECT customer_id, as_of, at, latest AS reached
    FROM (SELECT *, max(reached) OVER (PARTITION BY {partition} {order}) AS latest FROM ({gaps}) AS gaps) AS carried
    WHERE rank = {_ASKING} AND latest IS NOT NULL
"""  # noqa: S608 - built from constants and parameters


def _split(steps: Sequence[Step]) -> tuple[list[Step], list[list[Step]]]:
    """The steps that must happen, and for each those that must not happen after it and before the next."""
    wanted: list[Step] = []
    barred: list[list[Step]] = []
    for step in steps:
        if step.is_not:
            barred[-1].append(step)
        else:
            wanted.append(step)
            barred.append([])
    return wanted, barred
