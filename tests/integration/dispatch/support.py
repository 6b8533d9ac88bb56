"""Campaigns in the database, customers who join, and what leaves: by the topic or by a real SMTP server."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes
from email.message import Message
from typing import Any
from uuid import UUID, uuid4

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope

from service.adapters.postgres.campaigns.store import PostgresCampaigns
from service.adapters.postgres.database import Database
from service.core import instants
from service.core.campaigns.model import Campaign, Options
from service.stack.ports import free_port
from tests.topics import topics_now
from tests.world import World

ACTIVATE = """
UPDATE customer_segment_campaigns
SET started_at = now(), activated_at = now(), scheduled_at = COALESCE(scheduled_at, now()) WHERE id = $1
"""
MESSAGES = """
SELECT m.*, c.external_id FROM campaign_messages m LEFT JOIN customers c USING (customer_id)
WHERE campaign_id = $1 ORDER BY c.external_id, occasion
"""
SET_STATE = "UPDATE customer_segment_campaigns SET state = $2, revision = revision + 1 WHERE id = $1"
STATE = "SELECT state, failure_reason FROM customer_segment_campaigns WHERE id = $1"


def now() -> int:
    """The wall clock, microseconds."""
    return time.time_ns() // 1_000


def registered(customer: str, **data: Any) -> dict:
    """Somebody comes who may be written to on all channels."""
    known = {"email": f"{customer}@example.com", "phone": "+12025550123", "first_name": customer.title()}
    consents = {"email_subscribed": True, "sms_subscribed": True}
    return event("customer.registered", customer, name=f"{customer.title()} Miller", **(known | consents | data))


def event(kind: str, customer: str, at: int | None = None, **data: Any) -> dict:
    """An event of now."""
    return {
        "specversion": "1.0",
        "id": uuid4().hex,
        "source": "/tests",
        "type": kind,
        "time": instants.to_text(now() if at is None else at),
        "data": {"customer_id": customer, **data},
    }


def traits(customer: str, **values: Any) -> dict:
    """A change of traits, by which customers join and leave."""
    return event("customer.updated", customer, traits=values)


def campaign(segment_id: str, **said: Any) -> Campaign:
    """An SMS campaign without quiet hours, unless said otherwise."""
    options = {"quiet_hours": False, **said.pop("options", {})}
    values = {"campaign_name": "Hello", "campaign_type": "sms", "channel": "sms", "content": "Hi {{ customer.name }}"}
    values |= {"trigger": "on_joined", "state": "active", "created_by": "tester"} | said
    return Campaign(id=uuid4(), segment_id=UUID(segment_id), options=Options(**options), **values)


def mail(segment_id: str, **said: Any) -> Campaign:
    """The same by e-mail."""
    values = {"campaign_type": "email", "channel": "email", "subject": "Hello {{ customer.first_name }}"}
    return campaign(segment_id, **(values | said))


async def begin(database: Database, made: Campaign) -> UUID:
    """Stores a campaign in its state, as if somebody had begun it now."""
    async with database.transaction() as connection:
        await PostgresCampaigns(connection).insert(made)
    async with database.session() as connection:
        await connection.execute(ACTIVATE, made.id)
    return made.id


async def rows(database: Database, campaign_id: UUID) -> list[Any]:
    """The campaign's messages, by customer."""
    async with database.session() as connection:
        return list(await connection.fetch(MESSAGES, campaign_id))


async def outcomes(database: Database, campaign_id: UUID) -> dict[str, tuple[str, str | None]]:
    """State and reason by customer; of campaigns with one message each."""
    return {row["external_id"]: (row["state"], row["reason"]) for row in await rows(database, campaign_id)}


async def set_state(database: Database, campaign_id: UUID, state: str) -> None:
    """As the API would."""
    async with database.session() as connection:
        await connection.execute(SET_STATE, campaign_id, state)


async def state_of(database: Database, campaign_id: UUID) -> tuple[str, str | None]:
    """Of a campaign: its state, and why it failed."""
    async with database.session() as connection:
        return tuple(await connection.fetchrow(STATE, campaign_id))


async def until_state(database: Database, campaign_id: UUID, state: str) -> None:
    """Waits until a campaign is in this state."""
    async with asyncio.timeout(30):
        while (await state_of(database, campaign_id))[0] != state:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)


@dataclass
class Requested:
    """One record of the topic of messages."""

    event_id: str
    kind: str
    key: str
    data: dict[str, Any]
    headers: dict[str, str]


def requested(world: World, kind: str = "campaign.message.requested") -> list[Requested]:
    """All records of a type that are committed, in order per customer."""
    found = []
    for record in topics_now(world.kafka, world.messages):
        headers = {name: value.decode() for name, value in record.headers}
        one = Requested(headers["ce_id"], headers["ce_type"], record.key.decode(), json.loads(record.value), headers)
        found.append(one)
    return [one for one in found if one.kind == kind]


@dataclass
class Sink:
    """A real SMTP server in this process; may answer whatever a test wants.

    Attributes:
        answers: by recipient, one for each try; else the mail is taken.
    """

    mails: list[tuple[str, Message]] = field(default_factory=list)
    answers: dict[str, list[str]] = field(default_factory=dict)
    port: int = 0

    @property
    def url(self) -> str:
        """As SEGMENTS_SMTP_URL."""
        return f"smtp://127.0.0.1:{self.port}"

    def __enter__(self) -> Sink:
        """Listens."""
        self.port = free_port()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Hangs up."""
        self._controller.stop()

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """A mail, once its final dot has come."""
        (to,) = envelope.rcpt_tos
        if self.answers.get(to):
            answer = self.answers[to].pop(0)
            if not answer.startswith("2"):
                return answer
        self.mails.append((to, message_from_bytes(envelope.content)))
        return "250 taken"

    def counts(self) -> dict[str, int]:
        """How many mails each address got."""
        found: dict[str, int] = {}
        for to, _ in self.mails:
            found[to] = found.get(to, 0) + 1
        return found


def later(seconds: float) -> Any:
    """An instant so much later, in UTC."""
    return instants.to_datetime(now()) + timedelta(seconds=seconds)
