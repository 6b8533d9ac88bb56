"""Keys of requests that have expired go without a new one coming."""

from __future__ import annotations

import asyncio

from sqlalchemy import func, select

from service.adapters.postgres.idempotency import FORGOTTEN_AT_ONCE
from service.adapters.postgres.operation_tables import idempotency_keys
from service.api.tidying import tidying
from tests.api.support import BIG, Api

KEYS = """
INSERT INTO idempotency_keys (owner, key, id, lease, fingerprint, created_at)
SELECT 'u', 'k' || n, gen_random_uuid(), gen_random_uuid(), '', now() - make_interval(hours => CAST(:hours AS integer))
FROM generate_series(1, CAST(:count AS integer)) n
"""


async def kept(api: Api) -> int:
    """How many keys there are."""
    return int((await api.rows(select(func.count()).select_from(idempotency_keys)))[0][0])


async def until(api: Api, count: int) -> None:
    """Waits until there are so many."""
    while await kept(api) != count:  # noqa: ASYNC110 - the database has no event for it
        await asyncio.sleep(0.02)


async def test_expired_keys_go(api: Api) -> None:
    """All that have expired, however many; those of today stay."""
    await api.run(KEYS, hours=25, count=2 * FORGOTTEN_AT_ONCE + 1)
    body = {"segment_name": "x", "criteria": BIG}
    async with tidying(api.database, pause_seconds=0.05), asyncio.timeout(10):
        await until(api, 0)
        assert (await api.send("POST", json=body, headers={"idempotency-key": "k"})).status_code == 201
        await api.run(KEYS, hours=25, count=1)
        await until(api, 1)


async def test_goes_on_after_a_failure(api: Api) -> None:
    """A failure is waited out."""
    await api.run("ALTER TABLE idempotency_keys RENAME TO other")
    async with tidying(api.database, pause_seconds=0.05), asyncio.timeout(10):
        await asyncio.sleep(0.2)
        await api.run("ALTER TABLE other RENAME TO idempotency_keys")
        await api.run(KEYS, hours=25, count=1)
        await until(api, 0)
