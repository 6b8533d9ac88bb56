"""What links in messages lead to: the pixel, the links, unsubscribing. Open to whoever holds a signed link.

Nothing is kept of who asks: no address, no cookie, no user agent. What a machine does is told apart as far as it can
be; docs/campaigns-measurement.md says how far that is.
"""

from __future__ import annotations

import base64
import contextlib
import re
from dataclasses import dataclass
from typing import Final, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from service.adapters.postgres.campaigns.touches import PostgresTouches, unsubscribe
from service.adapters.postgres.database import Database
from service.api.bodies import read_bytes
from service.api.errors import ApiError
from service.api.guard import is_head
from service.api.services import services_of
from service.app.engagement.consent import Topics
from service.app.engagement.touches import Message, TooManyTouches, Touch, TouchDesk
from service.core.campaigns import links
from service.core.campaigns.links import KEY_ID, Link
from service.core.campaigns.secrets import Purpose, derived_key
from service.settings import Settings

OPEN: Final = "/t/o/{token}.gif"
CLICK: Final = "/t/c/{token}"
UNSUBSCRIBE: Final = "/u/{token}"
#: The smallest transparent GIF there is.
PIXEL: Final = base64.b64decode("R0lGODlhAQABAIAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")
#: Of one link of one message, for each process; nobody needs more.
REQUESTS_A_MINUTE_MAX: Final = 60
BODY_BYTES_MAX: Final = 65_536
#: What the page's own form says, so that whoever pressed its button is answered by a page.
FROM_PAGE: Final = b"page"
_HTTP: Final = re.compile(r"https?://\S+", re.IGNORECASE)
#: Programs that look at mail before people do, or make previews of links. Not the image proxies of mail services: they
#: fetch when somebody opens.
_SCANNERS: Final = re.compile(
    r"barracuda|proofpoint|mimecast|messagelabs|symantec|fireeye|trend ?micro|sophos|forcepoint|cloudmark|ironport"
    r"|safelinks|bingpreview|skypeuripreview|slackbot|facebookexternalhit|twitterbot|linkedinbot|telegrambot|discordbot"
    r"|googlebot|bingbot|applebot|yandexbot|headlesschrome|phantomjs|urlscan|virustotal",
    re.IGNORECASE,
)
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'"
_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Unsubscribe</title>
<style>body{font:18px/1.5 sans-serif;max-width:30em;margin:15vh auto;padding:0 1em}button{font:inherit;padding:.4em 1em}
</style>
</head>
<body>
{said}
</body>
</html>
"""
_ASKED: Final = """<h1>Unsubscribe?</h1>
<p>You will not get any more of these messages.</p>
<form method="post"><input type="hidden" name="from" value="page"><button type="submit">Unsubscribe</button></form>"""
_DONE: Final = "<h1>Unsubscribed</h1>\n<p>You will not get any more of these messages.</p>"

router: Final = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class Tracking:
    """What the routes work with; without keys no link is good."""

    desk: TouchDesk
    keys: dict[str, bytes]
    address_key: bytes
    topics: Topics
    rate: SlidingWindowCounterRateLimiter

    @classmethod
    def of(cls, settings: Settings, database: Database) -> Tracking:
        """As the settings say."""
        secret = settings.campaign_secret or settings.jwt_secret
        plain = "" if secret is None else secret.get_secret_value()
        return cls(
            TouchDesk(PostgresTouches(database), settings.engagement_topic),
            {KEY_ID: derived_key(plain, Purpose.LINKS)} if plain else {},
            derived_key(plain, Purpose.ADDRESSES),
            Topics(settings.customers_topic, settings.engagement_topic),
            SlidingWindowCounterRateLimiter(MemoryStorage()),
        )

    def read(self, token: str, purpose: links.Purpose) -> Link | None:
        """What a token stands for; None if it is no good."""
        return links.read(self.keys, token, purpose)

    def has_room(self, link: Link) -> bool:
        """Counts a request; whether it is one too many."""
        return self.rate.hit(_LIMIT, f"{link.purpose}{link.message_id}{link.link_index}")


_LIMIT: Final = RateLimitItemPerMinute(REQUESTS_A_MINUTE_MAX)


@router.get(OPEN)
async def opened(request: Request, token: str) -> Response:
    """The pixel: always there, whatever the token; what is good is noted."""
    tracking = tracking_of(request)
    link = tracking.read(token, links.Purpose.OPEN)
    if link is not None and tracking.has_room(link):
        with contextlib.suppress(Exception):  # the desk has logged it; a picture that fails helps nobody
            await tracking.desk.note(_touch(request, "opened", link))
    return Response(PIXEL, media_type="image/gif", headers={"cache-control": "no-store"})


@router.get(CLICK)
async def clicked(request: Request, token: str) -> Response:
    """Leads to where the link of the message leads, and nowhere else."""
    tracking = tracking_of(request)
    link = tracking.read(token, links.Purpose.CLICK)
    if link is None:
        raise _missing()
    if not tracking.has_room(link):
        raise _too_many()
    try:
        message = await tracking.desk.note(_touch(request, "clicked", link))
    except TooManyTouches:
        message = tracking.desk.message(link.message_id)
        if message is None:
            raise _too_many() from None
    except Exception:
        message = tracking.desk.message(link.message_id)
        if message is None:
            raise
    target = _target(message, link.link_index)
    if target is None:
        raise _missing()
    return RedirectResponse(target, 302)


@router.get(UNSUBSCRIBE)
async def ask_to_unsubscribe(request: Request, token: str) -> Response:
    """A page with a button. Whatever looks at links in mail before people do changes nothing."""
    if tracking_of(request).read(token, links.Purpose.UNSUBSCRIBE) is None:
        raise _missing()
    return _page(_ASKED)


@router.post(UNSUBSCRIBE)
async def post_unsubscribe(request: Request, token: str) -> Response:
    """RFC 8058: one request, without a token of ours, a cookie or a redirect; as often as anybody likes."""
    tracking = tracking_of(request)
    link = tracking.read(token, links.Purpose.UNSUBSCRIBE)
    if link is None:
        raise _missing()
    if not tracking.has_room(link):
        raise _too_many()
    services = services_of(request)
    is_page = _is_from_page(await read_bytes(request, BODY_BYTES_MAX))
    method = "page" if is_page else "one_click"
    now = services.clock()
    await unsubscribe(services.database, tracking.address_key, tracking.topics, link.message_id, method, now)
    return _page(_DONE) if is_page else Response(b"", 200)


def tracking_of(request: Request) -> Tracking:
    """Of the application that this request came to."""
    tracking = request.app.state.tracking
    assert isinstance(tracking, Tracking)  # noqa: S101 - build_app put it there
    return tracking


def _touch(request: Request, kind: Literal["opened", "clicked"], link: Link) -> Touch:
    return Touch(kind, link.message_id, link.link_index, _is_machine(request), services_of(request).clock())


def _is_machine(request: Request) -> bool:
    """Whether it is one that says so."""
    headers = request.headers
    is_prefetch = "prefetch" in headers.get("sec-purpose", headers.get("purpose", "")).lower()
    return is_head(request.scope) or is_prefetch or bool(_SCANNERS.search(headers.get("user-agent", "")))


def _target(message: Message | None, index: int) -> str | None:
    if message is None or index >= len(message.links):
        return None
    target = message.links[index]
    return target if _HTTP.fullmatch(target) else None


def _is_from_page(body: bytes) -> bool:
    return body.strip() == b"from=" + FROM_PAGE


def _page(said: str) -> Response:
    headers = {"content-security-policy": _POLICY}
    return Response(_PAGE.replace("{said}", said), media_type="text/html; charset=utf-8", headers=headers)


def _missing() -> ApiError:
    return ApiError("not_found", "This link is not known here; it may be incomplete")


def _too_many() -> ApiError:
    message = "This link has been asked for too often; try again in a minute"
    return ApiError("too_many", message, headers={"retry-after": "60"})
