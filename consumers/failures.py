"""What a failure means: wait and try again, or look for the one bad record. A table, and nothing else decides."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import asyncpg
from aiokafka.errors import KafkaError
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError


class Verdict(StrEnum):
    """What to do with a batch that failed."""

    RETRY = "retry"  # the outside is away or busy: the same batch again, after a pause
    ISOLATE = "isolate"  # the batch holds something that cannot be applied: halve it


#: Ends by itself, or when somebody mends the outside.
TRANSIENT: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,  # deadlock, serialization
    asyncpg.InvalidTransactionStateError,  # our transaction was ended under us
    asyncpg.LockNotAvailableError,
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
)


def verdict_of(error: Exception) -> Verdict:
    """Transient faults never lose a record; anything else is looked into record by record."""
    if isinstance(error, DBAPIError) and error.orig is not None and error.orig.__cause__ is not None:
        cause = error.orig.__cause__
        return Verdict.RETRY if isinstance(cause, TRANSIENT) else Verdict.ISOLATE
    return Verdict.RETRY if isinstance(error, TRANSIENT) else Verdict.ISOLATE
