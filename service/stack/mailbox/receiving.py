"""The SMTP side of the inbox: it takes every mail and sends none on."""

from __future__ import annotations

from typing import Any

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session

from service.stack.mailbox.inbox import Inbox

MAIL_BYTES_MAX = 10_000_000
_CONTROLS = dict.fromkeys((*range(32), 127), " ")

_log = structlog.get_logger(__name__)


class Receiver:
    """What aiosmtpd asks when a mail has come."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def protocol(self) -> SMTP:
        """One connection. It names itself, for to look that up would take a question to a name server each time."""
        return SMTP(self, hostname="localhost", ident="inbox", enable_SMTPUTF8=True, data_size_limit=MAIL_BYTES_MAX)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Keeps it, with the addresses of the envelope above, as a server that delivers does."""
        lines = [
            f"Return-Path: <{_line(envelope.mail_from)}>",
            *(f"Delivered-To: {_line(to)}" for to in envelope.rcpt_tos),
        ]
        head = "".join(line + "\r\n" for line in lines).encode(errors="replace")
        content: Any = envelope.original_content
        try:
            number = self._inbox.add(head + (content or b""))
        except OSError as error:
            _log.warning("a mail cannot be kept", error=error.strerror)
            return "452 4.3.1 The disk of the inbox does not take it"
        return f"250 2.0.0 Ok: kept as {number}"


def _line(text: str | None) -> str:
    return (text or "").translate(_CONTROLS)
