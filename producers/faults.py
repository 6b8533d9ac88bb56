"""What timers and backfills do about customers that cannot be walked."""

from __future__ import annotations

import asyncio

import structlog

from service.adapters.postgres import counters
from service.adapters.postgres.faults import AWAY, BUSY
from service.app.set_aside import SetAside, WalkFailed
from service.bootstrap import Runtime
from service.core.profiles.codec import StateUnknown

log = structlog.get_logger()

PAUSE_SECONDS = 0.5
#: The database is away or busy: no customer's fault.
TRANSIENT = (*AWAY, *BUSY, OSError, TimeoutError, StateUnknown)  # the last: a newer release wrote the profile


async def set_aside(runtime: Runtime, aside: SetAside, failed: WalkFailed) -> None:
    """Looks for the one customer at fault; counts and reports whom it leaves out.

    Raises:
        Exception: the cause, where it passes by itself.
    """
    cause = failed.__cause__
    if isinstance(cause, TRANSIENT):
        raise cause
    customer_id = aside.note(failed)
    if customer_id is None:
        return
    log.error(
        "customer left out: the profile cannot be walked", customer_id=str(customer_id), error=type(cause).__name__
    )
    async with runtime.database.session() as connection:
        await counters.count(connection, counters.CUSTOMERS_SET_ASIDE)
    await asyncio.sleep(PAUSE_SECONDS)
