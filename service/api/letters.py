"""Routes of dead letters: list, show, redrive."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Self

import structlog
from aiokafka.errors import KafkaError
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from service.adapters.kafka.sender import open_publisher
from service.adapters.postgres.letters import letter_by_id, page_of_letters, reading, redriving
from service.api.bodies import answer, body_docs, read_body
from service.api.errors import ApiError, Fault, refused
from service.api.guard import RETRY_SECONDS
from service.api.once import OnceRoute
from service.api.schemas import Answer
from service.api.segments import BASE, Reader, Updater
from service.api.services import services_of
from service.app.letters import (
    ID_MAX,
    IDS_MAX,
    REDRIVES,
    REDRIVES_MAX,
    Letter,
    LetterFilter,
    Publisher,
    Redrive,
    RedriveRefused,
    RedriveReport,
    RedriveUnderWay,
    letter_json,
    redrive,
)
from service.app.tokens import Permission
from service.core import instants
from service.settings import Settings

MASK: Final = "***"
TEXT_CHARACTERS_MAX: Final = 200

log = structlog.get_logger(__name__)
router: Final = APIRouter(prefix=BASE + "/dead-letters", tags=["dead letters"], route_class=OnceRoute)

Text = Annotated[str | None, Query(max_length=TEXT_CHARACTERS_MAX)]
Since = Annotated[str | None, Query(max_length=40, description="Set aside at or after this instant (RFC 3339)")]


@dataclass(frozen=True)
class Redriving:
    """What a redrive works with beside the database."""

    open_publisher: Callable[[], AbstractAsyncContextManager[Publisher]]
    topics: tuple[str, ...]

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings say; connects only where there is something to publish."""
        return cls(lambda: open_publisher(settings), settings.redrive_topics)


class LetterHead(BaseModel):
    """A record that was set aside."""

    id: int
    reason: Annotated[str, Field(examples=["invalid_data"])]
    error: str
    topic: str
    partition: int
    offset: int
    at: datetime
    redrives: Annotated[int, Field(description="How often it was published again")]
    redriven_at: datetime | None


class LetterData(LetterHead):
    """A dead letter with what the record held; without customers:read_pii that is masked."""

    key: str | None
    headers: list[tuple[str, str | None]]
    value: Annotated[str | None, Field(description="As UTF-8, with \\xNN for what is none")]
    value_base64: str | None
    is_masked: bool


class LetterPage(BaseModel):
    """One page of dead letters."""

    items: list[LetterHead]
    next_cursor: Annotated[str | None, Field(description="For the next page; null after the last")]
    total: int


