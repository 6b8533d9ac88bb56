"""Faults of the database that pass by themselves: what everybody who waits and tries again goes by."""

from __future__ import annotations

from typing import Final

import asyncpg

#: The database is out of reach, or the driver cannot say what became of its connection.
AWAY: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the driver lost its place when the connection broke
    asyncpg.OperatorInterventionError,
)
#: It answers, and has no room or no peace for this transaction at present.
BUSY: Final = (
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,  # deadlock, serialization
    asyncpg.InvalidTransactionStateError,  # our transaction was ended under us
    asyncpg.LockNotAvailableError,
)
#: It refuses these values, whoever sends them again.
VALUES: Final = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)
