"""How many records one transaction takes: as many as are applied in about a second."""

from __future__ import annotations

from typing import Final

#: What a batch may take. Longer ones hold their customers' locks, and what waits for them, for longer than they save.
SECONDS_AIM: Final = 0.8
#: A worker begins with it, before it knows its pace.
RECORDS_FIRST: Final = 4_000
#: Fewer say nothing of the pace, for fixed costs count most in them; and no batch is made smaller than that.
RECORDS_MIN: Final = 500


class BatchSize:
    """Large batches are cheaper, for a customer is read and stored once in each; small definitions make them fast.

    Args:
        most: BATCH_EVENTS_MAX.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.records = min(RECORDS_FIRST, most)

    def applied(self, records: int, seconds: float) -> None:
        """So many records took so long, waits for the relay and the database included; the next batch is at most twice
        as large.
        """
        if records < min(RECORDS_MIN, self.records) or seconds <= 0:
            return
        fitting = int(records / seconds * SECONDS_AIM)
        self.records = min(self._most, max(RECORDS_MIN, min(fitting, 2 * self.records)))