class RedriveBody(BaseModel):
    """Either ids, or a filter."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[list[Annotated[int, Field(ge=1, le=ID_MAX)]], Field(max_length=IDS_MAX)] = []
    reason: Annotated[str, Field(max_length=TEXT_CHARACTERS_MAX)] | None = None
    topic: Annotated[str, Field(max_length=TEXT_CHARACTERS_MAX)] | None = None
    since: Annotated[str, Field(max_length=40)] | None = None
    limit: Annotated[int, Field(ge=1, le=REDRIVES_MAX, description="Oldest first")] = REDRIVES
    again: Annotated[bool, Field(strict=True, description="Also those that were redriven before")] = False


class Refusal(BaseModel):
    """A letter that cannot be redriven, and why."""

    id: int
    error: str


class RedriveData(BaseModel):
    """What was published again."""

    redriven: list[int]
    refused: Annotated[list[Refusal], Field(description="Of those named by id")]
    waiting: Annotated[int, Field(description="The filter finds so many more that were not redriven yet")]
    lost: Annotated[int, Field(description="The filter finds so many that are erased, cut off, or of another topic")]


_EXAMPLES: Final[dict[str, Any]] = {
    "two letters": {"ids": [17, 18]},
    "all of a reason": {"reason": "wrong_currency", "since": "2026-11-23T00:00:00Z"},
}


@router.get("", response_model=Answer[LetterPage], summary="Dead letters, newest first, by pages")
async def letters(
    request: Request,
    _: Reader,
    reason: Text = None,
    topic: Text = None,
    since: Since = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    cursor: Annotated[
        str | None,
        Query(
            max_length=100,
            description="next_cursor of the page before",
            json_schema_extra={"pattern": "^[1-9][0-9]{0,17}$"},
        ),
    ] = None,
) -> Response:
    """Answers where each record lay and why it was set aside, and nothing of what it held."""
    wanted = LetterFilter(_storable(reason, "reason"), _storable(topic, "topic"), _instant(since))
    before = None if cursor is None else _before(cursor)
    async with reading(services_of(request).database) as connection:
        found, total = await page_of_letters(connection, wanted, limit + 1, before)
    page = found[:limit]
    data = {
        "items": [letter_json(one) for one in page],
        "next_cursor": str(page[-1].id) if len(found) > limit else None,
        "total": total,
    }
    return answer(data, f"{len(page)} of {total} dead letters")


@router.get("/{letter}", response_model=Answer[LetterData], summary="One dead letter with what the record held")
async def letter(request: Request, identity: Reader, letter: Annotated[str, Path(description="Its id")]) -> Response:
    """Answers key, headers and bytes too; without customers:read_pii these are masked."""
    number = int(letter) if letter.isascii() and letter.isdecimal() and len(letter) < 20 else 0
    found = None
    if 0 < number <= ID_MAX:
        async with reading(services_of(request).database) as connection:
            found = await letter_by_id(connection, number)
    if found is None:
        raise ApiError("not_found", "There is no such dead letter; they are named by the ids that the list gives")
    return answer(_shown(found, can_read_pii=identity.can(Permission.READ_PII)), f"Dead letter {number}")


@router.post(
    "/redrive",
    response_model=Answer[RedriveData],
    responses={409: {}},
    summary="Publish dead letters again",
    openapi_extra=body_docs(RedriveBody, _EXAMPLES),
)
async def redrive_letters(request: Request, _: Updater) -> Response:
    """Publishes letters as they came, to the topic they came from.

    What fails again becomes a new dead letter. Publishing comes before the mark, so a crash may repeat some; what was
    applied once changes nothing.
    """
    body = await read_body(request, RedriveBody)
    wanted = LetterFilter(_storable(body.reason, "reason"), _storable(body.topic, "topic"), _instant(body.since))
    report = await _redrive(request, Redrive(body.ids, wanted, body.limit, body.again))
    log.info("dead letters redriven", count=len(report.redriven))
    return answer(report.as_json(), f"{len(report.redriven)} dead letters have been published again")


async def _redrive(request: Request, asked: Redrive) -> RedriveReport:
    work: Redriving = request.app.state.redriving
    try:
        async with redriving(services_of(request).database) as store:
            return await redrive(store, work.open_publisher, work.topics, asked)
    except RedriveRefused as error:
        raise refused([Fault("ids", str(error), "value_error")]) from None
    except RedriveUnderWay:
        raise ApiError("conflict", "Another redrive is under way; try again when it is done") from None
    except KafkaError:
        message = "The broker cannot be reached or refuses; letters published so far are marked, so try again later"
        raise ApiError("unavailable", message, headers={"retry-after": str(RETRY_SECONDS)}) from None


def _shown(one: Letter, *, can_read_pii: bool) -> dict[str, Any]:
    data = letter_json(one)
    key, value, headers = _text(one.key), _text(one.value), [list(pair) for pair in one.headers]
    encoded = None if one.value is None else base64.b64encode(one.value).decode()
    if not can_read_pii:
        key, value, encoded = (text and MASK for text in (key, value, encoded))
        headers = [[name, text and MASK] for name, text in headers]
    held = {"key": key, "headers": headers, "value": value, "value_base64": encoded, "is_masked": not can_read_pii}
    return {**data, **held}


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode(errors="backslashreplace")


def _before(cursor: str) -> int:
    number = int(cursor) if cursor.isascii() and cursor.isdecimal() and len(cursor) < 20 else 0
    if not 0 < number <= ID_MAX:
        message = "is no cursor of this list; use the next_cursor of the page before, or leave it out"
        raise refused([Fault("cursor", message, "invalid_cursor")])
    return number


def _storable(text: str | None, name: str) -> str | None:
    if text is not None and ("\0" in text or any("\ud800" <= one <= "\udfff" for one in text)):
        raise refused([Fault(name, "must not hold U+0000 or half a surrogate pair", "value_error")])
    return text


def _instant(text: str | None) -> datetime | None:
    try:
        return None if text is None else instants.to_datetime(instants.parse(text))
    except ValueError:
        message = "must be an instant such as 2024-02-29T12:00:00Z, with + written as %2B in an address"
        raise refused([Fault("since", message, "invalid_instant")]) from None
