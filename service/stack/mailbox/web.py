"""The inbox in a browser, for the person at this machine alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from service.stack.mailbox.inbox import Inbox
from service.stack.mailbox.page import MAIL_POLICY, PAGE_POLICY, list_page, mail_page, missing_page
from service.stack.mailbox.reading import read_fields, read_mail

ROWS_MAX = 100
#: Under another name some web site may have led a browser here (DNS rebinding).
HOSTS = ("127.0.0.1", "localhost")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def _guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
    if request.host.rpartition(":")[0] not in HOSTS:
        return web.Response(status=403, text="The inbox answers under 127.0.0.1 alone.\n", headers=_HEADERS)
    return await handler(request)


class Pages:
    """The four pages over one inbox."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application(middlewares=[_guard])
        app.add_routes(
            [
                web.get("/", self.list),
                web.get(r"/mails/{number:\d{1,10}}", self.mail),
                web.get(r"/mails/{number:\d{1,10}}/html", self.html),
                web.get(r"/mails/{number:\d{1,10}}/raw", self.raw),
            ]
        )
        return app

    async def list(self, request: web.Request) -> web.Response:
        """The newest, or those before one."""
        before = request.query.get("before", "")
        below = int(before) if before.isascii() and before.isdigit() and len(before) <= 10 else None
        numbers = self._inbox.newest(ROWS_MAX + 1, below)
        older = numbers[ROWS_MAX - 1] if len(numbers) > ROWS_MAX else None
        read = ((number, self._inbox.read(number)) for number in numbers[:ROWS_MAX])
        rows = [(number, read_fields(raw)) for number, raw in read if raw is not None]
        return _html(list_page(rows, len(self._inbox), older))

    async def mail(self, request: web.Request) -> web.Response:
        """One mail."""
        raw = self._read(request)
        if raw is None:
            return _html(missing_page(), status=404)
        return _html(mail_page(int(request.match_info["number"]), read_mail(raw), len(raw)))

    async def html(self, request: web.Request) -> web.Response:
        """Its HTML, for the frame."""
        raw = self._read(request)
        html = None if raw is None else read_mail(raw).html
        if html is None:
            return _html(missing_page(), status=404)
        return _html(html, policy=MAIL_POLICY)

    async def raw(self, request: web.Request) -> web.Response:
        """Its bytes."""
        raw = self._read(request)
        if raw is None:
            return _html(missing_page(), status=404)
        return web.Response(
            body=raw,
            content_type="text/plain",
            charset="utf-8",
            headers={**_HEADERS, "Content-Security-Policy": MAIL_POLICY},
        )

    def _read(self, request: web.Request) -> bytes | None:
        return self._inbox.read(int(request.match_info["number"]))


def _html(text: str, *, status: int = 200, policy: str = PAGE_POLICY) -> web.Response:
    return web.Response(
        body=text.encode(errors="replace"),
        status=status,
        content_type="text/html",
        charset="utf-8",
        headers={**_HEADERS, "Content-Security-Policy": policy},
    )
