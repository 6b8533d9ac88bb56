"""uvicorn around the application."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Final

import structlog
import uvicorn
from fastapi import FastAPI

from service.api.traffic import Traffic

#: How long requests that are under way may take to end after SIGTERM.
DRAIN_SECONDS_MAX: Final = 10
#: How long connections stay open that ask nothing at that moment: what they sent just now is on its way.
LINGER_SECONDS: Final = 0.5
HEADER_BYTES_MAX: Final = 32_768
#: Sockets are there to be listened to; who sends more at once is cut off.
SOCKET_MESSAGE_BYTES_MAX: Final = 1_024
#: How often the other side of a socket is asked whether it lives, and how long it may take to answer: longer than it
#: takes to find that it reads too slowly, for the question waits behind all that it has not read.
PING_SECONDS: Final = 20
PONG_SECONDS_MAX: Final = 60

_log = structlog.get_logger(__name__)


class _Server(uvicorn.Server):
    """A server without signals of its own, which uvicorn would raise again at the end: the exit code would not be 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to the role."""
        yield


async def serve_api(app: FastAPI, traffic: Traffic, host: str, port: int, stop: asyncio.Event) -> None:
    """Serves until `stop` is set, then ends what is under way within DRAIN_SECONDS_MAX.

    Until then it still answers whoever comes, /readyz with 503, so that balancers look for somebody else. When nothing
    is under way it takes no more connections, and closes those there are a moment later.

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
        ws_max_size=SOCKET_MESSAGE_BYTES_MAX,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PONG_SECONDS_MAX,
        ws_per_message_deflate=False,  # compressing for each socket alone costs more than it saves
    )
    server = _Server(config)
    # Bound here, for uvicorn would end the process where the port is taken.
    with listen(host, port, config.backlog) as listener:
        _log.info("serving", host=host, port=listener.getsockname()[1])
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        started = time.monotonic()
        await traffic.drain(DRAIN_SECONDS_MAX)
        for one in server.servers if server.started else ():
            one.close()  # nobody new; who is connected is answered, and then sent away by that answer
        await asyncio.sleep(LINGER_SECONDS)
        await traffic.drain(max(0.0, started + DRAIN_SECONDS_MAX - time.monotonic()))
        config.timeout_graceful_shutdown = max(1, round(started + DRAIN_SECONDS_MAX - time.monotonic()))
        server.should_exit = True
        await serving
    _log.info("stopped serving")


def listen(host: str, port: int, backlog: int) -> socket.socket:
    """A socket that listens; what it accepts sends at once.

    asyncio sees to that only for sockets that name their protocol, which these do not. Without it a body waits for the
    acknowledgement of its headers, which the other side may keep back for 40 ms.
    """
    listener = socket.create_server((host, port), family=_family(host), backlog=backlog)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
