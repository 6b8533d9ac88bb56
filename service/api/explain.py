"""The route that says why a customer is in a segment or out of it."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, Field

from service.adapters.postgres.explain import PostgresExplain
from service.adapters.postgres.segments import PostgresSegments
from service.api.bodies import answer
from service.api.errors import ApiError
from service.api.schemas import Answer
from service.api.segments import BASE, Reader, SegmentPath, segment_id_of
from service.api.services import services_of
from service.app.customers import MASK
from service.app.explain import CustomerMissing, ExplainError, explain, find_evidence
from service.app.segments import read_segment
from service.app.tokens import Permission

#: The key of conditions on traits.
TRAITS: Final = "traits"

router: Final = APIRouter(prefix=BASE, tags=["customers"])


class PredicateData(BaseModel):
    """One condition of the criteria, judged now."""

    path: Annotated[str, Field(examples=["criteria.all[1].total_spent"])]
    criteria: Annotated[dict[str, Any], Field(description="The condition as the segment's criteria give it")]
    value: Annotated[Any, Field(description="What the condition looked at; null where it is missing")]
    verdict: bool


class ExplanationData(BaseModel):
    """Why a customer is in a segment or out of it."""

    member: Annotated[bool, Field(description="As stored")]
    since: Annotated[datetime | None, Field(description="Since when; null for who never was a member")]
    changes_at: Annotated[datetime | None, Field(description="When time alone changes it; null if never")]
    pin: Annotated[Literal["included", "excluded"] | None, Field(description="What was decided by hand or import")]
    notes: Annotated[list[str], Field(description="What else one must know to read the answer")]
    predicates: list[PredicateData]


@router.get(
    "/{segment}/customers/{customer:path}/explain",
    response_model=Answer[ExplanationData],
    summary="Why a customer is in a segment or out of it",
)
async def explain_customer(
    request: Request,
    identity: Reader,
    segment: SegmentPath,
    customer: Annotated[str, Path(description="The id as the events gave it, or the customer's UUID")],
) -> Response:
    """Answers each condition with what it looked at and its verdict, judged anew from the facts.

    Without customers:read_pii the values of traits are masked.
    """
    segment_id = segment_id_of(segment)
    services = services_of(request)
    try:
        async with services.database.snapshot() as connection:
            found = await read_segment(PostgresSegments(connection), segment_id)
            evidence = await find_evidence(PostgresExplain(connection), customer, found)
    except CustomerMissing as error:
        raise ApiError("not_found", str(error)) from None
    except ExplainError as error:
        raise ApiError("invalid", str(error)) from None
    # A customer with many facts may take a second or two; other requests go on meanwhile.
    data = await asyncio.to_thread(explain, evidence, services.clock())
    if not identity.can(Permission.READ_PII):
        data["predicates"] = [_masked(one) for one in data["predicates"]]
    return answer(data, "The explanation")


def _masked(predicate: dict[str, Any]) -> dict[str, Any]:
    """Without the value of a trait; a value that is missing is shown as missing."""
    is_hidden = TRAITS in predicate["criteria"] and predicate["value"] is not None
    return {**predicate, "value": MASK} if is_hidden else predicate
