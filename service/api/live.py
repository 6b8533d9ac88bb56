"""The live socket: joins and leaves as they are published.

A socket is opened with a bearer token, in the header or, because browsers cannot set one, as `?token=`. No cookie is
involved, so a page of another origin that opens a socket has nothing to open it with, and `Origin` is not looked at.
Addresses are never logged, for they may hold the token.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Annotated, Any, Final, NamedTuple, cast
from uuid import UUID

import jwt
from fastapi import APIRouter, Depends, Request, WebSocket

from service.adapters.kafka.tail import open_tail
from service.adapters.postgres.segments import PostgresSegments
from service.api.auth import Requires, refuse_parameters
from service.api.errors import ApiError, Fault, refused
from service.api.services import services_of
from service.app.live import Ending, Hub, Listener, TailAway, TooManyListeners
from service.app.tokens import LEEWAY_SECONDS, Identity, KeysUnavailable, Permission, TokenError
from service.core.identity import UUID_FORM
from service.settings import Settings

PATH: Final = "/api/live"
PARAMETERS: Final = ("segment", "token")
SEGMENTS_MAX: Final = 100
#: A slow reader has this long to make room for the closing frame.
CLOSE_SECONDS_MAX: Final = 5
#: Who reads nothing at all for so long is too slow, however little waits.
SEND_SECONDS_MAX: Final = 15
#: Listeners have nothing to say; so many messages, and one more each second, are read and forgotten.
MESSAGES_MAX: Final = 60
RETRY_SECONDS: Final = 5
#: No token holds longer than timers can count.
SECONDS_MAX: Final = 10**8

#: Why a socket is closed (RFC 6455, section 7.4; 4401 is ours, after the HTTP status).
POLICY: Final = 1008
TRY_AGAIN: Final = 1013
EXPIRED: Final = 4401

router: Final = APIRouter()


class Farewell(NamedTuple):
    """The code and the sentence that a socket is closed with."""

    code: int
    reason: str


class RequiresSocket(Requires):
    """As Requires, for a socket: a refusal is an HTTP answer in place of the upgrade."""

    async def __call__(self, websocket: WebSocket) -> Identity:  # type: ignore[override]
        """Checks token, permission and the names of the query's parameters.

        Raises:
            ApiError: unauthenticated, forbidden, too_many or invalid.
        """
        identity = await self.identify(_as_request(websocket))
        refuse_parameters(_as_request(websocket), PARAMETERS, repeatable=("segment",))
        return identity

    async def _accept(self, request: Request) -> Identity:
        token = request.query_params.get("token")
        if token is None or "authorization" in request.headers:
            return await super()._accept(request)
        try:
            return await services_of(request).tokens.accept(token)
        except TokenError as error:
            raise ApiError("unauthenticated", str(error)) from None
        except KeysUnavailable as error:
            raise ApiError("unavailable", str(error), headers={"retry-after": str(RETRY_SECONDS)}) from None


def open_hub(settings: Settings) -> Hub:
    """What all sockets of this process listen to; connects with the first of them."""
    return Hub(lambda: open_tail(settings))


@router.websocket(PATH)
async def live(websocket: WebSocket, _: Annotated[Identity, Depends(RequiresSocket(Permission.READ))]) -> None:
    """Sends each join and leave of the segments asked for, or of all, as a CloudEvent in structured JSON."""
    seconds = _seconds_left(websocket)
    segments = await _segments(websocket)
    hub: Hub = websocket.app.state.live
    try:
        async with hub.listening(segments) as listener:
            await websocket.accept()
            farewell = await _serve(websocket, listener, seconds)
            if farewell is not None:
                with contextlib.suppress(TimeoutError, OSError, RuntimeError):
                    await asyncio.wait_for(websocket.close(*farewell), CLOSE_SECONDS_MAX)
    except TooManyListeners:
        message = "Too many live sockets are open; close some, or try again in a few seconds"
        raise ApiError("too_many", message, headers={"retry-after": str(RETRY_SECONDS)}) from None
    except TailAway:
        message = "The membership topic cannot be read at present; try again in a few seconds"
        raise ApiError("unavailable", message, headers={"retry-after": str(RETRY_SECONDS)}) from None


async def _serve(websocket: WebSocket, listener: Listener, seconds: float) -> Farewell | None:
    """Sends until there is a reason to end; None where the other side has gone."""
    sending = asyncio.create_task(_send_all(websocket, listener))
    reading = asyncio.create_task(_read_all(websocket))
    try:
        await asyncio.wait((sending, reading, listener.ending), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        sending.cancel()
        reading.cancel()
        was_read, was_sent = reading.done(), sending.done()
        await asyncio.gather(sending, reading, return_exceptions=True)
    if was_read:
        return reading.result()
    if listener.ending.done():
        return Farewell(TRY_AGAIN, listener.ending.result().value)
    return None if was_sent else Farewell(EXPIRED, "The token has expired; connect again with a new one")


async def _send_all(websocket: WebSocket, listener: Listener) -> None:
    while True:
        event = await listener.take()
        try:
            await asyncio.wait_for(websocket.send_text(event), SEND_SECONDS_MAX)
        except TimeoutError:
            listener.end(Ending.SLOW)
            return


async def _read_all(websocket: WebSocket) -> Farewell | None:
    """Notices that the other side goes, or that it writes too much."""
    started, count = time.monotonic(), 0
    while (await websocket.receive())["type"] != "websocket.disconnect":
        count += 1
        if count > MESSAGES_MAX + (time.monotonic() - started):
            return Farewell(POLICY, "This socket only sends; do not write to it")
    return None


def _seconds_left(websocket: WebSocket) -> float:
    """Until the token, which has been accepted, is accepted no more."""
    scheme_and_token = websocket.headers.get("authorization")
    token = websocket.query_params["token"] if scheme_and_token is None else scheme_and_token.partition(" ")[2]
    claims: dict[str, Any] = jwt.decode(token.strip(), options={"verify_signature": False})
    return float(min(max(0.0, float(claims["exp"]) + LEEWAY_SECONDS - time.time()), SECONDS_MAX))


async def _segments(websocket: WebSocket) -> frozenset[UUID] | None:
    """The segments asked for, all of which are there; None for all there are and will be.

    Raises:
        ApiError: invalid, or not_found.
    """
    given = [part.strip() for value in websocket.query_params.getlist("segment") for part in value.split(",")]
    if not given:
        return None
    if not all(UUID_FORM.fullmatch(one) for one in given):
        message = "must be the id of a segment, of the form 8-4-4-4-12, or several with commas between"
        raise refused([Fault("segment", message, "invalid_segment")])
    wanted = frozenset(UUID(one) for one in given)
    if len(wanted) > SEGMENTS_MAX:
        message = f"must name at most {SEGMENTS_MAX} segments; leave it out for all"
        raise refused([Fault("segment", message, "too_many_segments")])
    async with services_of(_as_request(websocket)).database.snapshot() as connection:
        found = await PostgresSegments(connection).names(wanted)
    if missing := wanted - found.keys():
        raise ApiError("not_found", f"There is no segment {min(missing)}; GET /api/customer-segments lists them")
    return wanted


def _as_request(websocket: WebSocket) -> Request:
    """What both kinds of connection have in common is all that is asked of it."""
    return cast(Request, websocket)
