"""Around the routes: one log line a request, safe headers, and an answer for what nobody foresaw.

Exceptions end here: what the server logs of them would hold the parameters of SQL statements, which are personal data.
"""

from __future__ import annotations

import re
import time
import traceback
from typing import Final
from uuid import uuid4

import structlog
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.adapters.postgres.faults import AWAY
from service.api.errors import ApiError, problem_response

_log = structlog.get_logger(__name__)

_HEADERS: Final = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "cache-control": "no-store"}
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
RETRY_SECONDS: Final = 5
FRAMES_MAX: Final = 12


#: Where a scope says that the request was a HEAD; routes see a GET.
_HEAD: Final = "segmentation.head"


def is_head(scope: Scope) -> bool:
    """Whether nobody waits for the body."""
    return _HEAD in scope


class ResponseBroken(Exception):
    """The answer had begun and cannot be finished; the server closes the connection, so that the client notices."""


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, started = _request_id(scope), time.perf_counter()
        status = 0
        is_bare = scope["method"] == "HEAD"
        if is_bare:  # RFC 9110, section 9.3.2: as GET, without the body
            scope = {**scope, "method": "GET", _HEAD: True}

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            elif is_bare:
                message = {**message, "body": b""}
            await send(message)

        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self._app(scope, receive, send_noting)
        except ClientDisconnect:
            return  # nobody is there to be answered
        except Exception as error:
            log_failure(error)
            if status:
                raise ResponseBroken from None
            await problem_response(answer_to(error), scope["path"])(scope, receive, send_noting)
        finally:
            # The route's template, never the address itself: what stands in it is the caller's.
            route = getattr(scope.get("route"), "path", "unknown")
            taken_ms = round((time.perf_counter() - started) * 1_000, 1)
            _log.info("request", method=scope["method"], route=route, status=status, taken_ms=taken_ms)
            structlog.contextvars.unbind_contextvars("request_id")


def _request_id(scope: Scope) -> str:
    """The caller's X-Request-Id, so that its log and ours can be read together; else a new one."""
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid4().hex


def answer_to(error: Exception) -> ApiError:
    """What is said to a caller of an error that nobody foresaw."""
    is_away = isinstance(error, (OperationalError, InterfaceError, PoolTimeout, OSError, *AWAY)) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    )
    if is_away:
        message = "The database cannot be reached or is too busy at present; try again in a few seconds"
        return ApiError("unavailable", message, headers={"retry-after": str(RETRY_SECONDS)})
    return ApiError("internal", "The service failed to answer; its log has the details under this x-request-id")


def log_failure(error: Exception) -> None:
    """Where it happened and what kind it is, without its message."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    cause = getattr(error, "orig", None) or error.__cause__
    _log.error(
        "request failed",
        error=type(error).__name__,
        cause=type(cause).__name__ if cause is not None else None,
        frames=frames[-FRAMES_MAX:],
    )
