"""What every request passes on its way in and every answer on its way out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware

from service.api.guard import Guard
from service.api.socket_guard import SocketGuard

#: Smaller answers gain nothing.
GZIP_BYTES_MIN: Final = 1_024
GZIP_LEVEL: Final = 4  # of 1 to 9
#: Compressed as they are.
_ZIPPED: Final = (*DEFAULT_EXCLUDED_CONTENT_TYPES, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")
_EXPOSED: Final = ("ETag", "Idempotency-Replayed", "Location", "Retry-After", "X-Request-Id")
_TAKEN: Final = ("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "Traceparent", "X-Request-Id")
PREFLIGHT_SECONDS: Final = 600


def add_middlewares(app: FastAPI, origins: Sequence[str]) -> None:
    """Adds all of them; the guard is around the others, so that everything has a request id and safe headers.

    Args:
        app: the application.
        origins: the web sites whose pages may call the API, with a token of their own; cookies mean nothing here.
    """
    app.add_middleware(
        GZipMiddleware, minimum_size=GZIP_BYTES_MIN, compresslevel=GZIP_LEVEL, exclude_content_types=_ZIPPED
    )
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=_TAKEN,
            expose_headers=_EXPOSED,
            max_age=PREFLIGHT_SECONDS,
        )
    app.add_middleware(Guard)
    app.add_middleware(SocketGuard)
