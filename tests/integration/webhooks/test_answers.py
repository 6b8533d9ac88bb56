"""What the answers to a webhook mean."""

from __future__ import annotations

import asyncio
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from aiohttp import web

from service.adapters.http import webhooks
from service.app.dispatch.transport import Accepted, Rejected, TryLater
from tests.integration.webhooks.endpoint import endpoint, outcome_of, sending, sms


class TestAnswers:
    """What the endpoint says."""

    @pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
    async def test_taken(self, status: int) -> None:
        """Any 2xx."""
        assert await outcome_of(status) == Accepted()

    @pytest.mark.parametrize("status", [400, 413, 422])
    async def test_not_wanted(self, status: int) -> None:
        """The endpoint has read it and says no."""
        assert await outcome_of(status) == Rejected(f"The endpoint answered {status}")

    @pytest.mark.parametrize("status", [304, 401, 403, 404, 408, 409, 500, 501, 507])
    async def test_another_time(self, status: int) -> None:
        """What may be mended at the other end is tried again."""
        assert await outcome_of(status) == TryLater(f"The endpoint answered {status}")

    @pytest.mark.parametrize("status", [429, 502, 503, 504])
    async def test_away(self, status: int) -> None:
        """So is what the service behind the endpoint cannot do at present, and no message is at fault for it."""
        assert await outcome_of(status) == TryLater(f"The endpoint answered {status}", is_outage=True)

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_no_redirects(self, status: int) -> None:
        """A redirect is a failure, and is not followed."""
        async with endpoint() as made, sending(f"http://localhost:{made.port}/") as transport:
            made.answer, made.headers = status, {"Location": f"http://localhost:{made.port}/elsewhere"}
            assert await transport.send(sms()) == TryLater(f"The endpoint answered {status}")
        assert len(made.requests) == 1

    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize(
        ("said", "seconds"),
        [
            ("7", 7.0),
            ("0", 0.0),
            ("999999999", 86_400.0),
            ("soon", None),
            ("-5", None),
            ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
            ("Wed, 99 Oct 2015 07:28:00 GMT", None),
            ("Wed, 21 Oct 2015 07:28:00 +99999999999999999999", None),
        ],
    )
    async def test_retry_after(self, status: int, said: str, seconds: float | None) -> None:
        """Retry-After is honoured in seconds, to a day at most; what is none is as if it were not there."""
        assert await outcome_of(status, Retry_After=said) == TryLater(f"The endpoint answered {status}", seconds, True)

    async def test_retry_after_a_date(self) -> None:
        """And as a date."""
        at = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
        outcome = await outcome_of(503, Retry_After=at)
        assert outcome.after_seconds == pytest.approx(100, abs=3)

    async def test_gone(self) -> None:
        """After 410 nothing more is sent there; messages wait and use up no attempt."""
        async with endpoint() as made, sending(f"http://localhost:{made.port}/") as transport:
            made.answer = 410
            first = await transport.send(sms())
            made.answer = 200
            second = await transport.send(sms())
        assert first.is_outage
        assert second.is_outage
        assert "410" in second.reason
        assert len(made.requests) == 1

    async def test_an_endless_answer(self) -> None:
        """The body of an answer is not read, however long it goes on."""

        async def endless(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b"x" * 65_536)

        begun = time.monotonic()
        assert await outcome_of(endless) == Accepted()
        assert time.monotonic() - begun < 3

    @pytest.mark.parametrize("headers", [{"X-Long": "x" * 20_000}, {f"X-{n}": "1" for n in range(500)}])
    async def test_an_endless_head(self, headers: dict[str, str]) -> None:
        """A head without end is a failure."""
        async with endpoint() as made, sending(f"http://localhost:{made.port}/") as transport:
            made.headers = headers
            outcome = await transport.send(sms())
        assert isinstance(outcome, TryLater)

    async def test_no_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No answer within the time: another time."""
        monkeypatch.setattr(webhooks, "REQUEST_SECONDS_MAX", 0.2)

        async def sleep(_: web.Request) -> web.StreamResponse:
            await asyncio.sleep(60)
            raise AssertionError

        assert await outcome_of(sleep) == TryLater("The endpoint did not answer within 0.2 s.")

    async def test_it_breaks_off(self) -> None:
        """A connection that breaks after the request: another time, for receivers know ids."""

        async def breaks(request: web.Request) -> web.StreamResponse:
            request.transport.abort()
            await asyncio.sleep(1)
            raise AssertionError

        assert isinstance(await outcome_of(breaks), TryLater)

    async def test_nobody_there(self) -> None:
        """A refused connection is an outage."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            async with sending(f"http://127.0.0.1:{taken.getsockname()[1]}/") as transport:
                outcome = await transport.send(sms())
        assert isinstance(outcome, TryLater)
        assert outcome.is_outage
