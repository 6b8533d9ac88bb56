"""The route that sends a campaign to a few addresses of one's own, to see it where it will be read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from limits import RateLimitItemPerHour
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.mail.mailbox import AddressFault, read_mailbox
from service.adapters.mail.smtp import smtp_transport
from service.adapters.postgres.campaigns.people import people_of
from service.adapters.postgres.campaigns.store import PostgresCampaigns
from service.adapters.postgres.segments import PostgresSegments
from service.api.bodies import answer, body_docs, read_body
from service.api.campaign_actions import Sender
from service.api.campaign_answers import CampaignPath, campaign_id_of
from service.api.campaign_rules import check_may_send, rules_of
from service.api.errors import ApiError, Fault, refused
from service.api.once import OnceRoute
from service.api.schemas import Answer
from service.api.segments import BASE
from service.api.services import services_of
from service.app.campaigns.campaigns import CampaignConflict, read_campaign
from service.app.campaigns.checks import compiled
from service.app.campaigns.preview import rendered_for
from service.app.dispatch.transport import Accepted, Outbound, Outcome, Rejected, Transport
from service.app.tokens import Identity, Permission
from service.core.campaigns.model import Campaign
from service.core.identity import customer_uuid
from service.settings import Settings

ADDRESSES_MAX: Final = 10
TESTS_PER_HOUR_MAX: Final = 20
#: What stands in the place of a discount code: valid nowhere.
CODE: Final = "TEST-CODE"
TAG: Final = "[TEST] "
#: Stands in the place of links that would do something.
_NOWHERE: Final = "https://example.com"

router: Final = APIRouter(prefix=f"{BASE}/campaigns", tags=["campaigns"], route_class=OnceRoute)

_EXAMPLES: Final = {
    "to oneself": {"addresses": ["ada@example.com"]},
    "as a customer will see it": {"addresses": ["ada@example.com"], "customer_id": "C-1001"},
}


@dataclass(frozen=True)
class Trials:
    """Where tests may go, and how often one caller may ask for one; each process of `serve` counts for itself."""

    settings: Settings
    domains: frozenset[str]
    counts: MovingWindowRateLimiter = field(default_factory=lambda: MovingWindowRateLimiter(MemoryStorage()))

    @classmethod
    def of(cls, settings: Settings) -> Trials:
        """As the settings say."""
        listed = settings.test_domains_allowed.split(",")
        return cls(settings, frozenset(one.strip().lower() for one in listed if one.strip()))

    def open(self) -> Transport:
        """The way out for e-mail.

        Raises:
            CampaignConflict: there is none.
        """
        transport = smtp_transport(self.settings)
        if transport is None:
            msg = "Test mails need an SMTP server: set SEGMENTS_SMTP_URL"
            raise CampaignConflict(msg)
        return transport

    def count(self, caller: str) -> None:
        """Counts a test.

        Raises:
            ApiError: too_many.
        """
        if not self.counts.hit(RateLimitItemPerHour(TESTS_PER_HOUR_MAX), caller):
            message = f"You may send {TESTS_PER_HOUR_MAX} tests an hour and have done so; try again later"
            raise ApiError("too_many", message, headers={"retry-after": "600"})


class TestBody(BaseModel):
    """Where to, and as whom."""

    model_config = ConfigDict(extra="forbid")

    addresses: Annotated[
        list[Annotated[str, Field(min_length=3, max_length=254)]],
        Field(min_length=1, max_length=ADDRESSES_MAX, description="Of domains in SEGMENTS_TEST_DOMAINS_ALLOWED"),
    ]
    customer_id: Annotated[
        str | None,
        Field(min_length=1, max_length=128, description="Rendered for them; by default for the first member by id"),
    ] = None


class TestedData(BaseModel):
    """What became of the mail to one address."""

    address: str
    outcome: Literal["accepted", "rejected", "failed"]
    reason: str | None


class TestsData(BaseModel):
    """What became of the mails."""

    tests: list[TestedData]


@router.post(
    "/{campaign}/test",
    response_model=Answer[TestsData],
    responses={409: {}, 429: {}},
    summary="Send a campaign to oneself",
    openapi_extra=body_docs(TestBody, _EXAMPLES),
)
async def test(request: Request, identity: Sender, campaign: CampaignPath) -> Response:
    """Sends an e-mail campaign to a few addresses, marked as a test: no tracking, no valid code, in no counter."""
    campaign_id = campaign_id_of(campaign)
    body = await read_body(request, TestBody)
    tests = request.app.state.campaign_tests
    assert isinstance(tests, Trials)  # noqa: S101 - build_app put it there
    async with services_of(request).database.snapshot() as connection:
        found = await read_campaign(PostgresCampaigns(connection), campaign_id)
        check_may_send(identity, found)
        if found.channel != "email":
            msg = "Only e-mail can be tried out; POST .../preview shows what other channels would get"
            raise CampaignConflict(msg)
        addresses = _allowed(body.addresses, tests.domains)
        rendered = await _rendered(request, connection, identity, found, body.customer_id)
    transport = tests.open()
    tests.count(identity.sub)
    try:
        told = [_told(one, await transport.send(_mail(found, rendered, one))) for one in addresses]
    finally:
        await transport.close()
    taken = sum(one["outcome"] == "accepted" for one in told)
    return answer({"tests": told}, f"{taken} of {len(told)} test mails were taken over")


async def _rendered(
    request: Request, connection: AsyncConnection, identity: Identity, campaign: Campaign, customer_id: str | None
) -> dict[str, str | None]:
    """The parts for one customer, or for the first member.

    Raises:
        ApiError: invalid, there is no such customer, or it cannot be rendered for them.
        CampaignRefused: it cannot be rendered for anybody.
    """
    rules, segments = rules_of(request), PostgresSegments(connection)
    template = await asyncio.to_thread(compiled, rules.templates, campaign)
    names = await segments.names([campaign.segment_id])
    ids = await segments.member_ids(campaign.segment_id, 1) if customer_id is None else [customer_uuid(customer_id)]
    people = await people_of(connection, ids, campaign.segment_id)
    if not people or people[0].external_id is None:
        message = "must name a customer that there is; the segment has no member to take instead"
        raise refused([Fault("customer_id", message, "unknown_customer")])
    (rendered,) = await asyncio.to_thread(
        rendered_for,
        people,
        template,
        campaign,
        names.get(campaign.segment_id, ""),
        unsubscribe_url=f"{rules.public_url or _NOWHERE}/u/test",
        code=CODE if campaign.campaign_type == "discount" else None,
        can_read_pii=identity.can(Permission.READ_PII),
    )
    if rendered["error"] is not None:
        raise refused([Fault("customer_id", f"cannot be rendered for: {rendered['error']}", "render_error")])
    return rendered


def _allowed(addresses: Sequence[str], domains: frozenset[str]) -> list[str]:
    """The addresses, each once.

    Raises:
        ApiError: invalid, with each address that nothing may go to.
    """
    faults = []
    for index, one in enumerate(addresses):
        try:
            is_allowed = read_mailbox(one).domain.lower() in domains
        except AddressFault as fault:
            faults.append(Fault(f"addresses[{index}]", str(fault), "invalid_address"))
            continue
        if not is_allowed:
            listed = ", ".join(sorted(domains)) or "none so far"
            message = f"must be of a domain that SEGMENTS_TEST_DOMAINS_ALLOWED names: {listed}"
            faults.append(Fault(f"addresses[{index}]", message, "domain_not_allowed"))
    if faults:
        raise refused(faults)
    return list(dict.fromkeys(addresses))


def _mail(campaign: Campaign, rendered: dict[str, str | None], address: str) -> Outbound:
    return Outbound(
        message_id=uuid4(),
        attempt=1,
        channel=campaign.channel,
        address=address,
        subject=TAG + (rendered["subject"] or ""),
        text=rendered["text"] or "",
        html=rendered["html"],
        is_tagged_test=True,
    )


def _told(address: str, outcome: Outcome) -> dict[str, str | None]:
    if isinstance(outcome, Accepted):
        return {"address": address, "outcome": "accepted", "reason": None}
    return {
        "address": address,
        "outcome": "rejected" if isinstance(outcome, Rejected) else "failed",
        "reason": outcome.reason,
    }
