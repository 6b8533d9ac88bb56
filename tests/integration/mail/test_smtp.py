"""E-mail against a real SMTP server that refuses, breaks off, stalls, encrypts and asks who is there."""

from __future__ import annotations

import asyncio
from email import message_from_bytes, policy
from typing import Any

import pytest

from service.app.dispatch.transport import Accepted, Outcome, Rejected, TryLater
from tests.integration.mail.sent import mail, sent_when
from tests.integration.mail.smtp_server import (
    Server,
    listening,
    sending,
)


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
            ("550 5.2.1 disabled", Rejected("550 5.2.1 disabled", "hard")),
            ("550 5.2.2 over quota", Rejected("550 5.2.2 over quota")),
            ("550 5.2.3 too long for this mailbox", Rejected("550 5.2.3 too long for this mailbox")),
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


class _WithoutUtf8:
    """Made instead of the usual protocol: it does not know SMTPUTF8."""

    def __new__(cls, server: Server) -> Any:
        from tests.integration.mail.smtp_server import _Protocol

        made = _Protocol(server)
        made.enable_SMTPUTF8 = False
        return made
