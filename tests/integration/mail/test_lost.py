"""E-mail whose connection is lost, before the final dot and after it."""

from __future__ import annotations

import asyncio

import pytest

from service.adapters.mail import connection, smtp
from service.app.dispatch.transport import Accepted, TryLater, Unknown
from tests.integration.mail.sent import mail, sent_when
from tests.integration.mail.smtp_server import (
    drop,
    listening,
    promise_and_drop,
    promise_and_sleep,
    sending,
    stall,
)


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
        """Lost while the mail was still going out: it has not left. A server that breaks at this mail would break at it
        for ever, so that an attempt is used up, on a kept connection as well.
        """
        async with listening() as server, sending(server) as transport:
            for is_kept in (False, True):
                if is_kept:
                    assert isinstance(await transport.send(mail()), Accepted)
                server.at = {"DATA": [promise_and_drop]}
                outcome = await transport.send(mail(text="x" * 30_000_000, html=None))
                assert isinstance(outcome, TryLater)
                assert not outcome.is_outage
        assert server.connections == 2

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
