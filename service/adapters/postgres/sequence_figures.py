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
        self._sequences: dict[SequencePredicate, str] = {}
        self._happened = StreamRows(self._parameters)
        self._chains: list[str] = []

    def sequence(self, predicate: SequencePredicate) -> str:
        """Whether it has ever happened."""
        name = self._sequences.get(predicate)
        if name is None:
            name = self._sequences[predicate] = f"sequence_{len(self._sequences)}"
            self._chains += self._chain_tables(name, predicate)
        return f"coalesce({name}.has_happened, false)"

    def _sequence_tables(self) -> list[str]:
        if not self._sequences:
            return []
        if not self._happened.any_flag:
            return self._chains
        rows = self._happened
        happened = f"happened AS (\n    SELECT *, time AS at FROM {rows.sql()}\n    WHERE {rows.any_flag}\n)"  # noqa: S608
        return [happened, *self._chains]

    def _instants(self, step: Step) -> str:
        """When the step happened, as rows (customer_id, as_of, at)."""
        if step.stream is None:
            return self.ordered()
        return f"SELECT customer_id, as_of, at FROM happened WHERE {self._happened.flag(step.stream)}"  # noqa: S608

    def _chain_tables(self, name: str, predicate: SequencePredicate) -> list[str]:
        """Ends of chains up to each step as tables (customer_id, as_of, at, reached); `reached` is the latest start."""
        wanted, barred = _split(predicate.steps)
        within = self.span(predicate.within)
        ends_with_not = bool(barred[-1])
        ended = f" WHERE at + {within} <= as_of" if ends_with_not else ""
        first = f"SELECT *, at AS reached FROM ({self._instants(wanted[0])}) AS first{ended}"  # noqa: S608
        tables = [f"{name}_0 AS ({first})"]
        for place, step in enumerate(wanted[1:]):
            ends = self._carried(f"{name}_{place}", barred[place], self._instants(step), is_forward=True)
            timely = f"SELECT * FROM ({ends}) AS ends WHERE at <= reached + {within}"  # noqa: S608 - as above
            tables.append(f"{name}_{place + 1} AS ({timely})")
        if ends_with_not:
            tables += self._deadline_tables(name, barred, predicate.within)
            found = self._own_deadlines(name, predicate.within)
        else:
            found = f"SELECT DISTINCT customer_id, as_of FROM {name}_{len(wanted) - 1}"  # noqa: S608 - as above
        return [*tables, f"{name} AS (SELECT *, true AS has_happened FROM ({found}) AS found)"]  # noqa: S608 - as above

    def _deadline_tables(self, name: str, barred: Sequence[Sequence[Step]], within: int) -> list[str]:
        """Deadlines with the latest start that reaches each; starts with the latest deadline that each reaches."""
        last = len(barred) - 1
        deadlines = f"SELECT customer_id, as_of, at + {self.span(within + _MICROSECOND)} AS at FROM {name}_0"  # noqa: S608
        asked = self._carried(f"{name}_{last}", barred[last], deadlines, is_forward=True)
        tables = [f"{name}_deadlines AS ({asked})"]
        known = f"{name}_back_{last + 1}"
        tables.append(f"{known} AS (SELECT customer_id, as_of, at, at AS reached FROM {name}_deadlines)")  # noqa: S608
        for place in range(last, -1, -1):
            starts = f"SELECT customer_id, as_of, at FROM {name}_{place}"  # noqa: S608 - built from constants
            carried = self._carried(known, barred[place], starts, is_forward=False)
            known = f"{name}_back_{place}"
            tables.append(f"{known} AS ({carried})")
        return tables

    def _own_deadlines(self, name: str, within: int) -> str:
        """Who has a start that reaches its own deadline."""
        return f"""SELECT DISTINCT customer_id, as_of
        FROM (
            SELECT customer_id, as_of, at AS started_at, reached AS latest_deadline,
                at + {self.span(within + _MICROSECOND)} AS at
            FROM {name}_back_0
        ) AS starts JOIN {name}_deadlines AS deadlines USING (customer_id, as_of, at)
        WHERE started_at <= deadlines.reached AND at <= latest_deadline"""  # noqa: S608 - built from constants

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
