"""Mails sent for tests."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from service.app.dispatch.transport import Outbound, Outcome
from tests.integration.mail.smtp_server import (
    Server,
    listening,
    sending,
)


def mail(address: str | None = "ada@example.org", **values: Any) -> Outbound:
    """A message of its own."""
    defaults = {"subject": "Hello", "text": "Hello Ada\n.\n..dots\n", "html": "<p>Hello Ada</p>"}
    return Outbound(message_id=uuid4(), attempt=1, channel="email", address=address, **{**defaults, **values})


async def sent_when(**at: Any) -> tuple[Outcome, Server]:
    """What becomes of one mail when the server answers so."""
    async with listening() as server, sending(server) as transport:
        server.at = at
        return await transport.send(mail()), server
