"""Connecting to a real SMTP server, and the settings that say where it is."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from service.adapters.mail import connection
from service.adapters.mail.server import SmtpServer, read_smtp_url
from service.adapters.mail.smtp import smtp_transport
from service.app.dispatch.transport import Accepted, TryLater
from service.settings import load_settings
from tests.integration.mail.sent import mail, sent_when
from tests.integration.mail.smtp_server import (
    PASSWORD,
    USER,
    certificate,
    check_login,
    listening,
    sending,
)


class TestConnecting:
    """No server, another server, a server that wants to know more."""

    async def test_nobody_there(self) -> None:
        """A refused connection is an outage."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            async with sending(f"smtp://127.0.0.1:{taken.getsockname()[1]}") as transport:
                outcome = await transport.send(mail())
        assert isinstance(outcome, TryLater)
        assert outcome.is_outage
        assert outcome.reason.startswith("No connection to the SMTP server: ")

    @pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 70])
    async def test_no_such_host(self, host: str) -> None:
        """So is a name that nobody has, or that is none."""
        async with sending(SmtpServer(host, 25)) as transport:
            outcome = await transport.send(mail())
        assert isinstance(outcome, TryLater)
        assert outcome.is_outage

    @pytest.mark.parametrize("said", ["554 go away", "421 busy", "999 what", "HTTP/1.1 400 Bad Request"])
    async def test_it_greets_badly(self, said: str) -> None:
        """So is a server that turns everybody away, or does not speak SMTP."""
        outcome, server = await sent_when(GREETING=said)
        assert isinstance(outcome, TryLater)
        assert outcome.is_outage
        assert server.commands == []

    async def test_it_does_not_greet(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """So is one that says nothing, after the time for it."""
        monkeypatch.setattr(connection, "CONNECT_SECONDS_MAX", 0.2)
        silent = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        async with silent, sending(f"smtp://127.0.0.1:{silent.sockets[0].getsockname()[1]}") as transport:
            begun = time.monotonic()
            outcome = await transport.send(mail())
        assert isinstance(outcome, TryLater)
        assert outcome.is_outage
        assert time.monotonic() - begun < 5

    @pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
    async def test_encrypted(self, scheme: str, tmp_path: Path) -> None:
        """TLS from the first byte or by STARTTLS, with a certificate that is checked, and AUTH within it."""
        served, trusting = certificate(tmp_path)
        options = {"authenticator": check_login, "auth_required": True, "auth_require_tls": scheme != "smtps"}
        async with listening(served, is_tls=scheme == "smtps", **options) as server:
            login = f"{USER}:{quote(PASSWORD, safe='')}@"
            async with sending(server.url(scheme, login), tls=trusting) as transport:
                assert isinstance(await transport.send(mail()), Accepted)
            async with sending(server.url(scheme, login)) as transport:
                outcome = await transport.send(mail())
                assert isinstance(outcome, TryLater)
                assert outcome.is_outage
                assert "certificate" in outcome.reason.lower()
        assert len(server.mails) == 1

    async def test_no_starttls_no_mail(self) -> None:
        """Asked for STARTTLS, nothing goes to a server that does not offer it."""
        async with listening() as server, sending(server.url("smtp+starttls", "shop:secret@")) as transport:
            outcome = await transport.send(mail())
        assert isinstance(outcome, TryLater)
        assert outcome.is_outage
        assert server.mails == []

    async def test_a_wrong_password(self) -> None:
        """AUTH that fails is an outage, and its reason has no password."""
        async with (
            listening(authenticator=check_login, auth_required=True, auth_require_tls=False) as server,
            sending(server.url(login="shop:wrong-password@")) as transport,
        ):
            outcome = await transport.send(mail())
        assert isinstance(outcome, TryLater)
        assert outcome.is_outage
        assert "wrong-password" not in outcome.reason
        assert "535" in outcome.reason


class TestSettings:
    """What the operator writes."""

    @pytest.mark.parametrize(
        ("url", "server"),
        [
            ("smtp://mail", SmtpServer("mail", 25)),
            ("smtps://a%40b:p%2Fw%3A1@mail.example.com", SmtpServer("mail.example.com", 465, "tls", "a@b", "p/w:1")),
            ("smtp+starttls://u:p@mail:2525/", SmtpServer("mail", 2525, "starttls", "u", "p")),
        ],
    )
    def test_urls(self, url: str, server: SmtpServer) -> None:
        """The three schemes with their ports, user and password percent-decoded, and not shown."""
        settings = load_settings(smtp_url=SecretStr(url))
        assert read_smtp_url(settings.smtp_url.get_secret_value()) == server
        assert "p/w" not in repr(server)

    @pytest.mark.parametrize("url", ["smtp://", "http://mail", "smtp://mail:99999", "mail"])
    def test_urls_that_are_none(self, url: str) -> None:
        """They are refused with the setting's name."""
        with pytest.raises(ValueError, match="SEGMENTS_SMTP_URL"):
            read_smtp_url(url)

    def test_none(self) -> None:
        """Without the setting there is no transport."""
        assert smtp_transport(load_settings()) is None
