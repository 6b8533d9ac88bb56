"""One SMTP connection, driven by its commands: only so can one tell on which side of the final dot it was lost."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from typing import Final

import aiosmtplib

from service.adapters.mail.mailbox import Mailbox
from service.adapters.mail.replies import CLOSING, message_refused, reason_of, sender_refused
from service.adapters.mail.server import SmtpServer
from service.app.dispatch.transport import Accepted, Outcome, Rejected, Unknown

#: Until the server knows us: greeting, TLS and AUTH included.
CONNECT_SECONDS_MAX: Final = 30.0
#: From MAIL up to the final dot.
HANDOVER_SECONDS_MAX: Final = 60.0
#: From the final dot to the answer. Servers check a mail meanwhile; who gives up too soon does not know if it went out.
ANSWER_SECONDS_MAX: Final = 120.0
#: Up to here mail and dot are one write. Beyond it the dot waits until the system has taken the mail over.
WRITE_BYTES_MAX: Final = 65_536
FLUSH_LOOK_SECONDS: Final = 0.005

_FAULTS = (aiosmtplib.SMTPException, OSError, TimeoutError, UnicodeError)  # the last: host names that are none


class ConnectionLost(Exception):
    """The connection broke before the final dot: nothing has left.

    Attributes:
        is_midway: the server had asked for the mail, so that it may be this mail that it does not bear.
    """

    def __init__(self, said: str, *, is_midway: bool = False) -> None:
        super().__init__(said)
        self.is_midway = is_midway


class SmtpConnection:
    """One connection, for one message at a time."""

    def __init__(self, client: aiosmtplib.SMTP) -> None:
        self._client = client
        self.used_at = time.monotonic()
        self.messages = 0

    @classmethod
    async def open(cls, server: SmtpServer, hello: str, tls: ssl.SSLContext | None) -> SmtpConnection:
        """Connects, has the channel encrypted and itself known, as the server's URL asks for.

        Args:
            server: where to.
            hello: how this host calls itself.
            tls: which certificates are trusted; None for those of the system.

        Raises:
            ConnectionLost: no connection; the message says why.
        """
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password if server.user else None,
            local_hostname=hello,
            timeout=CONNECT_SECONDS_MAX,
            use_tls=server.security == "tls",
            start_tls=server.security == "starttls",
            tls_context=tls if server.security != "none" else None,
        )
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                await client.connect()
                if client.is_ehlo_or_helo_needed:
                    await _greet(client)
        except _FAULTS as error:
            client.close()
            msg = f"No connection to the SMTP server: {_said(error)}"
            raise ConnectionLost(msg) from None
        except BaseException:
            client.close()
            raise
        return cls(client)

    @property
    def is_usable(self) -> bool:
        """Whether it is up, as far as anybody has been told."""
        return self._client.is_connected

    async def send(self, sender: str, to: Mailbox, mail: bytes) -> Outcome:
        """Hands one mail over. Afterwards the connection is ready for the next, or no longer usable.

        Raises:
            ConnectionLost: before the final dot.
        """
        is_clean = is_midway = False
        try:
            async with asyncio.timeout(HANDOVER_SECONDS_MAX):
                outcome = await self._envelope(sender, to, mail)
                if outcome is None:
                    is_midway = True
                    await self._hand_over(mail)
            if outcome is None:
                outcome = await self._answer(to)
            is_clean = True
        except _FAULTS as error:
            raise ConnectionLost(_said(error), is_midway=is_midway) from None
        finally:
            self.used_at = time.monotonic()
            self.messages += 1
            if not is_clean:  # cancelled or out of step
                self._client.close()
        return outcome

    async def _envelope(self, sender: str, to: Mailbox, mail: bytes) -> Outcome | None:
        """MAIL, RCPT and DATA; None where the server waits for the mail now."""
        options = [f"SIZE={len(mail)}".encode()] if self._client.supports_extension("size") else []
        if to.needs_utf8:
            if not self._client.supports_extension("smtputf8"):
                return Rejected("The server takes no address with characters beyond ASCII before the @ (SMTPUTF8).")
            options.append(b"SMTPUTF8")
        code, text = await self._command(b"MAIL", f"FROM:<{sender}>".encode(), *options)
        if code // 100 != 2:
            return await self._reset(code, text, sender_refused(code, text, to.text))
        code, text = await self._command(b"RCPT", f"TO:<{to.text}>".encode())
        if code // 100 == 2:
            code, text = await self._command(b"DATA")
            if code == aiosmtplib.SMTPStatus.start_input:
                return None
        return await self._reset(code, text, message_refused(code, text, to.text))

    async def _command(self, *words: bytes) -> aiosmtplib.SMTPResponse:
        # No timeout of its own: one timer for all of them costs less than one each.
        return await self._client.execute_command(*words, timeout=None)

    async def _reset(self, code: int, text: str, outcome: Outcome) -> Outcome:
        """Makes the server forget the sender; where it does not, the connection is given up.

        Raises:
            ConnectionLost: the server goes away (421).
        """
        if code == CLOSING:
            raise ConnectionLost(reason_of(code, text, "\n"))
        try:
            code, _ = await self._command(b"RSET")
        except _FAULTS:
            code = 0
        if code // 100 != 2:
            self._client.close()
        return outcome

    async def _hand_over(self, mail: bytes) -> None:
        """Writes the mail, then the dot; raises only before the dot."""
        protocol = self._client.protocol
        if protocol is None or protocol.transport is None:
            msg = "Connection lost"
            raise aiosmtplib.SMTPServerDisconnected(msg)
        data = mail.replace(b"\r\n.", b"\r\n..")  # a mail begins with a field, never with a dot
        if len(data) <= WRITE_BYTES_MAX:
            protocol.write(data + b".\r\n")
            return
        protocol.write(data)
        while _waiting_bytes(protocol.transport):  # noqa: ASYNC110 - transports tell nobody when they are empty
            await asyncio.sleep(FLUSH_LOOK_SECONDS)
        protocol.write(b".\r\n")

    async def _answer(self, to: Mailbox) -> Outcome:
        """What the server says to the dot; whatever goes wrong from here on, the mail may have left."""
        protocol = self._client.protocol
        try:
            if protocol is None:
                msg = "Connection lost"
                raise aiosmtplib.SMTPServerDisconnected(msg)
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                code, text = await protocol.read_response(timeout=None)
        except _FAULTS as error:
            self._client.close()
            return Unknown(f"The connection was lost after the whole mail had been handed over: {_said(error)}")
        if code == CLOSING:
            self._client.close()
        if code // 100 == 2:
            return Accepted(reason_of(code, text, to.text))
        if code // 100 in (4, 5):
            return message_refused(code, text, to.text)
        self._client.close()
        return Unknown(f"The server's answer to the mail is none: {reason_of(code, text, to.text)}")

    def close(self) -> None:
        """Says good-bye, and does not wait for the answer."""
        if self._client.is_connected and self._client.protocol is not None:
            with contextlib.suppress(*_FAULTS):
                self._client.protocol.write(b"QUIT\r\n")
        self._client.close()


def _waiting_bytes(transport: asyncio.BaseTransport | None) -> int:
    return transport.get_write_buffer_size() if isinstance(transport, asyncio.WriteTransport) else 0


async def _greet(client: aiosmtplib.SMTP) -> None:
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        await client.helo()


def _said(error: BaseException) -> str:
    """One line about a fault, without what was sent."""
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return reason_of(error.code, error.message, "\n")
    return reason_of(0, str(error), "\n").removeprefix("0").strip() or type(error).__name__
