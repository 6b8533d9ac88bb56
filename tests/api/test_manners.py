"""What every answer has: ids of requests, HEAD, compression, other sites, rates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from service.api.app import build_app
from service.app.tokens import Permission
from service.settings import SettingsError, load_settings
from tests.api.support import BASE, NOW, SECRET, Api, Broker, bearer, token

SITE = "https://shop.example.com"


@pytest.fixture
async def strict(shared: Api) -> AsyncIterator[Any]:
    """A client on an application that takes calls of one site and two requests a second."""
    settings = load_settings(
        jwt_secret=SECRET, cors_origins=f"{SITE}, http://localhost:3000", requests_per_second_max=2
    )
    app = build_app(settings, shared.database, lambda: NOW, Broker())
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://api.test") as client:
        yield client


class TestRequestIds:
    """X-Request-Id."""

    async def test_given(self, shared: Api) -> None:
        """The caller's id comes back, in the body of an error too."""
        response = await shared.client.get(BASE, headers={"x-request-id": "shop-17.a_b"})

        assert response.headers["x-request-id"] == response.json()["request_id"] == "shop-17.a_b"

    @pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb", "é".encode(), "<script>"])
    async def test_unusable(self, shared: Api, given: Any) -> None:
        """What could do harm in a log is replaced."""
        response = await shared.client.get(BASE, headers={"x-request-id": given})

        assert len(response.headers["x-request-id"]) == 32
        assert response.json()["request_id"] == response.headers["x-request-id"]


class TestHead:
    """HEAD answers as GET does, without the body."""

    @pytest.mark.parametrize("path", ["/livez", "/docs", BASE, BASE + "/00000000-0000-0000-0000-000000000000"])
    async def test_as_get(self, shared: Api, path: str) -> None:
        """Same status, same headers, no body."""
        headers = {**bearer(token(*Permission)), "accept-encoding": "identity", "x-request-id": "a"}
        head = await shared.client.head(path, headers=headers)
        get = await shared.client.get(path, headers=headers)

        assert head.status_code == get.status_code
        assert head.headers == get.headers
        assert head.content == b""


class TestCompression:
    """Answers of some size are compressed for who takes it."""

    async def test_gzip(self, shared: Api) -> None:
        """A large answer is, a small one is not, and who cannot read it gets neither."""
        for path, accepted, encoding in (
            ("/openapi.json", "gzip", "gzip"),
            ("/openapi.json", "identity", None),
            ("/livez", "gzip", None),
        ):
            response = await shared.client.get(path, headers={"accept-encoding": accepted})
            assert response.headers.get("content-encoding") == encoding
            assert response.json()


class TestOtherSites:
    """Pages of other sites may not call the API unless the settings name them."""

    async def test_named(self, strict: Any) -> None:
        """A site that is named may ask, with its token and its headers."""
        asked = {
            "origin": SITE,
            "access-control-request-method": "PUT",
            "access-control-request-headers": "authorization,if-match,idempotency-key",
        }
        response = await strict.options(BASE, headers=asked)

        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == SITE
        assert "access-control-allow-credentials" not in response.headers
        answered = await strict.get("/livez", headers={"origin": SITE})
        assert "ETag" in answered.headers["access-control-expose-headers"]

    async def test_others(self, strict: Any, shared: Api) -> None:
        """Another site may not, nor any where none is named."""
        asked = {"origin": "https://evil.example", "access-control-request-method": "GET"}

        assert (await strict.options(BASE, headers=asked)).status_code == 400
        assert "access-control-allow-origin" not in (await strict.get("/livez", headers=asked)).headers
        assert (await shared.client.options(BASE, headers=asked)).status_code == 405

    @pytest.mark.parametrize("value", ["*", "shop.example.com", "https://a.example/path", "https://a.example b"])
    def test_setting(self, value: str) -> None:
        """Nobody opens the API to all sites by accident."""
        with pytest.raises(SettingsError, match="SEGMENTS_CORS_ORIGINS"):
            load_settings(cors_origins=value)


class TestRates:
    """So many requests a second for each token."""

    async def test_too_many(self, strict: Any) -> None:
        """The third is refused with when to come again; another caller is not."""
        one, other = bearer(token(*Permission)), bearer(token(*Permission, sub="u-2"))
        statuses = [(await strict.get(BASE, headers=one)).status_code for _ in range(6)]
        refused = await strict.get(BASE, headers=one)

        assert statuses[:2] == [200, 200]
        assert 429 in statuses
        assert refused.headers["retry-after"] == "1"
        assert "a second" in refused.json()["message"]
        assert (await strict.get(BASE, headers=other)).status_code == 200

    async def test_any_number(self, shared: Api) -> None:
        """0 lifts the limit."""
        app = build_app(
            load_settings(jwt_secret=SECRET, requests_per_second_max=0), shared.database, lambda: NOW, Broker()
        )
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://api.test") as client:
            for _ in range(20):
                assert (await client.get(BASE, headers=bearer(token(*Permission)))).status_code == 200
