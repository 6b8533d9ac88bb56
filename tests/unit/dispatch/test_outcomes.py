"""What becomes of a message by what its transport says."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from service.app.dispatch.outcomes import OUTAGE_SECONDS, Lease, finished
from service.app.dispatch.transport import Accepted, Outbound, Outcome, Rejected, TryLater, Unknown
from service.core import instants

NOW = instants.parse("2026-11-24T10:00:00Z")
FAR = NOW + 100 * instants.HOUR


def lease(**said: Any) -> Lease:
    """A first attempt of a marketing e-mail."""
    outbound = Outbound(UUID(int=4), 1, "email", "a@example.com", "s", "t")
    values: dict[str, Any] = {"attempts": 0, "due_at": NOW, "expires_at": FAR, "holds_uncertain": True, "way": "smtp"}
    return Lease(UUID(int=1), UUID(int=2), UUID(int=3), outbound, **(values | said))


@pytest.mark.parametrize(
    ("outcome", "state", "reason", "attempts", "told"),
    [
        (Accepted("q1"), "sent", None, 1, "accepted"),
        (Rejected("no such user", "hard"), "failed", "hard_bounce", 1, "bounced"),
        (Rejected("mailbox full", "soft"), "failed", "soft_bounce", 1, "bounced"),
        (Rejected("too large"), "failed", "rejected", 1, None),
        (TryLater("later"), "pending", None, 1, None),
        (TryLater("away", is_outage=True), "pending", None, 0, None),
        (Unknown("lost"), "uncertain", "connection_lost", 1, None),
    ],
)
def test_states(outcome: Outcome, state: str, reason: str | None, attempts: int, told: str | None) -> None:
    """Each outcome has its state, uses up an attempt or not, and is told or not."""
    found = finished(lease(), outcome, NOW, 0.5)
    assert (found.state, found.reason, found.attempts_more, found.told) == (state, reason, attempts, told)
    assert (found.sent_at == NOW) == (state in ("sent", "uncertain"))


def test_who_would_rather_send_twice() -> None:
    """Where nobody can tell and it is not to be held, the message waits for another attempt."""
    found = finished(lease(holds_uncertain=False), Unknown("lost"), NOW, 0.5)
    assert (found.state, found.retry_seconds) == ("pending", 30)


def test_the_sixth_failure_is_the_last() -> None:
    """After six attempts the message is dead."""
    assert finished(lease(attempts=4), TryLater("later"), NOW, 0.5).state == "pending"
    assert finished(lease(attempts=5), TryLater("later"), NOW, 0.5).state == "dead"
    assert finished(lease(attempts=5, holds_uncertain=False), Unknown("lost"), NOW, 0.5).state == "dead"


def test_never_past_its_expiry() -> None:
    """What would come again too late is dead at once."""
    found = finished(lease(expires_at=NOW + 30 * instants.SECOND), TryLater("later"), NOW, 0.5)
    assert (found.state, found.reason) == ("dead", "expired")


def test_the_other_side_says_when() -> None:
    """Its wish counts where it is later than our own wait; in an outage it counts alone."""
    assert finished(lease(), TryLater("later", 90.0), NOW, 0.5).retry_seconds == 90.0
    assert finished(lease(), TryLater("later", 1.0), NOW, 0.5).retry_seconds == 30.0
    assert finished(lease(), TryLater("away", 1.0, is_outage=True), NOW, 0.5).retry_seconds == 1.0
    assert finished(lease(), TryLater("away", is_outage=True), NOW, 0.5).retry_seconds == OUTAGE_SECONDS
