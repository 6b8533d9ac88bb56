"""Signed webhooks to a real HTTP server on this machine, and to nobody else on it."""

from __future__ import annotations

import hmac
import json
import time
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from service.adapters.http import webhooks
from service.adapters.http.webhooks import WebhookTransport, signing_key, webhook_transport
from service.app.dispatch.transport import Accepted, TryLater
from service.settings import SettingsError, load_settings
from tests.integration.mail.smtp_server import certificate
from tests.integration.webhooks.endpoint import KEY, SECRET, endpoint, sending, sms


class TestSent:
    """All is well."""

    async def test_it_is_signed(self) -> None:
        """Headers, signature and body are those of Standard Webhooks, and a receiver can check them."""
        async with endpoint() as made, sending(f"http://localhost:{made.port}/hook?shop=1") as transport:
            message = sms()
            assert await transport.send(message) == Accepted()

        [(headers, body)] = made.requests
        assert headers["webhook-id"] == str(message.message_id)
        assert abs(int(headers["webhook-timestamp"]) - time.time()) < 5
        content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        version, _, signature = headers["webhook-signature"].partition(",")
        assert version == "v1"
        assert b64decode(signature) == hmac.digest(b64decode(SECRET.removeprefix("whsec_")), content, sha256)
        found = json.loads(body)
        assert found.keys() == {"type", "timestamp", "data"}
        assert found["type"] == "campaign.message.requested"
        assert abs(datetime.fromisoformat(found["timestamp"]) - datetime.now(UTC)) < timedelta(seconds=5)
        assert found["data"] == {
            "message_id": str(message.message_id),
            "channel": "sms",
            "amount": "15.00",
            "text": "Zoë",
        }
        assert headers["content-type"] == "application/json"
        assert headers["host"] == f"localhost:{made.port}"

    def test_the_specification_s_own_vector(self) -> None:
        """The example of the specification's reference libraries is signed as they sign it."""
        key = signing_key(SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
        headers = webhooks.signed_headers(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
        assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

    async def test_the_same_id_each_time(self) -> None:
        """A second attempt has the same webhook-id."""
        async with endpoint() as made, sending(f"http://localhost:{made.port}/") as transport:
            message = sms()
            made.answer = 503
            assert isinstance(await transport.send(message), TryLater)
            made.answer = 204
            assert await transport.send(message) == Accepted()
        first, second = (headers["webhook-id"] for headers, _ in made.requests)
        assert first == second == str(message.message_id)

    async def test_connections_are_kept(self) -> None:
        """Several messages go over one connection."""
        async with endpoint() as made, sending(f"http://localhost:{made.port}/") as transport:
            for _ in range(5):
                assert await transport.send(sms()) == Accepted()
        assert len(made.peers) == 1

    async def test_over_tls(self, tmp_path: Path) -> None:
        """https is checked against the name, although the connection goes to the address that was checked."""
        served, trusting = certificate(tmp_path)
        async with endpoint(served) as made:
            url = f"https://localhost:{made.port}/"
            async with sending(url, tls=trusting) as transport:
                assert await transport.send(sms()) == Accepted()
            async with sending(url) as transport:
                outcome = await transport.send(sms())
        assert isinstance(outcome, TryLater)
        assert outcome.is_outage
        assert len(made.requests) == 1


class TestWhereTo:
    """Nothing goes into one's own network unless it is allowed."""

    async def test_names_that_lead_home(self) -> None:
        """No connection is made to a name that leads into this machine."""
        async with endpoint() as made, sending(f"https://localhost:{made.port}/", frozenset()) as transport:
            outcome = await transport.send(sms())
        assert isinstance(outcome, TryLater)
        assert outcome.is_outage
        assert "SEGMENTS_WEBHOOK_HOSTS_ALLOWED" in outcome.reason
        assert made.peers == set()

    @pytest.mark.parametrize(
        "url",
        [
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0177.0.0.0x1/",
            "https://[::ffff:127.0.0.1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://169.254.169.254/latest/meta-data",
            "https://user:password@10.0.0.1/",
            "https://\uff11\uff12\uff17.0.0.1/",
            "https://127.0.0.1\\@example.com/",
            "http://example.com/",
            "ftp://example.com/",
        ],
    )
    def test_urls_that_are_refused_at_once(self, url: str) -> None:
        """An address of a private network, however written, and http, are refused before anything is sent."""
        with pytest.raises(SettingsError):
            WebhookTransport(url, KEY)

    async def test_a_proxy_of_the_environment_is_not_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Requests go where the address was checked, and not to somebody who would look it up again."""
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        async with endpoint() as made, sending(f"http://localhost:{made.port}/") as transport:
            assert await transport.send(sms()) == Accepted()


class TestSettings:
    """What the operator writes."""

    def test_none(self) -> None:
        """Without a URL there is no transport, and e-mail has none at all."""
        assert [webhook_transport(load_settings(), channel) for channel in ("email", "sms", "notification")] == [
            None
        ] * 3

    async def test_all(self) -> None:
        """URL, secret and hosts come from the settings."""
        async with endpoint() as made:
            settings = load_settings(
                notification_webhook_url=f"http://localhost:{made.port}/hook",
                webhook_secret=SecretStr(SECRET),
                webhook_hosts_allowed="hooks.internal, LOCALHOST",
            )
            transport = webhook_transport(settings, "notification")
            assert transport is not None
            assert await transport.send(sms()) == Accepted()
            await transport.close()

    @pytest.mark.parametrize(
        "values",
        [
            {"sms_webhook_url": "https://hooks.example.com/"},
            {"sms_webhook_url": "http://hooks.example.com/", "webhook_secret": SecretStr(SECRET)},
            {"sms_webhook_url": "https://10.0.0.1/", "webhook_secret": SecretStr(SECRET)},
        ],
    )
    def test_unusable(self, values: dict[str, Any]) -> None:
        """No secret, http, or a private address: a sentence that names the setting."""
        with pytest.raises(SettingsError, match=r"SEGMENTS_(SMS_WEBHOOK_URL|WEBHOOK_SECRET)"):
            webhook_transport(load_settings(**values), "sms")
