"""A real HTTP endpoint, and messages sent to it."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import uuid4

from aiohttp import web

from service.adapters.http.webhooks import WebhookTransport
from service.app.dispatch.transport import Outbound

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
