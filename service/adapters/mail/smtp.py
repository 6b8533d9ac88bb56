"""E-mail by SMTP: a few connections, kept and used again."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from typing import Final

from service.adapters.mail.connection import (
    ANSWER_SECONDS_MAX,
    CONNECT_SECONDS_MAX,
    HANDOVER_SECONDS_MAX,
    ConnectionLost,
    SmtpConnection,
)
from service.adapters.mail.mailbox import AddressFault, Mailbox, read_mailbox
from service.adapters.mail.message import MailWriter, MessageFault
from service.adapters.mail.server import SmtpServer, read_smtp_url
from service.app.dispatch.transport import Outbound, Outcome, Rejected, TryLater
from service.settings import Settings, SettingsError

#: A connection that was idle for longer is made anew: routers on the way forget it without a word.
IDLE_SECONDS_MAX: Final = 30.0
#: No message takes longer, so a lease need not be longer: a kept connection that fails, a new one, and the answer.
SEND_SECONDS_MAX: Final = 2 * HANDOVER_SECONDS_MAX + CONNECT_SECONDS_MAX + ANSWER_SECONDS_MAX


class SmtpTransport:
    """Mails over at most `concurrency` connections to one server; see app.dispatch.transport.Transport."""

    def __init__(
        self, server: SmtpServer, writer: MailWriter, concurrency: int, tls: ssl.SSLContext | None = None
    ) -> None:
        """Connects to nothing yet.

        Args:
            server: where to.
            writer: makes the mails.
            concurrency: connections at once; further calls of `send` wait.
            tls: which certificates are trusted; None for those of the system.
        """
        self.concurrency = concurrency
        self._server, self._writer, self._tls = server, writer, tls
        self._places = asyncio.Semaphore(concurrency)
        self._idle: list[SmtpConnection] = []
        self._hello: str | None = None

    async def send(self, message: Outbound) -> Outcome:
        """See Transport. Takes SEND_SECONDS_MAX at most, once there is a place."""
        try:
            if message.address is None:
                return Rejected("There is no e-mail address.")
            to = read_mailbox(message.address)
            mail = self._writer.write(message, to)
        except AddressFault as fault:
            return Rejected(str(fault), "hard")
        except MessageFault as fault:
            return Rejected(str(fault))
        async with self._places:
            try:
                return await self._send(to, mail)
            except ConnectionLost as lost:
                return TryLater(str(lost), is_outage=not lost.is_midway)

    async def _send(self, to: Mailbox, mail: bytes) -> Outcome:
        """Over an idle connection; where the server has given that one up meanwhile, over a new one."""
        kept = await self._kept()
        if kept is not None:
            try:
                return await self._over(kept, to, mail)
            except ConnectionLost as lost:
                if lost.is_midway:
                    raise
        return await self._over(await self._open(), to, mail)

    async def _over(self, connection: SmtpConnection, to: Mailbox, mail: bytes) -> Outcome:
        outcome = await connection.send(self._writer.sender.text, to, mail)
        if connection.is_usable:
            self._idle.append(connection)
        return outcome

    async def _kept(self) -> SmtpConnection | None:
        """The idle connection that was used last, if it is still good."""
        while self._idle:
            one = self._idle.pop()
            if one.is_usable and time.monotonic() - one.used_at <= IDLE_SECONDS_MAX:
                return one
            one.close()
        return None

    async def _open(self) -> SmtpConnection:
        if self._hello is None:
            self._hello = await asyncio.to_thread(_own_name)
        return await SmtpConnection.open(self._server, self._hello, self._tls)

    async def close(self) -> None:
        """See Transport."""
        while self._idle:
            self._idle.pop().close()


def _own_name() -> str:
    """How this host calls itself; a name that is none would be refused by servers, an address literal never is."""
    name = socket.getfqdn()
    return name if name.isascii() and name.replace("-", "").replace(".", "").isalnum() else "[127.0.0.1]"


def smtp_transport(settings: Settings) -> SmtpTransport | None:
    """The transport that the settings name, if any.

    Raises:
        SettingsError: a setting cannot be used.
    """
    if settings.smtp_url is None:
        return None
    try:
        server = read_smtp_url(settings.smtp_url.get_secret_value())
        return SmtpTransport(server, MailWriter(settings.mail_from), settings.smtp_connections_max)
    except (ValueError, AddressFault) as fault:
        raise SettingsError(str(fault)) from None
