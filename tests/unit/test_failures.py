"""What a failure means: a table."""

from __future__ import annotations

import asyncpg
import pytest
from aiokafka.errors import KafkaConnectionError
from sqlalchemy.exc import InterfaceError

from consumers.failures import Verdict, verdict_of
from service.core.profiles.codec import StateCorrupt, StateUnknown

RETRY = [
    asyncpg.ConnectionDoesNotExistError(),
    asyncpg.InterfaceError("connection is closed"),
    # What asyncpg 0.32 raises where the server dies in the middle of its protocol.
    asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
    asyncpg.DeadlockDetectedError(),
    asyncpg.LockNotAvailableError(),
    asyncpg.DiskFullError(),
    asyncpg.UniqueViolationError(),
    asyncpg.UndefinedColumnError(),
    asyncpg.InsufficientPrivilegeError(),
    InterfaceError("s", None, None),
    KafkaConnectionError(),
    ConnectionResetError(),
    TimeoutError(),
    StateUnknown(),
]
ISOLATE = [asyncpg.DataError(), asyncpg.CheckViolationError(), ValueError(), OverflowError(), StateCorrupt()]


@pytest.mark.parametrize("error", RETRY, ids=lambda error: type(error).__name__)
def test_passes_by_itself(error: Exception) -> None:
    """The outside is away, busy or to be mended by somebody: no record is at fault."""
    assert verdict_of(error) is Verdict.RETRY


@pytest.mark.parametrize("error", ISOLATE, ids=lambda error: type(error).__name__)
def test_one_record_is_at_fault(error: Exception) -> None:
    """The same again would fail again."""
    assert verdict_of(error) is Verdict.ISOLATE
