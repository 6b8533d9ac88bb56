"""Around all else: counts requests, traces them where that is wanted, knows what is under way when the end comes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.app.metrics import REQUEST_SECONDS, REQUESTS
from service.app.tally import Tally
from service.core.events.envelope import read_traceparent
from service.tracing import NO_SPAN, Span, caused_by, spans

#: Asked by machines all the time: they keep no process from ending.
PROBES: Final = frozenset({"/livez", "/readyz", "/metrics"})
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
#: Where the innermost layer leaves the route for the outermost, which may see another scope.
_ROUTE: Final = "segments.route"


class Traffic:
    """What this process answers.

    Attributes:
        tally: requests so far.
        is_draining: the process is about to end; /readyz says so, and each answer is its connection's last.
    """

    def __init__(self) -> None:
        self.tally = Tally()
        self.is_draining = False
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def drain(self, seconds_max: float) -> None:
        """Lets what is under way end, and what comes meanwhile, for so long; probes do not count."""
        self.is_draining = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), seconds_max)

    def begin(self, path: str) -> None:
        """A request came."""
        if path not in PROBES:
            self._under_way += 1
            self._idle.clear()

    def end(self, path: str, method: str, route: str, status: int, seconds: float) -> None:
        """It is answered; status 0 where nobody was there to be answered."""
        if path not in PROBES:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()
        method = method if method in _METHODS else "other"
        self.tally.count(REQUESTS, method, route, str(status) if status else "none")
        self.tally.observe(REQUEST_SECONDS, seconds, method, route)


class NoteRoute:
    """The innermost layer of ASGI: leaves the route's template where Observed finds it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        try:
            await self._app(scope, receive, send)
        finally:
            if _ROUTE in scope:
                scope[_ROUTE].append(getattr(scope.get("route"), "path", "unknown"))


class Observed:
    """The outermost layer of ASGI."""

    def __init__(self, app: ASGIApp, traffic: Traffic) -> None:
        self._app, self._traffic = app, traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        traffic, path, method = self._traffic, scope["path"], scope["method"]
        found: list[str] = []
        scope[_ROUTE] = found
        started, status = time.perf_counter(), 0

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if traffic.is_draining:
                    MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        traffic.begin(path)
        span, cause = _span(scope)
        try:
            # The route's template, never the address itself: what stands in it is the caller's.
            with span, caused_by(cause):
                try:
                    await self._app(scope, receive, send_noting)
                finally:
                    _describe(span, method, _route(found), status)
        finally:
            traffic.end(path, method, _route(found), status, time.perf_counter() - started)


def _route(found: list[str]) -> str:
    return found[0] if found else "unknown"


def _span(scope: Scope) -> tuple[Span, str | None]:
    """The request's span, and where in a trace stands what it causes: at the span, else where the caller stood."""
    headers = Headers(scope=scope)
    cause = read_traceparent(headers.get("traceparent"))
    made = spans()
    if made is None or scope["path"] in PROBES:
        return NO_SPAN, cause
    return made.request(cause, headers.get("tracestate"))


def _describe(span: Span, method: str, route: str, status: int) -> None:
    said: dict[str, Any] = {"http__request__method": method if method in _METHODS else "_OTHER"}
    if route != "unknown":
        said["http__route"] = route
    if status:
        said["http__response__status_code"] = status
    if status >= 500:
        said["error__type"] = str(status)
    span.name(
        f"{said['http__request__method'] if method in _METHODS else 'HTTP'} {said.get('http__route', '')}".rstrip()
    )
    span.note(**said)
