"""Events over HTTP that are signed in place of a token."""

from __future__ import annotations

import hmac
import json
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from hashlib import sha256

import pytest

from service.adapters.postgres.database import Database
from service.settings import SettingsError, load_settings
from tests.api.events.support import HMAC_SECRET, PATH, Door, door_settings, event, open_door


def standard(body: bytes, secret: str = HMAC_SECRET, at: float | None = None) -> dict[str, str]:
    """The headers of Standard Webhooks."""
    moment = str(int(time.time() if at is None else at))
    key = b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"msg_1.{moment}.".encode() + body, sha256).digest()
    signature = "v1," + b64encode(digest).decode()
    return {"webhook-id": "msg_1", "webhook-timestamp": moment, "webhook-signature": signature}


def plain(body: bytes, secret: str = HMAC_SECRET) -> str:
    """The value of the one header."""
    return "sha256=" + hmac.new(secret.encode(), body, sha256).hexdigest()


class TestSigned:
    """Signatures in place of tokens."""

    async def test_accepted(self, door: Door) -> None:
        """Standard Webhooks and the plain header in both spellings do, and so does one right signature of several."""
        body = json.dumps([event(1)]).encode()
        both = standard(body)
        both["webhook-signature"] = "v1,AAAA v1a,x " + both["webhook-signature"]
        for headers in (
            standard(body),
            both,
            {"x-signature-256": plain(body)},
            {"X-Hub-Signature-256": plain(body).upper().replace("SHA256", "sha256")},
            {"x-signature-256": f"sha256=00, {plain(body)}"},
        ):
            response = await door.raw(body, **headers)

            assert response.status_code == 202, (headers, response.text)
        assert len(await door.records()) == 5

    @pytest.mark.parametrize(
        "headers",
        [
            lambda: {"x-signature-256": ""},
            lambda: {"x-signature-256": "sha256="},
            lambda: {"x-signature-256": "sha256=" + "0" * 64},
            lambda: {"x-signature-256": "sha1=" + "0" * 40},
            lambda: {"x-hub-signature-256": plain(b"[] ")},
            lambda: {"x-hub-signature-256": plain(b"[]", "x" * 40)},
            lambda: {"x-hub-signature-256": "sha256=\u00e9"},
            lambda: standard(b"[] "),
            lambda: standard(b"[]", b64encode(b"y" * 32).decode()),
            lambda: standard(b"[]", at=time.time() - 400),
            lambda: standard(b"[]", at=time.time() + 400),
            lambda: {**standard(b"[]"), "webhook-id": "msg_2"},
            lambda: {**standard(b"[]"), "webhook-id": ""},
            lambda: {**standard(b"[]"), "webhook-timestamp": "-1"},
            lambda: {**standard(b"[]"), "webhook-timestamp": "9" * 30},
            lambda: {**standard(b"[]"), "webhook-signature": ""},
            lambda: {**standard(b"[]"), "webhook-signature": "v2," + standard(b"[]")["webhook-signature"][3:]},
            lambda: {**standard(b"[]", at=1), "x-signature-256": plain(b"[]")},
        ],
    )
    async def test_refused(self, lonely: Door, headers: Callable[[], dict[str, str]]) -> None:
        """A wrong, old or missing part is a 401 with a sentence; the body is not looked at."""
        encoded = {name: value.encode("latin-1") for name, value in headers().items()}
        response = await lonely.client.post(PATH, content=b"[]", headers=encoded)

        assert response.status_code == 401
        assert response.json()["message"]

    async def test_without_secret(self, database: Database) -> None:
        """Where no secret is set no signature is right, not even that of an empty one."""
        async with open_door(database, door_settings("127.0.0.1:1", events_hmac_secret=None)) as made:
            response = await made.raw(b"[]", **{"x-signature-256": plain(b"[]", "")})

        assert response.status_code == 401
        assert "EVENTS_HMAC_SECRET" in response.json()["message"]

    async def test_opens_nothing_else(self, lonely: Door) -> None:
        """A signature stands for events:write alone."""
        response = await lonely.client.get("/api/customer-segments", headers=standard(b""))

        assert response.status_code == 401

    @pytest.mark.parametrize(
        "secret", ["short", "x" * 31, "whsec_" + "?" * 40, "whsec_" + b64encode(b"x" * 20).decode()]
    )
    def test_weak_secrets_stop_the_start(self, secret: str) -> None:
        """A secret that is too short or no base64 is refused by name."""
        with pytest.raises(SettingsError, match="SEGMENTS_EVENTS_HMAC_SECRET"):
            load_settings(events_hmac_secret=secret)
