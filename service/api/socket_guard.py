"""Around sockets: one log line each, and an end for what nobody foresaw."""

from __future__ import annotations

import contextlib
import time
from typing import Final
from uuid import uuid4

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.errors import problem_response
from service.api.guard import answer_to, log_failure

SWITCHED: Final = 101
FAILED: Final = 1011

_log = structlog.get_logger(__name__)


class SocketGuard:
    """ASGI middleware; what is no socket passes by."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a socket on; the log says how it was opened and closed, and nothing of its address."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        request_id, started = uuid4().hex, time.perf_counter()
        status, code = 0, 0

        async def send_noting(message: Message) -> None:
            nonlocal status, code
            if message["type"] == "websocket.accept":
                status = SWITCHED
            elif message["type"] == "websocket.http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            elif message["type"] == "websocket.close":
                code = message.get("code", 0)
            await send(message)

        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self._app(scope, receive, send_noting)
        except Exception as error:
            log_failure(error)
            with contextlib.suppress(Exception):
                if not status:
                    await problem_response(answer_to(error), scope["path"])(scope, receive, send_noting)
                elif not code:
                    reason = "The service failed; connect again in a few seconds"
                    await send_noting({"type": "websocket.close", "code": FAILED, "reason": reason})
        finally:
            route = getattr(scope.get("route"), "path", "unknown")
            taken_s = round(time.perf_counter() - started, 1)
            _log.info("socket", route=route, status=status, code=code or None, taken_s=taken_s)
            structlog.contextvars.unbind_contextvars("request_id")
