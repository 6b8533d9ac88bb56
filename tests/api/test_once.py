"""Idempotency-Key: sent again, answered again, done once."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, insert, select, update

from service.adapters.postgres import idempotency, tables
from service.adapters.postgres.operation_tables import idempotency_keys
from service.api import segments as routes
from service.app.tokens import Permission
from tests.api.support import BASE, BIG, Api, bearer, token

NEW = {"segment_name": "Big spenders", "criteria": BIG}


async def post(api: Api, key: str | None, path: str = "", sub: str = "u-1", **options: Any) -> Any:
    """A POST with this key."""
    headers = {**bearer(token(*Permission, sub=sub)), **({"idempotency-key": key} if key else {})}
    return await api.client.post(BASE + path, headers=headers, **{"json": NEW, **options})


async def segments(api: Api) -> int:
    """How many segments there are."""
    return (await api.rows(select(func.count()).select_from(tables.customer_segments)))[0][0]


async def test_answered_again(api: Api) -> None:
    """The same request with the same key gets the first answer, byte for byte, and makes nothing."""
    first = await post(api, '"k-1"')
    again = await post(api, "k-1")  # quoted or bare, it is the same key

    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert (again.headers["location"], again.headers["etag"]) == (first.headers["location"], first.headers["etag"])
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert await segments(api) == 1


async def test_keys_are_the_callers_own(api: Api) -> None:
    """Another caller's key, or none, is another request."""
    await post(api, "k-1")
    await post(api, "k-1", sub="u-2")
    await post(api, None)

    assert await segments(api) == 3


async def test_another_request(api: Api) -> None:
    """A key that came with another body, address or parameter is refused."""
    made = (await post(api, "k-1")).json()["data"]["id"]

    for path, body in (("", {**NEW, "description": "x"}), (f"/{made}/customers", {"customer_ids": ["C-1"]})):
        response = await post(api, "k-1", path, json=body)
        assert response.status_code == 422
        assert response.json()["errors"][0]["path"] == "Idempotency-Key"

    assert await segments(api) == 1


async def test_two_at_once(api: Api) -> None:
    """Of many at once one runs; the others get its answer or are told to wait."""
    responses = await asyncio.gather(*(post(api, "k-1") for _ in range(6)))

    assert await segments(api) == 1
    assert {one.status_code for one in responses} <= {201, 409}
    assert len({one.content for one in responses if one.status_code == 201}) == 1


async def test_failures_are_not_kept(api: Api) -> None:
    """Who mends the request may send it with the same key."""
    wrong = await post(api, "k-1", json={**NEW, "criteria": {"total_orders": 5}})
    right = await post(api, "k-1")

    assert (wrong.status_code, right.status_code) == (422, 201)


@pytest.mark.parametrize("seconds", [0, idempotency.LEASE_SECONDS + 1])
async def test_cut_short(api: Api, seconds: int) -> None:
    """A process that died between doing and answering: wait for its lease, then go on with what it made."""
    first = await post(api, "k-1", json={**NEW, "segment_type": "static", "criteria": None, "customer_ids": ["C-1"]})
    ago = func.now() - func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    died = update(idempotency_keys).values(status=None, leased_at=ago)
    async with api.database.transaction() as connection:
        await connection.execute(died)

    again = await post(api, "k-1", json={**NEW, "segment_type": "static", "criteria": None, "customer_ids": ["C-1"]})

    assert await segments(api) == 1
    if seconds:
        assert again.json()["data"]["id"] == first.json()["data"]["id"]
        assert again.json()["data"]["pins"]["unchanged"] == 1
        assert first.json()["data"]["pins"]["added"] == 1
    else:
        assert again.status_code == 409
        assert "retry-after" in again.headers


async def test_failed_half_way(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that failed after it had made something goes on with that when it comes again."""
    body = {**NEW, "segment_type": "static", "criteria": None, "customer_ids": ["C-1"]}

    async def fail(*_: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as broken:
        broken.setattr(routes, "change_by_hand", fail)
        failed = await post(api, "k-1", json=body)
    again = await post(api, "k-1", json=body)

    assert (failed.status_code, again.status_code) == (503, 201)
    assert again.json()["data"]["id"] in failed.json()["message"]
    assert again.json()["data"]["pins"]["added"] == 1
    assert await segments(api) == 1


async def test_expired(api: Api) -> None:
    """After a day a key is new, and forgotten."""
    await post(api, "k-1")
    old = func.now() - func.make_interval(0, 0, 0, 0, idempotency.KEY_HOURS_MAX, 1)
    async with api.database.transaction() as connection:
        await connection.execute(update(idempotency_keys).values(created_at=old))
        values = {"owner": "o", "key": "k", "id": uuid4(), "lease": uuid4(), "fingerprint": b"", "created_at": old}
        await connection.execute(insert(idempotency_keys).values(**values))

    response = await post(api, "k-1")

    assert "idempotency-replayed" not in response.headers
    assert await segments(api) == 2
    assert len(await api.rows(select(idempotency_keys))) == 1


@pytest.mark.parametrize("key", ["", '""', "x" * 256, '"a', "a b", "a\tb", "\x7f"])
async def test_unusable_key(shared: Api, key: str) -> None:
    """A key that is none is refused, for it would not do what the caller thinks."""
    headers = {**bearer(token(*Permission)), "idempotency-key": key}
    response = await shared.client.post(BASE, headers=headers, json=NEW)

    assert response.status_code == 400
    assert "Idempotency-Key" in response.json()["message"]


async def test_token_first(api: Api) -> None:
    """An answer is not given to who may not ask any more."""
    await post(api, "k-1")
    headers = {**bearer(token(Permission.READ)), "idempotency-key": "k-1"}

    assert (await api.client.post(BASE, headers=headers, json=NEW)).status_code == 403
    assert (await api.client.post(BASE, headers={"idempotency-key": "k-1"}, json=NEW)).status_code == 401


async def test_large_body(api: Api) -> None:
    """A key does not lift the limit of a route."""
    response = await post(api, "k-1", content=b" " * 1_100_000, json=None)

    assert response.status_code == 413
    assert await api.rows(select(idempotency_keys)) == []
