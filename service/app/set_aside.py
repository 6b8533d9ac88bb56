"""Customers whose profile cannot be walked, kept from holding up everybody else's timers and backfills."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID


class WalkFailed(Exception):
    """A batch of customers could not be walked; its cause says why."""

    def __init__(self, customer_ids: Sequence[UUID]) -> None:
        super().__init__(f"{len(customer_ids)} customers could not be walked")
        self.customer_ids = customer_ids


class SetAside:
    """Halves batches that fail until the one customer at fault is found, and leaves that one out from then on.

    In memory only: a role that is started again tries once more, so that a mended profile comes back by itself.
    """

    def __init__(self, customers_max: int) -> None:
        self._customers_max = customers_max
        self.size = customers_max
        self.customer_ids: list[UUID] = []

    def note(self, failed: WalkFailed) -> UUID | None:
        """Makes the next batch smaller; the customer at fault, once it stands alone."""
        if len(failed.customer_ids) > 1:
            self.size = max(1, len(failed.customer_ids) // 2)
            return None
        (customer_id,) = failed.customer_ids
        self.customer_ids.append(customer_id)
        self.size = self._customers_max
        return customer_id
