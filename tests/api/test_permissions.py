"""Who may do what."""

from __future__ import annotations

import base64
import json
import re
import time
from typing import Any
from uuid import uuid4

import httpx2
import jwt
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from sqlalchemy import select

from service.adapters.postgres import tables
from service.api.app import build_app
from service.api.auth import PUBLIC_PATHS, RouteWithoutPermission, check_routes, permission_of
from service.app.tokens import Permission
from service.settings import SettingsError, load_settings
from tests.api.campaigns.support import Campaigns
from tests.api.support import BASE, BIG, SECRET, Api, add_letter, add_many, bearer, token

#: Every route that is not public, with the permission it must ask for and a body that does.
ROUTES = [
    ("POST", "", Permission.CREATE, {"segment_name": "New", "criteria": BIG}),
    ("GET", "", Permission.READ, None),
    ("GET", "/{id}", Permission.READ, None),
    ("PUT", "/{id}", Permission.UPDATE, {"segment_name": "Other"}),
    ("DELETE", "/{id}", Permission.DELETE, None),
    ("GET", "/{id}/customers", Permission.READ, None),
    ("GET", "/{id}/export", Permission.READ, None),
    ("POST", "/{id}/import", Permission.UPDATE, b"customer_id\nC-1\n"),
    ("GET", "/{id}/history", Permission.READ, None),
    ("GET", "/{id}/versions", Permission.READ, None),
    ("GET", "/{id}/analytics", Permission.READ, None),
    ("GET", "/{id}/flows", Permission.READ, None),
    ("GET", "/{id}/cohorts", Permission.READ, None),
    ("GET", "/cohorts", Permission.READ, None),
    ("GET", "/overlap?segments={id},{other}", Permission.READ, None),
    ("GET", "/customers/{customer}", Permission.READ, None),
    ("GET", "/{id}/customers/{customer}/explain", Permission.READ, None),
    ("POST", "/{id}/customers", Permission.UPDATE, {"customer_ids": ["C-1"]}),
    ("DELETE", "/{id}/customers", Permission.UPDATE, {"customer_ids": ["C-1"]}),
    ("GET", "/{id}/pins", Permission.READ, None),
    ("DELETE", "/{id}/pins", Permission.UPDATE, None),
    ("POST", "/{id}/backfill/cancel", Permission.UPDATE, None),
    ("POST", "/{id}/refresh", Permission.UPDATE, None),
    ("GET", "/dead-letters", Permission.READ, None),
    ("GET", "/dead-letters/{letter}", Permission.READ, None),
    ("POST", "/dead-letters/redrive", Permission.UPDATE, {"reason": "none of this reason"}),
    ("POST", "/{id}/campaigns", Permission.CREATE, {"campaign_name": "News", "campaign_type": "email"}),
    ("GET", "/{id}/campaigns", Permission.READ, None),
    ("GET", "/campaigns/{campaign}", Permission.READ, None),
    ("PUT", "/campaigns/{campaign}", Permission.UPDATE, {"campaign_name": "Other news"}),
    ("DELETE", "/campaigns/{campaign}", Permission.DELETE, None),
    ("GET", "/campaigns/{campaign}/recipients", Permission.READ, None),
    ("GET", "/campaigns/{campaign}/performance", Permission.READ, None),
    ("POST", "/campaigns/{campaign}/preview", Permission.READ, None),
    ("POST", "/campaigns/{campaign}/schedule", Permission.SEND, {"scheduled_at": "2023-11-15T00:00:00Z"}),
    ("POST", "/campaigns/{campaign}/send", Permission.SEND, None),
    ("POST", "/campaigns/{sending}/pause", Permission.SEND, None),
    ("POST", "/campaigns/{paused}/resume", Permission.SEND, None),
    ("POST", "/campaigns/{campaign}/cancel", Permission.SEND, None),
    ("POST", "/preview", Permission.READ, {"criteria": BIG}),
    ("POST", "/backtest", Permission.READ, {"criteria": BIG, "from": "2023-01-01", "to": "2023-01-02"}),
]
#: A campaign that is in the state that its route is for.
STATES = re.compile("{(sending|paused)}")
CLAIMS: dict[str, Any] = {
    "iss": "customer-segments",
    "aud": "customer-segments",
    "sub": "u-1",
    "name": "Ursula",
    "permissions": list(Permission),
}


