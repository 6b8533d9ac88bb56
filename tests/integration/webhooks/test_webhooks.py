"""Signed webhooks to a real HTTP server on this machine, and to nobody else on it."""

from __future__ import annotations

import asyncio
import hmac
import json
import socket
import ssl
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web
from pydantic import SecretStr

from service.adapters.http import webhooks
from service.adapters.http.webhooks import WebhookTransport, signing_key, webhook_transport
from service.app.dispatch.transport import Accepted, Outbound, Rejected, TryLater
from service.settings import SettingsError, load_settings
from tests.integration.mail.smtp_server import certificate

SECRET = "whsec_" + b64encode(bytes(range(32))).decode()
KEY = bytes(range(32))
LOCAL = frozenset({"localhost", "127.0.0.1"})


@dataclass
class Endpoint:
    """A server that answers as told; `answer` is a status, with headers or not, or acts on the request."""

    answer: Any = 200
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    peers: set[Any] = field(default_factory=set)
    port: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request."""
        self.requests.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        self.peers.add(request.transport.get_extra_info("peername"))
        if callable(self.answer):
            return await self.answer(request)
        return web.Response(status=self.answer, headers=self.headers, text="thanks")


@asynccontextmanager
async def endpoint(tls: ssl.SSLContext | None = None) -> AsyncIterator[Endpoint]:
    """It listens on this machine."""
    made = Endpoint()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    made.port = site._server.sockets[0].getsockname()[1]
    yield made
    await runner.cleanup()


@asynccontextmanager
async def sending(
    url: str, allowed: frozenset[str] = LOCAL, tls: ssl.SSLContext | None = None
) -> AsyncIterator[WebhookTransport]:
    """A transport, closed at the end."""
    made = WebhookTransport(url, KEY, allowed, tls)
    yield made
    await made.close()


def sms(**values: Any) -> Outbound:
    """A message of its own."""
    made = uuid4()
    data = {"message_id": made, "channel": "sms", "amount": Decimal("15.00"), "text": "Zoë"}
    return Outbound(made, 1, "sms", "+12025550123", None, "Zoë", **{"data": data, **values})


async def outcome_of(answer: Any, **headers: str) -> Any:
    """What becomes of one message when the endpoint answers so."""
    async with endpoint() as made, sending(f"http://127.0.0.1:{made.port}/hook") as transport:
        made.answer, made.headers = answer, {name.replace("_", "-"): value for name, value in headers.items()}
        return await transport.send(sms())


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


class TestAnswers:
    """What the endpoint says."""

    @pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
    async def test_taken(self, status: int) -> None:
        """Any 2xx."""
        assert await outcome_of(status) == Accepted()

    @pytest.mark.parametrize("status", [400, 413, 422])
    async def test_not_wanted(self, status: int) -> None:
        """The endpoint has read it and says no."""
        assert await outcome_of(status) == Rejected(f"The endpoint answered {status}")

    @pytest.mark.parametrize("status", [304, 401, 403, 404, 408, 409, 500, 501, 507])
    async def test_another_time(self, status: int) -> None:
        """What may be mended at the other end is tried again."""
        assert await outcome_of(status) == TryLater(f"The endpoint answered {status}")

    @pytest.mark.parametrize("status", [429, 502, 503, 504])
    async def test_away(self, status: int) -> None:
        """So is what the service behind the endpoint cannot do at present, and no message is at fault for it."""
        assert await outcome_of(status) == TryLater(f"The endpoint answered {status}", is_outage=True)

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_no_redirects(self, status: int) -> None:
        """A redirect is a failure, and is not followed."""
        async with endpoint() as made, sending(f"http://localhost:{made.port}/") as transport:
            made.answer, made.headers = status, {"Location": f"http://localhost:{made.port}/elsewhere"}
            assert await transport.send(sms()) == TryLater(f"The endpoint answered {status}")
        assert len(made.requests) == 1

    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize(
        ("said", "seconds"),
        [
            ("7", 7.0),
            ("0", 0.0),
            ("999999999", 86_400.0),
            ("soon", None),
            ("-5", None),
            ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
            ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ],
    )
    async def test_retry_after(self, status: int, said: str, seconds: float | None) -> None:
        """Retry-After is honoured in seconds, to a day at most; what is none is as if it were not there."""
        assert await outcome_of(status, Retry_After=said) == TryLater(f"The endpoint answered {status}", seconds, True)

    async def test_retry_after_a_date(self) -> None:
        """And as a date."""
        at = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
        outcome = await outcome_of(503, Retry_After=at)
        assert outcome.after_seconds == pytest.approx(100, abs=3)

    async def test_gone(self) -> None:
        """After 410 nothing more is sent there; messages wait and use up no attempt."""
        async with endpoint() as made, sending(f"http://localhost:{made.port}/") as transport:
            made.answer = 410
            first = await transport.send(sms())
            made.answer = 200
            second = await transport.send(sms())
        assert first.is_outage
        assert second.is_outage
        assert "410" in second.reason
        assert len(made.requests) == 1

    async def test_an_endless_answer(self) -> None:
        """The body of an answer is not read, however long it goes on."""

        async def endless(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b"x" * 65_536)

        begun = time.monotonic()
        assert await outcome_of(endless) == Accepted()
        assert time.monotonic() - begun < 3

    @pytest.mark.parametrize("headers", [{"X-Long": "x" * 20_000}, {f"X-{n}": "1" for n in range(500)}])
    async def test_an_endless_head(self, headers: dict[str, str]) -> None:
        """A head without end is a failure."""
        async with endpoint() as made, sending(f"http://localhost:{made.port}/") as transport:
            made.headers = headers
            outcome = await transport.send(sms())
        assert isinstance(outcome, TryLater)

    async def test_no_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No answer within the time: another time."""
        monkeypatch.setattr(webhooks, "REQUEST_SECONDS_MAX", 0.2)

        async def sleep(_: web.Request) -> web.StreamResponse:
            await asyncio.sleep(60)
            raise AssertionError

        assert await outcome_of(sleep) == TryLater("The endpoint did not answer within 0.2 s.")

    async def test_it_breaks_off(self) -> None:
        """A connection that breaks after the request: another time, for receivers know ids."""

        async def breaks(request: web.Request) -> web.StreamResponse:
            request.transport.abort()
            await asyncio.sleep(1)
            raise AssertionError

        assert isinstance(await outcome_of(breaks), TryLater)

    async def test_nobody_there(self) -> None:
        """A refused connection is an outage."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            async with sending(f"http://127.0.0.1:{taken.getsockname()[1]}/") as transport:
                outcome = await transport.send(sms())
        assert isinstance(outcome, TryLater)
        assert outcome.is_outage


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
