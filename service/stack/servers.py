"""Kafka and PostgreSQL for this stack: the ones named in the environment, else in Docker, else embedded.

    with start_servers(load_settings(), Path(".local")) as servers:
        print(servers.database_url, servers.kafka_bootstrap, servers.pids())

SEGMENTS_STACK=docker|embedded forces one of the two; `auto`, the default, stays with what the data directory was
first used with, since that has the data.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from service.settings import Settings
from service.stack.artifacts import cache_dir
from service.stack.docker import DockerKafka, DockerPostgres, engine_answers
from service.stack.errors import StackError
from service.stack.group import STOP_SECONDS, Server, Servers
from service.stack.kafka import EmbeddedKafka
from service.stack.ports import free_port, is_free
from service.stack.postgres import EmbeddedPostgres
from service.stack.state import DataDir

__all__ = ["Servers", "start_servers"]

START_TRIES = 3
MODES = ("auto", "docker", "embedded")

_log = structlog.get_logger(__name__)


def start_servers(
    settings: Settings,
    data_dir: Path,
    *,
    fsync: bool = True,
    sasl: tuple[str, str] | None = None,
    proxied: tuple[int, int] | None = None,
) -> Servers:
    """Bring up what is missing of both servers, wait until both answer, hold the data directory till `stop`.

    Args:
        settings: database_url and kafka_bootstrap win where they are set.
        data_dir: data, logs, ports and secrets; made if need be.
        fsync: False only for tests: a power cut may then lose what PostgreSQL committed.
        sasl: user and password that the broker, then an embedded one, asks of its clients (SASL_PLAINTEXT, PLAIN).
        proxied: a second port of the broker, then an embedded one, and the port of the proxy before it, which its
            clients are told to use.

    Raises:
        StackError: the data directory is taken, or a server cannot be had or does not start.
    """
    mode = os.environ.get("SEGMENTS_STACK") or "auto"
    if mode not in MODES:
        msg = f"SEGMENTS_STACK is {mode!r}: it must be one of {', '.join(MODES)}."
        raise StackError(msg)
    given = {}
    if settings.database_url is not None:
        given["postgres"] = _plain_url(settings.database_url.get_secret_value())
    if settings.kafka_bootstrap is not None:
        given["kafka"] = settings.kafka_bootstrap
    wanted = [name for name in ("postgres", "kafka") if name not in given]
    data = DataDir.open(data_dir)
    try:
        return _start(data, given, wanted, "embedded" if sasl or proxied else mode, fsync, sasl, proxied)
    except BaseException:
        data.close()
        raise


def _plain_url(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"postgresql{separator}{rest}" if scheme.startswith("postgres") else url


def _start(
    data: DataDir,
    given: Mapping[str, str],
    wanted: list[str],
    mode: str,
    fsync: bool,
    sasl: tuple[str, str] | None,
    proxied: tuple[int, int] | None,
) -> Servers:
    if not wanted:
        return Servers(data, given, {})
    memory = data.load("servers")
    kind, bound = _kind(data.path, mode, memory.get("kind"))
    for attempt in range(1, START_TRIES + 1):
        memory |= {
            "kind": kind,
            "password": memory.get("password") or secrets.token_hex(16),
            "ports": _ports(memory.get("ports", {})),
        }
        # The password before PostgreSQL gets it; what a start cut short chose by itself does not bind the next.
        data.save("servers", {name: value for name, value in memory.items() if bound or name != "kind"})
        _log.info("starting servers", kind=kind, names=wanted, data_dir=str(data.path))
        servers = Servers(data, given, _make(data.path, wanted, memory, fsync, sasl, proxied))
        try:
            servers.start()
        except BaseException as error:
            servers.stop_ours(STOP_SECONDS)
            if not isinstance(error, StackError) or attempt == START_TRIES:
                raise
            if kind == "docker" and not bound:
                _log.warning("Docker answers but cannot run the servers: going on without it", error=str(error))
                kind = "embedded"
            elif not servers.has_lost_a_port():  # taken by somebody else between our look and the start?
                raise
        else:
            data.save("servers", memory)
            return servers
    raise AssertionError


def _kind(data_dir: Path, mode: str, before: str | None) -> tuple[str, bool]:
    """docker or embedded, and whether the user or data from an earlier start leave no other choice."""
    kind = mode if mode != "auto" else before
    if kind == "docker" and not engine_answers():
        msg = (
            f"The servers of {data_dir} run in Docker, and no Docker engine answers: start it, "
            "or set SEGMENTS_STACK=embedded for servers without it (with data of their own)."
        )
        raise StackError(msg)
    if kind is not None:
        return kind, True
    return ("docker" if engine_answers() else "embedded"), False


def _make(
    data_dir: Path,
    names: list[str],
    memory: Mapping[str, Any],
    fsync: bool,
    sasl: tuple[str, str] | None,
    proxied: tuple[int, int] | None,
) -> dict[str, Server]:
    ports, password = memory["ports"], memory["password"]
    if memory["kind"] == "docker":
        makers: dict[str, Callable[[], Server]] = {
            "postgres": lambda: DockerPostgres(data_dir, ports["postgres"], password),
            "kafka": lambda: DockerKafka(data_dir, ports["kafka"]),
        }
    else:
        cache = cache_dir(data_dir)
        makers = {
            "postgres": lambda: EmbeddedPostgres(
                data_dir / "postgres", ports["postgres"], password, cache, fsync=fsync
            ),
            "kafka": lambda: EmbeddedKafka(
                data_dir / "kafka", ports["kafka"], ports["controller"], cache, sasl=sasl, proxied=proxied
            ),
        }
    return {name: makers[name]() for name in names}


def _ports(before: Mapping[str, Any]) -> dict[str, int]:
    chosen: dict[str, int] = {}
    for name in ("postgres", "kafka", "controller"):
        port = before.get(name)
        usable = isinstance(port, int) and is_free(port)
        chosen[name] = port if usable and port is not None else free_port(frozenset(chosen.values()))
    return chosen
