"""What a failure means: wait and try again, or look for the one bad record. A table, and nothing else decides."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import asyncpg
from aiokafka.errors import KafkaError
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from service.adapters.postgres.campaigns.rows import CampaignUnknown
from service.adapters.postgres.faults import AWAY, BUSY, VALUES
from service.core.profiles.codec import StateUnknown


class Verdict(StrEnum):
    """What to do with a batch that failed."""

    RETRY = "retry"  # the outside is away or busy: the same batch again, after a pause
    ISOLATE = "isolate"  # the batch holds something that cannot be applied: halve it


#: Ends by itself, or when somebody mends the outside.
TRANSIENT: Final = (
    *AWAY,
    *BUSY,
    asyncpg.UniqueViolationError,  # another worker stored the same customer or fact first: then it is known
    asyncpg.InvalidCachedStatementError,
    asyncpg.UndefinedTableError,  # not migrated yet
    asyncpg.UndefinedColumnError,
    asyncpg.InvalidPasswordError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.CannotConnectNowError,
    InterfaceError,
    PoolTimeoutError,
    KafkaError,
    OSError,
    TimeoutError,
    # A newer release wrote the profile, or a campaign; it or one like it will take the batch.
    StateUnknown,
    CampaignUnknown,
)


def verdict_of(error: Exception) -> Verdict:
    """Transient faults never lose a record; faults of the database's own are somebody's to mend, not a record's."""
    cause: BaseException | None = error
    if isinstance(error, DBAPIError) and error.orig is not None:
        cause = error.orig.__cause__ or error.orig
    if isinstance(cause, TRANSIENT):
        return Verdict.RETRY
    is_servers = isinstance(cause, asyncpg.PostgresError | DBAPIError) and not isinstance(cause, VALUES)
    return Verdict.RETRY if is_servers else Verdict.ISOLATE
