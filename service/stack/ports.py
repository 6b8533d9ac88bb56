"""Free TCP ports on the loopback interface."""

from __future__ import annotations

import random
import socket

from service.stack.errors import StackError

LOOPBACK = "127.0.0.1"
# Below the ports that Linux (from 32768) and macOS (from 49152) give to outgoing connections: a client that
# keeps trying to reach a server that is just restarting must not be given, as its own, the port it knocks at.
FIRST_PORT, LAST_PORT = 20_000, 32_000
TRIES_MAX = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as both servers do: TIME_WAIT is free
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_port(taken: frozenset[int] = frozenset()) -> int:
    """A random port that is free and not in `taken`.

    Raises:
        StackError: none was found.
    """
    for _ in range(TRIES_MAX):
        port = random.randint(FIRST_PORT, LAST_PORT)  # noqa: S311  nothing secret about a port
        if port not in taken and is_free(port):
            return port
    msg = f"No free TCP port between {FIRST_PORT} and {LAST_PORT} on {LOOPBACK}: end some servers there."
    raise StackError(msg)
