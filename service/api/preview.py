"""Routes that ask before something is saved: preview and backtest. Nothing is stored."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from service.adapters.postgres.backtest import backtest_store
from service.adapters.postgres.known_segments import SegmentsUnusable
from service.adapters.postgres.segments import PostgresSegments
from service.api.bodies import answer, body_docs, read_body
from service.api.errors import ApiError, Fault, refused
from service.api.questions import previews_of, questions_of
from service.api.schemas import Answer, Criteria, CustomerData, Money
from service.api.segments import BASE, Reader
from service.api.services import services_of
from service.app.backtest import STEP_DEFAULT, STEPS_MAX, SpanError, Step, backtest, moments_of
from service.app.preview import SAMPLE_DEFAULT, SAMPLE_MAX, preview, preview_data
from service.app.tokens import Permission
from service.core.criteria.parse import parse_criteria

#: External ids that one answer holds; the command line has no such limit.
BACKTEST_IDS_MAX: Final = 1_000_000

router: Final = APIRouter(prefix=BASE, tags=["questions"])

_BIG: Final = {"total_spent": {"operator": "gte", "value": "500.00", "window": {"days": 90}}}
_PREVIEW_EXAMPLES: Final = {
    "big spenders": {"criteria": _BIG, "sample": 5},
    "count alone": {"criteria": {"email_subscribed": True}, "sample": 0},
}
_BACKTEST_EXAMPLES: Final = {
    "a month by days": {"criteria": _BIG, "from": "2024-02-01", "to": "2024-03-01"},
    "who, by weeks": {"criteria": _BIG, "from": "2024-01-01", "to": "2024-03-01", "step": "1w", "members": True},
}


_TOO_MANY_IDS: Final = Fault(
    "members",
    f"must be false where the steps have more than {BACKTEST_IDS_MAX} members in all;"
    " `segments backtest` has no such limit",
    "too_many_ids",
)


class PreviewBody(BaseModel):
    """Criteria to try."""

    model_config = ConfigDict(extra="forbid")

    criteria: Criteria
    sample: Annotated[int, Field(ge=0, le=SAMPLE_MAX, strict=True, description="How many customers to show")] = (
        SAMPLE_DEFAULT
    )


class PreviewCustomer(CustomerData):
    """A customer for whom the criteria hold; a preview makes nobody a member, so what tells of membership is null."""

    membership_date: datetime | None  # type: ignore[assignment]  # narrower for members
    membership_source: str | None  # type: ignore[assignment]  # as above


class RevenueData(BaseModel):
    """What all these customers have bought so far."""

    total_spent: Money
    total_orders: int
    average_order_value: Annotated[Money, Field(description="0.00 without orders")]


class PreviewData(BaseModel):
    """Whom the criteria hold for now."""

    count: int
    sample: Annotated[list[PreviewCustomer], Field(description="The first of them by id")]
    revenue: RevenueData
    as_of: datetime


class BacktestBody(BaseModel):
    """Criteria and the instants at which to try them."""

    model_config = ConfigDict(extra="forbid")

    criteria: Criteria
    first: Annotated[str, Field(alias="from", max_length=40, description="A date (its start, in UTC) or an instant")]
    last: Annotated[str, Field(alias="to", max_length=40, description="As from; not after now")]
    step: Annotated[
        str,
        Field(
            max_length=10,
            description=f"1w, 1d, 12h, 30m; at most {STEPS_MAX} steps",
            json_schema_extra={"pattern": "^[1-9][0-9]{0,5}[wdhm]$"},
        ),
    ] = STEP_DEFAULT
    members: Annotated[bool, Field(strict=True, description="With external ids")] = False


class StepData(BaseModel):
    """The members at one instant."""

    at: datetime
    count: int
    joined: Annotated[int, Field(description="Against the step before; the first counts against nobody")]
    left: int
    members: Annotated[list[str] | None, Field(description="External ids by code point, where asked for")] = None


class BacktestData(BaseModel):
    """The members at each step."""

    steps: list[StepData]


@router.post(
    "/preview",
    response_model=Answer[PreviewData],
    responses={429: {}},
    summary="Whom criteria hold for",
    openapi_extra=body_docs(PreviewBody, _PREVIEW_EXAMPLES),
)
async def preview_criteria(request: Request, identity: Reader) -> Response:
    """Answers how many customers the criteria hold for now, some of them, and what all of them have bought."""
    body = await read_body(request, PreviewBody)
    parse_criteria(body.criteria)  # what is wrong is refused before it waits for its turn
    clock = services_of(request).clock
    async with previews_of(request) as store:
        found = await preview(store, PostgresSegments(store.connection), clock(), body.criteria, body.sample)
    data = preview_data(found, can_read_pii=identity.can(Permission.READ_PII))
    return answer(data, f"{found.count} customers")


@router.post(
    "/backtest",
    response_model=Answer[BacktestData],
    responses={409: {}, 429: {}},
    summary="Whom criteria would have had",
    openapi_extra=body_docs(BacktestBody, _BACKTEST_EXAMPLES),
)
async def backtest_criteria(request: Request, _: Reader) -> Response:
    """Answers how many members the criteria would have had at each step of a span of the past, from the facts."""
    body = await read_body(request, BacktestBody)
    services, questions = services_of(request), questions_of(request)
    try:
        moments = moments_of(body.first, body.last, body.step, services.clock())
    except SpanError as error:
        raise refused([Fault(error.field, str(error), "value_error")]) from None
    parse_criteria(body.criteria)  # as above
    limit = questions.backtest_seconds_max
    async with questions.turn(), backtest_store(services.database, limit, "SEGMENTS_BACKTEST_SECONDS_MAX") as store:
        segments = PostgresSegments(store.connection)
        asked = backtest(store, segments, body.criteria, moments, has_members=body.members)
        try:
            steps = await _collected(asked)
        except SegmentsUnusable as error:
            raise ApiError("conflict", str(error)) from None
    return answer({"steps": steps}, f"{len(steps)} steps")


async def _collected(asked: AsyncGenerator[Step]) -> list[dict[str, Any]]:
    """All steps, within the limit of ids.

    Raises:
        ApiError: they have more members.
    """
    steps = []
    ids = 0
    async with aclosing(asked) as found:
        async for step in found:
            ids += len(step.members or ())
            if ids > BACKTEST_IDS_MAX:
                raise refused([_TOO_MANY_IDS])
            steps.append(step.to_json())
    return steps
