"""uvicorn around the application."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Final

import structlog
import uvicorn
from fastapi import FastAPI

#: How long requests that are under way may take to end after SIGTERM.
DRAIN_SECONDS_MAX: Final = 10
HEADER_BYTES_MAX: Final = 32_768

_log = structlog.get_logger(__name__)


class _Server(uvicorn.Server):
    """A server without signals of its own, which uvicorn would raise again at the end: the exit code would not be 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to the role."""
        yield


async def serve_api(app: FastAPI, host: str, port: int, stop: asyncio.Event) -> None:
    """Serves until `stop` is set, then ends what is under way within DRAIN_SECONDS_MAX.

    Raises:
        OSError: the port cannot be had.
    """
    config = uvicorn.Config(
        app,
        access_log=False,  # the guard writes one line a request, without what stands in addresses
        log_config=None,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=DRAIN_SECONDS_MAX,
        h11_max_incomplete_event_size=HEADER_BYTES_MAX,
    )
    server = _Server(config)
    # Bound here, for uvicorn would end the process where the port is taken.
    with socket.create_server((host, port), family=_family(host), backlog=config.backlog) as listener:
        _log.info("serving", host=host, port=listener.getsockname()[1])
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        server.should_exit = True
        await serving
    _log.info("stopped serving")


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
