"""Customers named in a request and what is done to them by hand; for the routes of pins and of static segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.api.errors import ApiError, Fault, refused
from service.api.guard import RETRY_SECONDS
from service.api.services import Services
from service.app.pins import (
    Contention,
    IdsRefused,
    Named,
    PinChange,
    PinReport,
    pin_customers,
    read_ids,
    unpin_all,
)


def named_customers(customer_ids: Any) -> list[Named]:
    """The customers that a body names.

    Raises:
        ApiError: invalid, with the place of every id that cannot be one.
    """
    try:
        return read_ids(customer_ids)
    except IdsRefused as error:
        raise refused([Fault(path, message, "invalid_customer_id") for path, message in error.faults]) from None


async def change_by_hand(services: Services, change: PinChange, customers: Sequence[Named] | None) -> PinReport:
    """Pins or unpins these customers, or (None) unpins all.

    Raises:
        SegmentMissing: no such segment.
        ApiError: unavailable; what was done so far stays, and the same request again does the rest.
    """
    try:
        if customers is None:
            return await unpin_all(services.batches, services.clock, change)
        return await pin_customers(services.batches, services.clock, change, customers)
    except Contention:
        message = "Others are changing the same customers; try again in a few seconds"
        raise ApiError("unavailable", message, headers={"retry-after": str(RETRY_SECONDS)}) from None
