"""A real SMTP server that answers as a test tells it to."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from service.adapters.mail.message import MailWriter
from service.adapters.mail.server import SmtpServer, read_smtp_url
from service.adapters.mail.smtp import SmtpTransport

USER, PASSWORD = "shop", "p@ss/word:1"


@dataclass
class Mail:
    """What the server took over."""

    sender: str
    recipients: list[str]
    content: bytes


@dataclass
class Server:
    """What it says and does; change it at any time.

    Attributes:
        at: command -> what to say instead of 250; each of a list once, then 250. A callable acts on the connection.
        mails: taken over with 250.
        connections: how many have begun.
    """

    at: dict[str, Any] = field(default_factory=dict)
    mails: list[Mail] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    tls: ssl.SSLContext | None = None
    protocols: list[SMTP] = field(default_factory=list)

    def url(self, scheme: str = "smtp", login: str = "") -> str:
        """Where it listens."""
        return f"{scheme}://{login}localhost:{self.port}"

    async def _say(self, command: str, protocol: SMTP) -> str | None:
        self.commands.append(command)
        said = self.at.get(command)
        if isinstance(said, list):
            said = said.pop(0) if said else None
        if callable(said):
            said = await said(protocol)
        return said

    async def handle_MAIL(self, protocol: SMTP, session: Any, envelope: Envelope, address: str, options: list) -> str:  # noqa: N802
        """MAIL."""
        said = await self._say("MAIL", protocol)
        if said is None:
            envelope.mail_from = address
        return said or "250 OK"

    async def handle_RCPT(self, protocol: SMTP, session: Any, envelope: Envelope, address: str, options: list) -> str:  # noqa: N802
        """RCPT."""
        said = await self._say("RCPT", protocol)
        if said is None:
            envelope.rcpt_tos.append(address)
        return said or "250 OK"

    async def handle_RSET(self, protocol: SMTP, session: Any, envelope: Envelope) -> str:  # noqa: N802
        """RSET."""
        return await self._say("RSET", protocol) or "250 OK"

    async def handle_DATA(self, protocol: SMTP, session: Any, envelope: Envelope) -> str:  # noqa: N802
        """The final dot."""
        said = await self._say("DOT", protocol)
        if said is None:
            content = envelope.original_content or b""
            self.mails.append(Mail(envelope.mail_from or "", list(envelope.rcpt_tos), content))
        return said or "250 2.0.0 Ok: queued as ABC"


class _Protocol(SMTP):
    """Can also be told what to say to DATA and to a connection."""

    def __init__(self, server: Server, **options: Any) -> None:
        super().__init__(server, hostname="localhost", enable_SMTPUTF8=True, tls_context=server.tls, **options)
        self._server = server
        server.connections += 1
        server.protocols.append(self)

    async def push(self, status: Any) -> None:
        if status[:4] == "220 " and "GREETING" in self._server.at:
            status = self._server.at["GREETING"]
        await super().push(status)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        said = await self._server._say("DATA", self)
        if said is not None:
            await self.push(said)
            return
        await super().smtp_DATA(arg)


async def drop(protocol: SMTP) -> str:
    """The connection breaks."""
    protocol.transport.abort()
    await asyncio.sleep(0)
    raise asyncio.CancelledError


async def stall(protocol: SMTP) -> str:
    """No answer, ever."""
    await asyncio.sleep(3_600)
    raise AssertionError


async def promise_and_drop(protocol: SMTP) -> str:
    """354, then the connection breaks once a part of the mail has come."""
    await protocol.push("354 go on")
    await protocol._reader.readuntil(b"\r\n")
    return await drop(protocol)


async def promise_and_sleep(protocol: SMTP) -> str:
    """354, and then nothing of the mail is read."""
    protocol.transport.pause_reading()
    protocol._writer.write(b"354 go on\r\n")
    return await stall(protocol)


def check_login(protocol: SMTP, session: Any, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    """Knows one user."""
    is_right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=is_right, handled=False)


@asynccontextmanager
async def listening(
    tls: ssl.SSLContext | None = None, *, is_tls: bool = False, make: Callable[..., SMTP] = _Protocol, **options: Any
) -> AsyncIterator[Server]:
    """A server on a port of its own; `is_tls`: from the first byte on, else by STARTTLS where there is a context."""
    server = Server(tls=None if is_tls else tls)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(
        lambda: make(server, **options), "localhost", 0, ssl=tls if is_tls else None, family=2
    )
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for protocol in server.protocols:
            if protocol.transport is not None:
                protocol.transport.abort()
        await asyncio.sleep(0)


@asynccontextmanager
async def sending(
    server: Server | SmtpServer | str, concurrency: int = 1, tls: ssl.SSLContext | None = None
) -> AsyncIterator[SmtpTransport]:
    """A transport to a server."""
    url = server.url() if isinstance(server, Server) else server
    to = read_smtp_url(url) if isinstance(url, str) else url
    transport = SmtpTransport(to, MailWriter("The shop <shop@example.com>"), concurrency, tls)
    try:
        yield transport
    finally:
        await transport.close()


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts of a server with a certificate of its own making for localhost, and of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    trusting = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    return served, trusting
