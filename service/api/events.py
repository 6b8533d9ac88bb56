"""Events over HTTP: checked, then written to the input topics, for senders without Kafka."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self

import structlog
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from service.adapters.kafka.lasting import BrokerAway, LastingPublisher, Outbound
from service.api.auth import Requires
from service.api.bodies import answer, read_bytes
from service.api.errors import ApiError, Fault, refused
from service.api.guard import RETRY_SECONDS
from service.api.schemas import Answer
from service.api.services import services_of
from service.api.signatures import SignatureError, Signatures, is_signed
from service.app.accept import EVENTS_MAX, NoJson, NoList, faults_of_events, has_trace, split_events
from service.app.publishing import address_of
from service.app.tokens import Identity, Permission
from service.core.events.decode import Rules
from service.core.events.envelope import read_traceparent
from service.settings import Settings, SettingsError

PATH: Final = "/api/events"
BODY_BYTES_MAX: Final = 4_194_304
#: Who speaks where a signature does instead of a token.
SIGNER: Final = Identity("events-hmac", "Signed events", frozenset({str(Permission.WRITE_EVENTS)}))
_CHALLENGE: Final = {"www-authenticate": "Bearer"}

log = structlog.get_logger(__name__)
router: Final = APIRouter(tags=["events"])


@dataclass(frozen=True)
class Intake:
    """What the route works with."""

    publisher: LastingPublisher
    signatures: Signatures | None
    rules: Rules
    orders_topic: str
    customers_topic: str

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings say; connects with the first events."""
        return cls(
            LastingPublisher(settings),
            Signatures.of(settings.events_hmac_secret),
            Rules(settings.currency, settings.event_bytes_max, settings.fixed_clock is not None),
            settings.orders_topic,
            settings.customers_topic,
        )

    def outbound(self, raw: bytes, trace: str | None) -> Outbound:
        """An event as `segments publish` sends it, with the request's trace if it has none of its own."""
        address = address_of(raw)
        topic = self.customers_topic if address.is_of_customers else self.orders_topic
        headers: list[tuple[str, bytes | None]] = list(address.headers)
        if trace is not None and not has_trace(raw):
            headers.append(("traceparent", trace.encode()))
        return topic, address.key, raw, headers


class SignedOrToken(Requires):
    """A dependency: a token that carries the permission, or a signature of the body."""

    async def _accept(self, request: Request) -> Identity:
        if "authorization" in request.headers or not is_signed(request.headers):
            return await super()._accept(request)
        signatures = intake_of(request).signatures
        if signatures is None:
            message = "Signatures are not accepted: SEGMENTS_EVENTS_HMAC_SECRET is not set; send a token"
            raise ApiError("unauthenticated", message, headers=_CHALLENGE)
        try:
            signatures.check_headers(request.headers, time.time())
            body = request.state.body = await read_bytes(request, BODY_BYTES_MAX)
            signatures.check(request.headers, body, time.time())
        except SignatureError as error:
            raise ApiError("unauthenticated", str(error), headers=_CHALLENGE) from None
        return SIGNER


class EventsData(BaseModel):
    """How many events the broker has."""

    accepted: Annotated[int, Field(examples=[2])]


_EXAMPLE: Final[list[dict[str, Any]]] = [
    {
        "specversion": "1.0",
        "id": "order-1001-placed",
        "source": "/shop",
        "type": "order.placed",
        "time": "2024-02-29T12:00:00Z",
        "data": {"order_id": "1001", "customer_id": "C-1", "currency": "USD", "total": "99.90"},
    },
    {
        "specversion": "1.0",
        "id": "customer-1-registered",
        "source": "/shop",
        "type": "customer.registered",
        "time": "2024-02-29T11:00:00Z",
        "data": {"customer_id": "C-1", "email": "ada@example.com"},
    },
]
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "array", "items": {"type": "object"}, "minItems": 1, "maxItems": EVENTS_MAX},
                "examples": {"two_events": {"summary": "two events", "value": _EXAMPLE}},
            }
        },
    }
}


@router.post(
    PATH,
    status_code=202,
    response_model=Answer[EventsData],
    summary="Send events",
    openapi_extra=_BODY,
)
async def post_events(
    request: Request, identity: Annotated[Identity, Depends(SignedOrToken(Permission.WRITE_EVENTS))]
) -> Response:
    """Takes 1 to 1,000 CloudEvents in structured JSON, all or none, and answers when the broker has them.

    Instead of a token a request may be signed with the secret EVENTS_HMAC_SECRET: by Standard Webhooks (webhook-id,
    webhook-timestamp, webhook-signature), or with `X-Signature-256: sha256=<hex>` over the body. After a 503 send the
    same events again: those that arrived are known by their ids.
    """
    intake = intake_of(request)
    events = await _read_events(request)
    found = faults_of_events(events, intake.rules, services_of(request).clock())
    if found:
        raise refused([Fault(*fault) for fault in found])
    own = read_traceparent(request.headers.get("traceparent"))
    try:
        await intake.publisher.send([intake.outbound(raw, own) for raw in events])
    except (BrokerAway, SettingsError):
        message = "The broker did not acknowledge the events in time; send the same ones again in a few seconds"
        raise ApiError("unavailable", message, headers={"retry-after": str(RETRY_SECONDS)}) from None
    log.info("events accepted", count=len(events), by=identity.sub)
    said = "1 event has" if len(events) == 1 else f"{len(events)} events have"
    return answer({"accepted": len(events)}, f"{said} been accepted", 202)


async def _read_events(request: Request) -> list[bytes]:
    body = getattr(request.state, "body", None)
    if body is None:
        body = await read_bytes(request, BODY_BYTES_MAX)
    try:
        events = split_events(body)
    except NoList as error:
        raise refused([Fault("body", str(error), "list_type")]) from None
    except NoJson as error:
        fault = Fault(error.path, str(error), "invalid_json")
        raise ApiError("invalid_json", f"{fault.path}: {fault.message}", [fault]) from None
    if not 1 <= len(events) <= EVENTS_MAX:
        raise refused([Fault("body", f"has {len(events)} events; send 1 to {EVENTS_MAX}", "length")])
    return events


def intake_of(request: Request) -> Intake:
    """The intake of the application that this request came to."""
    intake = request.app.state.intake
    assert isinstance(intake, Intake)  # noqa: S101 - build_app put it there
    return intake
