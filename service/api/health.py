"""Whether the process lives, and whether it can work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import text

from service.adapters.kafka.offsets import OffsetReader
from service.adapters.postgres.migrate import current_revision, head_revision
from service.api.bodies import answer
from service.api.errors import STATUS, ApiError, Fault
from service.api.services import services_of
from service.settings import Settings

CHECK_SECONDS_MAX: Final = 3
DEGRADED: Final = "degraded"

router: Final = APIRouter(tags=["health"])
_log = structlog.get_logger(__name__)
Check = Callable[[], Awaitable[None]]


class NotReady(Exception):
    """A part does not do; the message says what to do."""


@router.get("/livez", summary="Is the process alive?")
async def livez() -> Response:
    """Answers as long as the process can; looks at nothing else, so that a lost database restarts nobody."""
    return answer({"status": "alive"}, "The process is alive")


_LINES: Final[dict[str, Any]] = {"content": {"text/plain": {"example": "[+]database ok\nreadyz check passed\n"}}}


@router.get("/readyz", summary="Can it work?", responses={200: _LINES, 503: _LINES})
async def readyz(
    request: Request,
    verbose: Annotated[str | None, Query(description="There at all: a line of text for each check")] = None,
) -> Response:
    """Answers 200 when the database answers with the schema this release needs and the broker is within reach.

    A process that has been told to stop is not ready. Partitions of input without a consumer are told as `degraded`
    and keep nobody from asking: the API answers all the same.
    """
    sentences, degraded = await _shared_look(request)
    if request.app.state.traffic.is_draining:
        sentences["shutdown"] = "the process has been told to stop and finishes what is under way"
    if verbose is not None:
        return _lines(sentences, degraded)
    faults = [Fault(name, sentence, "not_ready") for name, sentence in sentences.items() if sentence]
    if faults:
        raise ApiError("unavailable", "; ".join(f"{fault.path}: {fault.message}" for fault in faults), faults)
    checks = dict.fromkeys(sentences, "ok")
    checks |= {name: DEGRADED if sentence else "ok" for name, sentence in degraded.items()}
    found = {name: sentence for name, sentence in degraded.items() if sentence}
    return answer({"status": "ready", "checks": checks, **({DEGRADED: found} if found else {})}, "The service is ready")


async def _shared_look(request: Request) -> tuple[dict[str, str], dict[str, str]]:
    """What is wrong, and what is degraded. Who asks while others do gets their answer: a crowd is one question."""
    state = request.app.state
    looking: asyncio.Task[tuple[dict[str, str], dict[str, str]]] | None = getattr(state, "looking", None)
    if looking is None or looking.done():
        looking = state.looking = asyncio.create_task(_look_at_all(request))
    sentences, degraded = await asyncio.shield(looking)
    return dict(sentences), degraded


async def _look_at_all(request: Request) -> tuple[dict[str, str], dict[str, str]]:
    return await asyncio.gather(_look(_checks(request)), _look(_observed(request)))


def _checks(request: Request) -> dict[str, Check]:
    """What must do."""
    services = services_of(request)

    async def database() -> None:
        async with services.database.snapshot() as connection:
            await connection.execute(text("SELECT 1"))

    async def schema() -> None:
        _check_revision(await current_revision(services.database.engine), head_revision())

    return {"database": database, "schema": schema, "broker": services.broker_check}


def _observed(request: Request) -> dict[str, Check]:
    """What is told and keeps nobody from being ready; nothing where no broker is named."""
    settings: Settings = request.app.state.settings
    if not settings.kafka_bootstrap:
        return {}

    async def owned(reader: OffsetReader) -> tuple[int, int]:
        places = await reader.partitions(*settings.input_topics)
        names = {(place.topic, place.partition) for place in places}
        return len(names), len(names - await reader.owned(settings.consumer_group))

    async def assignment() -> None:
        partitions, missing = await request.app.state.broker.ask(owned)
        if missing:
            msg = f"{missing} of {partitions} input partitions have no consumer; see that `segments consume` runs"
            raise NotReady(msg)

    return {"assignment": assignment}


async def _look(checks: Mapping[str, Check]) -> dict[str, str]:
    """What is wrong with each, or nothing."""
    sentences = await asyncio.gather(*(_sentence(name, check) for name, check in checks.items()))
    return dict(zip(checks, sentences, strict=True))


async def _sentence(name: str, check: Check) -> str:
    """What is wrong, or nothing. Messages of drivers may hold addresses and users, so they stay in here."""
    checking = asyncio.ensure_future(check())
    await asyncio.wait((checking,), timeout=CHECK_SECONDS_MAX)
    if not checking.done():
        # Not waited for: to take a statement back from a server that stands still takes for ever, too.
        checking.cancel()
        error: BaseException | None = TimeoutError()
    else:
        error = checking.exception()
    if error is None or isinstance(error, NotReady):
        return str(error or "")
    _log.warning("not ready", check=name, error=type(error).__name__)
    return f"does not answer ({type(error).__name__})"


def _lines(sentences: Mapping[str, str], degraded: Mapping[str, str]) -> Response:
    """As Kubernetes writes it; machines go by the status."""
    lines = [f"[-]{name} failed: {said}" if said else f"[+]{name} ok" for name, said in sentences.items()]
    lines += [f"[!]{name} {DEGRADED}: {said}" if said else f"[+]{name} ok" for name, said in degraded.items()]
    is_ready = not any(sentences.values())
    lines.append(f"readyz check {'passed' if is_ready else 'failed'}")
    status = 200 if is_ready else STATUS["unavailable"][0]
    return Response("\n".join(lines) + "\n", status, media_type="text/plain; charset=utf-8")


def _check_revision(current: str | None, head: str) -> None:
    """Revisions count up; one beyond ours is a newer release's, which migrates in a way that we can go on with."""
    if current is None or current < head:
        msg = f"is at {current or 'nothing'} and must be at {head}; run `segments migrate`"
        raise NotReady(msg)