def sent(body: Any) -> dict[str, Any]:
    """How a body is sent: bytes as they are, all else as JSON."""
    return {"content": body} if isinstance(body, bytes) else {"json": body}


def signed(secret: str = SECRET, algorithm: str = "HS256", **changes: Any) -> str:
    """A token with these claims changed; None leaves one out."""
    now = int(time.time())
    claims = {**CLAIMS, "iat": now, "exp": now + 60, **changes}
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, secret, algorithm=algorithm)


async def add_campaigns(api: Api, segment: str) -> dict[str, str]:
    """A campaign that may begin, one that sends and one that is paused."""
    made = Campaigns(api, segment)
    names = {name: (await made.create())["id"] for name in ("campaign", "sending", "paused")}
    for state in ("sending", "paused"):
        await made.force(names[state], state)
    return names


async def read(api: Api, value: str) -> httpx2.Response:
    """A request with this token alone."""
    return await api.client.get(BASE, headers=bearer(value))


class TestPermissions:
    """Routes and permissions."""

    @pytest.mark.parametrize(("method", "path", "needed", "body"), ROUTES)
    async def test_matrix(self, api: Api, method: str, path: str, needed: Permission, body: Any) -> None:
        """Each route opens to its own permission and to no other, nor to all the others together."""
        await add_many(api.database, str(uuid4()), 1)  # so that a backfill runs
        segment = await api.create()
        (somebody,) = (await api.rows(select(tables.customers.c.customer_id)))[0]
        names = {"id": segment["id"], "other": uuid4(), "customer": somebody, "letter": await add_letter(api)}
        if "/campaigns/" in path:
            names |= await add_campaigns(api, segment["id"])
        if "{other}" in path:
            names["other"] = (await api.create(segment_name="Other"))["id"]
        address = BASE + path.format(**names)
        others = [one for one in Permission if one is not needed]
        for held in [[], *([one] for one in others), others]:
            response = await api.client.request(method, address, **sent(body), headers=bearer(token(*held)))

            assert response.status_code == 403
            assert str(needed) in response.json()["message"]

        response = await api.client.request(method, address, **sent(body), headers=bearer(token(needed)))

        assert response.status_code in (200, 201)

    async def test_matrix_is_complete(self, shared: Api) -> None:
        """The matrix above knows every route and method that is not public."""
        served = {
            (
                method,
                route.path.removeprefix(BASE).rstrip("/").replace("{segment}", "{id}").replace(":path", ""),
                permission_of(route),
            )
            for route in iter_route_contexts(shared.app.routes)
            if route.path not in PUBLIC_PATHS
            for method in route.methods or ()
        }
        # tests/api/events and tests/api/campaigns/test_tests.py show that these are guarded
        others = {
            ("POST", "/api/events", Permission.WRITE_EVENTS),
            ("POST", "/campaigns/{campaign}/test", Permission.SEND),
        }

        known = {(method, path.partition("?")[0], needed) for method, path, needed, _ in ROUTES}
        assert served == {(method, STATES.sub("{campaign}", path), needed) for method, path, needed in known} | others

    async def test_public_routes_are_open(self, shared: Api) -> None:
        """Health and documentation need no token."""
        for path in ("/livez", "/readyz", "/docs", "/openapi.json", "/docs/openapi.json", "/docs/assets/start.js"):
            assert (await shared.client.get(path)).status_code == 200, path

    def test_a_route_without_permission_stops_the_start(self) -> None:
        """A route that declares nothing is refused when the application is made."""
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        app.add_api_route("/open", lambda: None)

        with pytest.raises(RouteWithoutPermission, match="/open"):
            check_routes(app)

    async def test_no_secret_stops_the_start(self, shared: Api) -> None:
        """Without a secret to check tokens with there is no application."""
        with pytest.raises(SettingsError, match="SEGMENTS_JWT_SECRET"):
            build_app(load_settings(), shared.database, lambda: 0, shared.broker)


