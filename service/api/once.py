"""Idempotency-Key: a POST that is sent again is answered again and not done again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Coroutine
from typing import Any, Final
from uuid import UUID, uuid4

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message

from service.adapters.postgres import idempotency
from service.adapters.postgres.idempotency import KEY_HOURS_MAX, Claim, KeptAnswer, KeyBusy, KeyReused
from service.api.auth import requirement_of
from service.api.bodies import read_bytes
from service.api.errors import REFUSALS, STATUS, ApiError, Fault, refused
from service.api.services import services_of

HEADER: Final = "idempotency-key"
#: The largest body of any route that takes a key.
BODY_BYTES_MAX: Final = 16_777_216
#: A quoted text as the draft wants it, or a bare one as most clients send it.
_KEY: Final = re.compile(r'"([\x20\x21\x23-\x5b\x5d-\x7e]{1,255})"|([\x21\x23-\x7e]{1,255})')
_KEPT_HEADERS: Final = ("content-type", "location", "etag")
_PARAMETER: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": r"^[!#-~]{1,255}$"},  # read in quotation marks, too
    "description": f"A text of your choice, such as a UUID: for {KEY_HOURS_MAX} h the same request with the same key "
    "is answered again and not done again",
}

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class OnceRoute(APIRoute):
    """A route whose POST requests may carry an Idempotency-Key."""

    def __init__(self, *args: Any, **options: Any) -> None:
        if "POST" in (options.get("methods") or ()):
            said = dict(options.get("openapi_extra") or {})
            options["openapi_extra"] = {**said, "parameters": [*said.get("parameters", []), _PARAMETER]}
            options["responses"] = {400: {}, 409: {}, **(options.get("responses") or {})}
        super().__init__(*args, **options)

    def get_route_handler(self) -> Handler:
        """The handler, run at most once a key."""
        handler = super().get_route_handler()

        async def once(request: Request) -> Response:
            if request.method != "POST" or HEADER not in request.headers:
                return await handler(request)
            return await _once(request, handler)

        return once


def once_id(request: Request) -> UUID:
    """An id for what the request makes: the same one whenever the request runs again."""
    claim = getattr(request.state, "claim", None)
    return claim.id if isinstance(claim, Claim) else uuid4()


async def _once(request: Request, handler: Handler) -> Response:
    """Answers what was answered, or runs the request and keeps its answer.

    Failures are not kept. A request that was refused may come again mended, under the same key; after any other failure
    something may have been done, so that the same request comes again under the same id.
    """
    key = _key_of(request)
    # Before anything of the request is looked up: whose keys they are, and whether they may ask at all.
    requirement = requirement_of(request.scope["route"])
    assert requirement is not None  # noqa: S101 - or check_routes would have stopped the start
    identity = await requirement.identify(request)
    body = await read_bytes(request, BODY_BYTES_MAX)
    database = services_of(request).database
    try:
        async with database.transaction() as connection:
            found = await idempotency.claim(connection, identity.sub, key, _fingerprint(request, body))
    except KeyReused:
        message = "came with another request before; use a new key for each request, and the same one to repeat it"
        raise refused([Fault("Idempotency-Key", message, "key_reused")]) from None
    except KeyBusy:
        message = "The request with this Idempotency-Key is still running; ask again in a few seconds"
        raise ApiError("conflict", message, headers={"retry-after": "2"}) from None
    if isinstance(found, KeptAnswer):
        return Response(found.body, found.status, {**found.headers, "idempotency-replayed": "true"})
    request.state.claim = found
    try:
        response = await handler(Request(request.scope, _replaying(body)))
    except BaseException as error:
        async with database.transaction() as connection:
            if _is_refusal(error):
                await idempotency.forget(connection, found)
            else:
                await idempotency.release(connection, found)
        raise
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    async with database.transaction() as connection:
        await idempotency.keep(connection, found, KeptAnswer(response.status_code, headers, bytes(response.body)))
    return response


def _is_refusal(error: BaseException) -> bool:
    """Whether the request was found wrong, before anything was done."""
    if isinstance(error, ApiError):
        return STATUS[error.code][0] < STATUS["internal"][0]
    return isinstance(error, REFUSALS)


def _key_of(request: Request) -> str:
    found = request.headers.getlist(HEADER)
    match = _KEY.fullmatch(found[0].strip()) if len(found) == 1 else None
    if match is None:
        message = "Idempotency-Key must be one text of 1 to 255 printable ASCII characters, such as a UUID"
        raise ApiError("invalid_header", message)
    return match.group(1) or match.group(2)


def _fingerprint(request: Request, body: bytes) -> bytes:
    """What makes two requests the same: address, parameters and the bytes of the body."""
    asked = f"{request.url.path}?{request.url.query}\n".encode("utf-8", "surrogateescape")
    return hashlib.sha256(asked + body).digest()


def _replaying(body: bytes) -> Callable[[], Coroutine[Any, Any, Message]]:
    """The body again, for the route reads it as it comes."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
