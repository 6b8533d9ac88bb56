"""Whether the process lives, and whether it can work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from fastapi import APIRouter, Request, Response
from sqlalchemy import text

from service.adapters.postgres.migrate import current_revision, head_revision
from service.api.bodies import answer
from service.api.errors import ApiError, Fault
from service.api.services import services_of

CHECK_SECONDS_MAX: Final = 3

router: Final = APIRouter(tags=["health"])
_log = structlog.get_logger(__name__)


class NotReady(Exception):
    """A part does not do; the message says what to do."""


@router.get("/livez", summary="Is the process alive?")
async def livez() -> Response:
    """Answers as long as the process can; looks at nothing else, so that a lost database restarts nobody."""
    return answer({"status": "alive"}, "The process is alive")


@router.get("/readyz", summary="Can it work?")
async def readyz(request: Request) -> Response:
    """Answers 200 when the database answers with the schema this release needs and the broker is within reach."""
    services = services_of(request)

    async def database() -> None:
        async with services.database.snapshot() as connection:
            await connection.execute(text("SELECT 1"))

    async def schema() -> None:
        _check_revision(await current_revision(services.database.engine), head_revision())

    checks: dict[str, Callable[[], Awaitable[None]]] = {
        "database": database,
        "schema": schema,
        "broker": services.broker_check,
    }
    sentences = await asyncio.gather(*(_sentence(name, check) for name, check in checks.items()))
    faults = [Fault(name, sentence, "not_ready") for name, sentence in zip(checks, sentences, strict=True) if sentence]
    if faults:
        raise ApiError("unavailable", "; ".join(f"{fault.path}: {fault.message}" for fault in faults), faults)
    return answer({"status": "ready", "checks": dict.fromkeys(checks, "ok")}, "The service is ready")


async def _sentence(name: str, check: Callable[[], Awaitable[None]]) -> str:
    """What is wrong, or nothing. Messages of drivers may hold addresses and users, so they stay in here."""
    try:
        await asyncio.wait_for(check(), CHECK_SECONDS_MAX)
    except NotReady as error:
        return str(error)
    except Exception as error:
        _log.warning("not ready", check=name, error=type(error).__name__)
        return f"does not answer ({type(error).__name__})"
    return ""


def _check_revision(current: str | None, head: str) -> None:
    """Revisions count up; one beyond ours is a newer release's, which migrates in a way that we can go on with."""
    if current is None or current < head:
        msg = f"is at {current or 'nothing'} and must be at {head}; run `segments migrate`"
        raise NotReady(msg)