class TestTokens:
    """Which tokens are accepted."""

    async def test_permissions_as_one_text(self, shared: Api) -> None:
        """Permissions may be a text with spaces between as well as a list."""
        response = await read(shared, signed(permissions="other customer_segments:read"))

        assert response.status_code == 200

    async def test_without_token(self, shared: Api) -> None:
        """No token: 401, a challenge and a sentence."""
        response = await shared.client.get(BASE)

        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        assert "Authorization" in response.json()["message"]

    @pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic dTpw", "bearer x y", "Bearer a.b.c"])
    async def test_unusable_header(self, shared: Api, header: str) -> None:
        """Whatever else stands in the header is a 401."""
        response = await shared.client.get(BASE, headers={"authorization": header})

        assert response.status_code == 401

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"exp": 1}, "expired"),
            ({"exp": int(time.time()) - 61}, "expired"),
            ({"exp": None}, "exp"),
            ({"iat": None}, "iat"),
            ({"iat": int(time.time()) + 3_600}, "not hold yet"),
            ({"nbf": int(time.time()) + 3_600}, "not hold yet"),
            ({"iss": None}, "iss"),
            ({"iss": "other"}, "iss"),
            ({"aud": None}, "aud"),
            ({"aud": "other"}, "aud"),
            ({"sub": None}, "sub"),
            ({"sub": 5}, "cannot be accepted"),
            ({"sub": ""}, "sub"),
            ({"sub": "a\0b"}, "sub"),
            ({"sub": "x" * 256}, "sub"),
            ({"name": "\ud800"}, "name"),
            ({"name": ["a"]}, "name"),
            ({"permissions": {"a": 1}}, "permissions"),
            ({"permissions": [1]}, "permissions"),
            ({"exp": float("inf")}, "cannot be accepted"),
            ({"exp": float("nan")}, "cannot be accepted"),
            ({"secret": "y" * 40}, "cannot be accepted"),
            ({"algorithm": "HS384"}, "cannot be accepted"),
        ],
    )
    async def test_claims(self, shared: Api, changes: dict[str, Any], said: str) -> None:
        """A token that any rule speaks against is refused, and the sentence says which rule."""
        response = await read(shared, signed(**changes))

        assert response.status_code == 401
        assert said in response.json()["message"]

    async def test_algorithm_none(self, shared: Api) -> None:
        """A token without a signature is refused."""
        header, payload, _ = signed().split(".")
        unsigned = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).decode().rstrip("=")

        assert (await read(shared, f"{unsigned}.{payload}.")).status_code == 401
        assert (await read(shared, f"{header}.{payload}.")).status_code == 401

    @pytest.mark.parametrize(
        "header", [b"[" * 20_000, b'{"alg":"HS256","kid":"\' OR 1=1"', b"\xff", b'{"alg":["a"]}', b"null"]
    )
    async def test_hostile_header(self, shared: Api, header: bytes) -> None:
        """The part that is read before the signature is checked cannot bring the service down."""
        _, payload, signature = signed().split(".")
        first = base64.urlsafe_b64encode(header).decode().rstrip("=")

        assert (await read(shared, f"{first}.{payload}.{signature}")).status_code == 401

    async def test_leeway(self, shared: Api) -> None:
        """Clocks may differ by some seconds."""
        assert (await read(shared, signed(exp=int(time.time()) - 5))).status_code == 200
