"""E-mail against a real SMTP server that refuses, breaks off, stalls, encrypts and asks who is there."""

from __future__ import annotations

import asyncio
import socket
import time
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from pydantic import SecretStr

from service.adapters.mail import connection, smtp
from service.adapters.mail.server import SmtpServer, read_smtp_url
from service.adapters.mail.smtp import smtp_transport
from service.app.dispatch.transport import Accepted, Outbound, Outcome, Rejected, TryLater, Unknown
from service.settings import load_settings
from tests.integration.mail.smtp_server import (
    PASSWORD,
    USER,
    Server,
    certificate,
    check_login,
    drop,
    listening,
    promise_and_drop,
    promise_and_sleep,
    sending,
    stall,
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


class TestAccepted:
    """All is well."""

    async def test_it_arrives_as_it_was(self) -> None:
        """A mail is accepted under the server's words, and arrives dot for dot, for one recipient."""
        async with listening() as server, sending(server) as transport:
            message = mail(unsubscribe_url="https://a.example/u/1")
            outcome = await transport.send(message)

        assert outcome == Accepted("250 2.0.0 Ok: queued as ABC")
        [got] = server.mails
        assert (got.sender, got.recipients) == ("shop@example.com", ["ada@example.org"])
        found = message_from_bytes(got.content, policy=policy.default)
        assert found["Message-ID"] == f"<{message.message_id}@example.com>"
        text, html = found.iter_parts()
        assert text.get_payload(decode=True) == b"Hello Ada\r\n.\r\n..dots\r\n"
        assert html.get_payload(decode=True) == b"<p>Hello Ada</p>\r\n"

    async def test_connections_are_kept(self) -> None:
        """Thirty mails by three at once go over three connections, each of them used again."""
        async with listening() as server, sending(server, 3) as transport:
            outcomes = await asyncio.gather(*(transport.send(mail(f"c{number}@example.org")) for number in range(30)))

        assert {type(one) for one in outcomes} == {Accepted}
        assert sorted(one.recipients[0] for one in server.mails) == sorted(f"c{n}@example.org" for n in range(30))
        assert server.connections == 3

    async def test_a_large_mail(self) -> None:
        """A mail larger than one write goes out whole."""
        async with listening() as server, sending(server) as transport:
            text = "Zoë's line of text\n" * 20_000
            outcome = await transport.send(mail(text=text, html=None))

        assert isinstance(outcome, Accepted)
        found = message_from_bytes(server.mails[0].content, policy=policy.default)
        assert found.get_payload(decode=True).decode().replace("\r\n", "\n") == text

    async def test_names_beyond_ascii(self) -> None:
        """An internationalised address goes out as SMTPUTF8 where the server takes it."""
        async with listening() as server, sending(server) as transport:
            assert isinstance(await transport.send(mail("zoë@bücher.example")), Accepted)

        assert server.mails[0].recipients == ["zoë@xn--bcher-kva.example"]
        assert "To: zoë@xn--bcher-kva.example\r\n".encode() in server.mails[0].content


class TestRefused:
    """The server says no."""

    @pytest.mark.parametrize("at", ["RCPT", "DATA", "DOT"])
    @pytest.mark.parametrize(
        ("said", "expected"),
        [
            ("550 no such user", Rejected("550 no such user", "hard")),
            ("551 not here", Rejected("551 not here", "hard")),
            ("553 not a name", Rejected("553 not a name", "hard")),
            ("550 5.1.1 unknown", Rejected("550 5.1.1 unknown", "hard")),
            ("554 5.1.10 null MX", Rejected("554 5.1.10 null MX", "hard")),
            ("550 5.7.1 on a block list", Rejected("550 5.7.1 on a block list")),
            ("552 5.2.2 mailbox full", Rejected("552 5.2.2 mailbox full")),
            ("554 no", Rejected("554 no")),
            ("501 what?", Rejected("501 what?")),
            ("450 busy", TryLater("450 busy")),
            ("451 4.7.1 greylisted", TryLater("451 4.7.1 greylisted")),
            ("452 4.2.2 full", TryLater("452 4.2.2 full")),
            ("530 5.7.0 who are you?", TryLater("530 5.7.0 who are you?", is_outage=True)),
        ],
    )
    async def test_of_the_message(self, at: str, said: str, expected: Outcome) -> None:
        """4xx: another time. 550, 551, 553 and 5.1.x: a bounce. Other 5xx: a refusal."""
        outcome, server = await sent_when(**{at: said})
        assert outcome == expected
        assert server.mails == []

    @pytest.mark.parametrize(
        ("said", "expected"),
        [
            ("450 busy", TryLater("450 busy")),
            ("552 5.3.4 too large", Rejected("552 5.3.4 too large")),
            (
                "550 5.1.8 who?",
                TryLater("The server does not take mail from SEGMENTS_MAIL_FROM: 550 5.1.8 who?", None, True),
            ),
            ("553 no", TryLater("The server does not take mail from SEGMENTS_MAIL_FROM: 553 no", None, True)),
        ],
    )
    async def test_of_the_sender(self, said: str, expected: Outcome) -> None:
        """A refused sender is no bounce of the recipient: it is an outage, that the settings must mend."""
        assert (await sent_when(MAIL=said))[0] == expected

    @pytest.mark.parametrize("at", ["MAIL", "RCPT", "DATA", "DOT"])
    async def test_the_server_goes_away(self, at: str) -> None:
        """421 at any step is an outage, and the connection is not used again."""
        async with listening() as server, sending(server) as transport:
            server.at = {at: ["421 4.3.2 closing"]}
            outcome = await transport.send(mail())
            assert isinstance(outcome, TryLater)
            assert outcome.is_outage
            assert "421 4.3.2 closing" in outcome.reason
            assert isinstance(await transport.send(mail()), Accepted)
        assert server.connections == 2

    async def test_the_connection_goes_on(self) -> None:
        """After a refusal the next mail goes over the same connection, and only to its own recipient."""
        async with listening() as server, sending(server) as transport:
            server.at = {"RCPT": ["550 no"], "DOT": ["554 no"]}
            outcomes = [await transport.send(mail(f"c{number}@example.org")) for number in range(3)]

        assert [type(one) for one in outcomes] == [Rejected, Rejected, Accepted]
        assert server.connections == 1
        assert [one.recipients for one in server.mails] == [["c2@example.org"]]

    async def test_a_server_that_does_not_reset(self) -> None:
        """If RSET fails the connection is given up: the sender of before must not stand."""
        async with listening() as server, sending(server) as transport:
            server.at = {"RCPT": ["550 no"], "RSET": ["502 what?"]}
            assert isinstance(await transport.send(mail()), Rejected)
            assert isinstance(await transport.send(mail()), Accepted)
        assert server.connections == 2

    async def test_reasons_do_not_repeat_the_address(self) -> None:
        """Reasons are shown and logged, so the recipient's address is taken out of them, and they are cut."""
        outcome, _ = await sent_when(RCPT="550 5.1.1 <Ada@Example.org> unknown " + "x" * 400)
        assert isinstance(outcome, Rejected)
        assert outcome.reason.startswith("550 5.1.1 <(address)> unknown xxx")
        assert len(outcome.reason) == 300

    @pytest.mark.parametrize("address", [None, "", "ada", "ada@example.org\r\nRCPT TO:<eve@example.net>"])
    async def test_what_is_no_address(self, address: str | None) -> None:
        """It never reaches the server."""
        async with listening() as server, sending(server) as transport:
            assert isinstance(await transport.send(mail(address)), Rejected)
        assert server.commands == []

    async def test_a_server_without_smtputf8(self) -> None:
        """An internationalised address is refused with a sentence, and is no bounce."""
        async with listening(make=_WithoutUtf8) as server, sending(server) as transport:
            outcome = await transport.send(mail("zoë@example.org"))
            assert isinstance(outcome, Rejected)
            assert (outcome.bounce, "SMTPUTF8" in outcome.reason) == (None, True)
            assert isinstance(await transport.send(mail()), Accepted)


class TestLost:
    """The connection breaks, or nothing comes."""

    @pytest.mark.parametrize("at", ["MAIL", "RCPT", "DATA"])
    async def test_before_the_dot(self, at: str) -> None:
        """Before the mail was handed over it has not left: another time, and the message is not at fault."""
        outcome, _ = await sent_when(**{at: drop})
        assert isinstance(outcome, TryLater)
        assert outcome.is_outage

    async def test_after_the_dot(self) -> None:
        """After the final dot nobody knows."""
        outcome, _ = await sent_when(DOT=drop)
        assert isinstance(outcome, Unknown)

    async def test_after_the_dot_the_mail_is_not_sent_again(self) -> None:
        """A kept connection that breaks after the dot is not replaced in silence: that could be a second mail."""
        async with listening() as server, sending(server) as transport:
            assert isinstance(await transport.send(mail()), Accepted)
            server.at = {"DOT": [drop]}
            assert isinstance(await transport.send(mail()), Unknown)
        assert server.commands.count("DOT") == 2

    async def test_within_a_large_mail(self) -> None:
        """Lost while the mail was still going out: the dot was not sent, so it has not left."""
        async with listening() as server, sending(server) as transport:
            server.at = {"DATA": [promise_and_drop]}
            outcome = await transport.send(mail(text="x" * 30_000_000, html=None))
        assert isinstance(outcome, TryLater)
        assert outcome.is_outage

    async def test_a_kept_connection_that_the_server_gave_up(self) -> None:
        """What the server closed meanwhile, or closes at the next command, is replaced within the same attempt."""
        async with listening() as server, sending(server) as transport:
            assert isinstance(await transport.send(mail()), Accepted)
            server.at = {"MAIL": [drop]}
            assert isinstance(await transport.send(mail()), Accepted)
            server.at = {"MAIL": ["421 too many mails"]}
            assert isinstance(await transport.send(mail()), Accepted)
            server.protocols[-1].transport.close()
            await asyncio.sleep(0.05)
            assert isinstance(await transport.send(mail()), Accepted)
        assert (server.connections, len(server.mails)) == (4, 4)

    @pytest.mark.parametrize("at", ["MAIL", "RCPT", "DATA"])
    async def test_no_answer_before_the_dot(self, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A server that stalls before the dot: it has not left."""
        monkeypatch.setattr(connection, "HANDOVER_SECONDS_MAX", 0.2)
        outcome, _ = await sent_when(**{at: stall})
        assert outcome == TryLater("it did not answer in time", is_outage=True)

    async def test_it_does_not_read_a_large_mail(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A server that promises to read and does not: the dot waits for the mail, so it has not left."""
        monkeypatch.setattr(connection, "HANDOVER_SECONDS_MAX", 0.5)
        async with listening() as server, sending(server) as transport:
            server.at = {"DATA": [promise_and_sleep]}
            outcome = await transport.send(mail(text="x" * 30_000_000, html=None))
        assert isinstance(outcome, TryLater)

    async def test_no_answer_after_the_dot(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A server that stalls after the dot: nobody knows."""
        monkeypatch.setattr(connection, "ANSWER_SECONDS_MAX", 0.2)
        outcome, _ = await sent_when(DOT=stall)
        assert isinstance(outcome, Unknown)

    async def test_cancelled_on_the_way(self) -> None:
        """A sender that is told to stop leaves no connection behind that is out of step."""
        async with listening() as server, sending(server) as transport:
            server.at = {"RCPT": [stall]}
            task = asyncio.create_task(transport.send(mail("first@example.org")))
            while "RCPT" not in server.commands:  # noqa: ASYNC110 - the server is told by nobody
                await asyncio.sleep(0.01)
            task.cancel()
            assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
            assert isinstance(await transport.send(mail("second@example.org")), Accepted)
            assert server.protocols[0].transport is None  # closed, not left open for nobody
        assert [one.recipients for one in server.mails] == [["second@example.org"]]
        assert server.connections == 2

    async def test_an_idle_connection_is_not_trusted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that was idle for long is made anew."""
        async with listening() as server, sending(server) as transport:
            assert isinstance(await transport.send(mail()), Accepted)
            monkeypatch.setattr(smtp, "IDLE_SECONDS_MAX", 0.0)
            assert isinstance(await transport.send(mail()), Accepted)
        assert server.connections == 2


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


class _WithoutUtf8:
    """Made instead of the usual protocol: it does not know SMTPUTF8."""

    def __new__(cls, server: Server) -> Any:
        from tests.integration.mail.smtp_server import _Protocol

        made = _Protocol(server)
        made.enable_SMTPUTF8 = False
        return made
