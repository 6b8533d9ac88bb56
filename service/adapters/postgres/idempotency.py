"""Requests that carry an Idempotency-Key, and what was answered to them (draft-ietf-httpapi-idempotency-key-header).

A request is claimed before it runs and its answer kept afterwards. What a process leaves behind that died in between is
a claim whose lease runs out; the request then runs again under the same id, which it may name new things with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import delete, func, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.operation_tables import idempotency_keys

KEY_HOURS_MAX: Final = 24
#: How long a request that was cut short keeps its repetition waiting.
LEASE_SECONDS: Final = 120
#: Expired keys are removed as new ones come and now and then, some at a time.
FORGOTTEN_AT_ONCE: Final = 100

_key: Final = idempotency_keys.c
_EXPIRED: Final = _key.created_at < func.now() - text(f"interval '{KEY_HOURS_MAX} hours'")
_FREE: Final = _key.status.is_(None) & (_key.leased_at < func.now() - text(f"interval '{LEASE_SECONDS} seconds'"))


@dataclass(frozen=True)
class Claim:
    """The right to run a request: `id` is the same whenever it runs again, `lease` is this run's own."""

    id: UUID
    lease: UUID


@dataclass(frozen=True)
class KeptAnswer:
    """What was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class KeyReused(Exception):
    """The key came with another request before."""


class KeyBusy(Exception):
    """The same request is still running."""


async def claim(connection: AsyncConnection, owner: str, key: str, fingerprint: bytes) -> Claim | KeptAnswer:
    """Claims a request, or finds what was answered to it.

    Args:
        connection: of a transaction of its own.
        owner: whose key it is; keys of others are other keys.
        key: as the request has it.
        fingerprint: of the whole request.

    Raises:
        KeyReused: the key came with another request.
        KeyBusy: the request is running.
    """
    await forget_expired(connection)
    fresh = Claim(uuid4(), uuid4())
    new = {"owner": owner, "key": key, "id": fresh.id, "lease": fresh.lease, "fingerprint": fingerprint}
    await connection.execute(delete(idempotency_keys).where(_key.owner == owner, _key.key == key, _EXPIRED))
    statement = insert(idempotency_keys).values(**new).on_conflict_do_nothing().returning(_key.id)
    if (await connection.execute(statement)).scalar_one_or_none() is not None:
        return fresh
    mine = (_key.owner == owner) & (_key.key == key)
    found = (await connection.execute(select(idempotency_keys).where(mine).with_for_update())).one_or_none()
    if found is None:
        raise KeyBusy  # released just now
    if found.fingerprint != fingerprint:
        raise KeyReused
    if found.status is not None:
        return KeptAnswer(found.status, found.headers, found.body)
    taken = update(idempotency_keys).where(mine, _FREE).values(lease=fresh.lease, leased_at=func.now())
    if not (await connection.execute(taken)).rowcount:
        raise KeyBusy
    return Claim(found.id, fresh.lease)


async def keep(connection: AsyncConnection, claim: Claim, answer: KeptAnswer) -> None:
    """Keeps the answer, unless another run has taken over."""
    values = {"status": answer.status, "headers": dict(answer.headers), "body": answer.body}
    await connection.execute(update(idempotency_keys).where(_key.lease == claim.lease).values(**values))


async def forget(connection: AsyncConnection, claim: Claim) -> None:
    """Forgets a request that changed nothing, so that it may come again mended."""
    await connection.execute(delete(idempotency_keys).where(_key.lease == claim.lease))


async def release(connection: AsyncConnection, claim: Claim) -> None:
    """Ends the lease of a request that failed, so that the same one may run again at once, under the same id."""
    ended = update(idempotency_keys).where(_key.lease == claim.lease)
    await connection.execute(ended.values(leased_at=func.to_timestamp(0)))


async def forget_expired(connection: AsyncConnection) -> int:
    """Removes up to FORGOTTEN_AT_ONCE keys that have expired; gives their number."""
    places = tuple_(_key.owner, _key.key)
    some = select(_key.owner, _key.key).where(_EXPIRED).limit(FORGOTTEN_AT_ONCE).with_for_update(skip_locked=True)
    return (await connection.execute(delete(idempotency_keys).where(places.in_(some)))).rowcount
