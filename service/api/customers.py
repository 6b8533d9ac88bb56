"""The route of one customer: profile, memberships, history."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, Field

from service.adapters.postgres.customers import read_person, read_standings, segment_names
from service.adapters.postgres.explain import PostgresExplain
from service.adapters.postgres.history import latest_of_customer, version_starts
from service.api.bodies import answer
from service.api.errors import ApiError
from service.api.history import TransitionData
from service.api.schemas import Answer, Location, Money
from service.api.segments import BASE, Reader
from service.api.services import services_of
from service.app.customers import TRANSITIONS_MAX, kept_out_json, membership_json, past_json, profile_json
from service.app.explain import CustomerMissing, known_customer
from service.app.tokens import Permission

router: Final = APIRouter(prefix=BASE, tags=["customers"])


class ProfileData(BaseModel):
    """A customer. Without customers:read_pii names, email, phone and the values of traits are masked."""

    id: UUID
    external_id: Annotated[str, Field(description="The id as the events gave it", examples=["C-1001"])]
    name: str | None
    first_name: str | None
    email: str | None
    phone: str | None
    customer_type: str | None
    locale: str | None
    timezone: str | None
    location: Location | None
    email_subscribed: bool | None
    sms_subscribed: bool | None
    push_subscribed: bool | None
    traits: dict[str, Any]
    is_masked: bool
    total_orders: int
    total_spent: Money
    average_order_value: Money
    first_order_date: datetime | None
    last_order_date: datetime | None
    registration_date: datetime | None
    last_login: datetime | None
    first_seen: Annotated[datetime | None, Field(description="The first event; null for who is only in a list by hand")]


class MembershipData(BaseModel):
    """A segment that the customer is a member of."""

    segment_id: UUID
    segment_name: str
    since: datetime
    source: Annotated[str, Field(description="Why the customer joined", examples=["event"])]
    segment_version: Annotated[int, Field(description="The version under which the customer joined")]
    pin: Annotated[Literal["included"] | None, Field(description="A member by hand, whatever the criteria say")]


class KeptOut(BaseModel):
    """A segment that the customer is kept out of by hand."""

    segment_id: UUID
    segment_name: str


class CustomerTransition(TransitionData):
    """A join or a leave with its segment, which may be deleted since."""

    segment_id: UUID
    segment_name: str | None


class CustomerAnswer(BaseModel):
    """All that is shown of one customer."""

    profile: ProfileData
    memberships: Annotated[list[MembershipData], Field(description="Current ones, by the segments' names")]
    excluded_from: list[KeptOut]
    history: Annotated[list[CustomerTransition], Field(description=f"The last {TRANSITIONS_MAX} joins and leaves")]


@router.get("/customers/{customer:path}", response_model=Answer[CustomerAnswer], summary="One customer")
async def customer_page(
    request: Request,
    identity: Reader,
    customer: Annotated[str, Path(description="The id as the events gave it, or the customer's UUID")],
) -> Response:
    """Answers profile, current memberships and the latest joins and leaves, all of one instant.

    An erased customer is a 404 that says so; of who is in a list by hand without any event only the id is known.
    """
    async with services_of(request).database.snapshot() as connection:
        try:
            customer_id, _ = await known_customer(PostgresExplain(connection), customer)
        except CustomerMissing as error:
            raise ApiError("not_found", str(error)) from None
        person = await read_person(connection, customer_id)
        standings = await read_standings(connection, customer_id)
        past = await latest_of_customer(connection, customer_id, TRANSITIONS_MAX)
        segment_ids = list({one.segment_id for one in past})
        names = await segment_names(connection, segment_ids)
        versions = await version_starts(connection, segment_ids)
    data = {
        "profile": profile_json(person, can_read_pii=identity.can(Permission.READ_PII)),
        "memberships": [membership_json(one) for one in standings if one.joined_at is not None],
        "excluded_from": [kept_out_json(one) for one in standings if one.is_included is False],
        "history": past_json(past, names, versions),
    }
    return answer(data, "The customer")
