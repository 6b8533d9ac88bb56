"""Campaigns for tests: what is said of them, and messages as the dispatcher would leave them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
from sqlalchemy import insert

from service.adapters.postgres.campaign_tables import campaign_messages
from service.core import instants
from service.core.campaigns.identity import message_id
from tests.api.support import NOW, Api, bearer, token

#: The clock of these tests, and an hour later.
CLOCK = instants.to_datetime(NOW)
LATER = "2023-11-15T00:00:00Z"
EMAIL = {"campaign_name": "News", "campaign_type": "email", "subject": "News", "content": "<p>Hello</p>"}
SMS = {"campaign_name": "Short", "campaign_type": "sms", "content": "Hello"}
NOTIFICATION = {"campaign_name": "Ping", "campaign_type": "notification", "content": "Hello", "title": "News"}
DISCOUNT = {
    "campaign_name": "15 off",
    "campaign_type": "discount",
    "subject": "15% off",
    "content": "Use {{ discount.code }}",
    "discount_type": "percentage",
    "discount_amount": "15.00",
    "discount_code": "SPRING15",
}
JOINED = {**EMAIL, "campaign_name": "Welcome", "trigger": "on_joined"}


@dataclass
class Campaigns:
    """Campaigns of one segment of an application."""

    api: Api
    segment: str

    async def post(self, body: dict[str, Any], **options: Any) -> httpx2.Response:
        """The answer to creating one."""
        return await self.api.send("POST", f"/{self.segment}/campaigns", json=body, **options)

    async def create(self, **body: Any) -> dict[str, Any]:
        """A new one, an e-mail unless the body says otherwise, as the API shows it."""
        response = await self.post({**EMAIL, **body})
        assert response.status_code == 201, response.text
        return response.json()["data"]

    async def act(self, campaign: str, action: str, **options: Any) -> httpx2.Response:
        """The answer to an action."""
        return await self.api.send("POST", f"/campaigns/{campaign}/{action}", **options)

    async def read(self, campaign: str) -> dict[str, Any]:
        """One, as the API shows it."""
        response = await self.api.send("GET", f"/campaigns/{campaign}")
        assert response.status_code == 200, response.text
        return response.json()["data"]

    async def put(self, campaign: str, body: dict[str, Any], **options: Any) -> httpx2.Response:
        """The answer to changing one."""
        return await self.api.send("PUT", f"/campaigns/{campaign}", json=body, **options)

    async def force(self, campaign: str, state: str) -> None:
        """Puts it into a state, as the dispatcher or the past may have left it."""
        await self.api.run(
            "UPDATE customer_segment_campaigns SET state = :state WHERE id = CAST(:id AS uuid)",
            state=state,
            id=campaign,
        )

    async def add_message(self, campaign: str, customer_id: UUID | None = None, **values: Any) -> UUID:
        """A message of this campaign; gives its customer."""
        row = message(UUID(campaign), customer_id or uuid4(), **values)
        async with self.api.database.transaction() as connection:
            await connection.execute(insert(campaign_messages).values(**row))
        return row["customer_id"]


def message(campaign_id: UUID, customer_id: UUID, occasion: str = "once", **values: Any) -> dict[str, Any]:
    """A row of campaign_messages that is due now."""
    return {
        "customer_id": customer_id,
        "campaign_id": campaign_id,
        "occasion": occasion,
        "message_id": message_id(campaign_id, customer_id, occasion),
        "channel": "email",
        "category": "marketing",
        "priority": 50,
        "state": "pending",
        "occurred_at": CLOCK,
        "due_at": CLOCK,
        "expires_at": CLOCK + timedelta(days=3),
        **values,
    }


def ago(**span: float) -> datetime:
    """An instant before the clock."""
    return CLOCK - timedelta(**span)


def holding(*permissions: str) -> dict[str, str]:
    """The header of somebody who may do these things alone."""
    return bearer(token(*permissions))


def faults(response: httpx2.Response) -> dict[str, str]:
    """Path and code of each fault of an answer."""
    assert response.status_code == 422, response.text
    return {one["path"]: one["code"] for one in response.json()["errors"]}
