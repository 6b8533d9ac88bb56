"""Who gets a message: the order of the checks, and what each says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from service.core.campaigns.caps import Sent
from service.core.campaigns.eligibility import Control, Decision, Defer, Recipient, Send, Suppressed, consents, decide
from service.core.campaigns.identity import bucket, is_held_out, message_id
from service.core.campaigns.model import Campaign, FrequencyCap, QuietHours
from service.core.instants import DAY, HOUR
from tests.unit.campaigns.support import CAMPAIGN, CUSTOMER, MESSAGE, at, campaign

NOON = at("2026-06-01T12:00:00Z")
NIGHT = at("2026-06-01T22:00:00Z")
LATER = NIGHT + 30 * DAY
WELCOME = Recipient(
    customer_id=CUSTOMER,
    addresses={"email": "ann@example.org", "sms": "+12025550123", "notification": "token"},
    consents={"email": True, "sms": True},
)
#: This customer is in bucket 851: held out from 9 % on.
HELD_OUT = {"holdout_percent": 9}
FULL = [Sent("email", NIGHT - HOUR)] * 3


def decided(one: Campaign, recipient: Recipient, now: int = NOON, expires_at: int = LATER) -> Decision:
    """The decision about a message that has not expired."""
    return decide(one, recipient, expires_at=expires_at, now=now)


#: What is wrong with each recipient from here on down; the first that is still wrong decides.
FAILINGS: list[tuple[str, dict[str, Any], Decision]] = [
    ("erased", {"exists": False}, Suppressed("erased")),
    ("no address", {"addresses": {"sms": "+12025550123", "email": ""}}, Suppressed("no_address")),
    ("no consent", {"consents": {"email": False, "sms": True}}, Suppressed("no_consent")),
    ("suppressed", {"suppression": "complaint"}, Suppressed("complaint")),
]


def test_order() -> None:
    """With everything wrong at once each check decides as soon as those before it pass."""
    options = {**HELD_OUT, "recheck_membership": True, "quiet_hours": QuietHours()}
    one = campaign(options)
    recipient = replace(WELCOME, is_member=False, sent=FULL)
    for _, fields, _ in FAILINGS:
        recipient = replace(recipient, **fields)
    for _, fields, expected in FAILINGS:
        assert decided(one, recipient, NIGHT, NIGHT) == expected
        recipient = replace(recipient, **{name: getattr(WELCOME, name) for name in fields})

    assert decided(one, recipient, NIGHT, NIGHT) == Control()
    treated = campaign({**options, "holdout_percent": 8})
    assert decided(treated, recipient, NIGHT, NIGHT) == Suppressed("expired")
    assert decided(treated, recipient, NIGHT) == Suppressed("left_segment")
    recipient = replace(recipient, is_member=True)
    assert decided(treated, recipient, NIGHT) == Defer(at("2026-06-02T08:00:00Z"), "quiet_hours")
    treated = campaign({**options, "holdout_percent": 8, "quiet_hours": False})
    assert decided(treated, recipient, NIGHT) == Suppressed("frequency_cap")
    assert decided(treated, replace(recipient, sent=FULL[1:]), NIGHT) == Send()


@pytest.mark.parametrize("reason", ["unsubscribed", "hard_bounce", "soft_bounce", "complaint", "manual"])
def test_suppressed(reason: Any) -> None:
    """The list's reason is the message's; only who unsubscribed still gets what is no marketing."""
    recipient = replace(WELCOME, suppression=reason)

    assert decided(campaign(), recipient) == Suppressed(reason)
    expected = Send() if reason == "unsubscribed" else Suppressed(reason)
    assert decided(campaign(category="transactional"), recipient) == expected


def test_transactional() -> None:
    """No consent, no control group, no quiet hours and no caps; but erased, addressless, late and gone all hold."""
    one = campaign({**HELD_OUT, "quiet_hours": QuietHours()}, category="transactional")
    recipient = replace(WELCOME, consents={"email": False}, sent=FULL)

    assert decided(one, recipient, NIGHT) == Send()
    assert decided(one, replace(recipient, exists=False)) == Suppressed("erased")
    assert decided(one, replace(recipient, addresses={})) == Suppressed("no_address")
    assert decided(one, recipient, NIGHT, NIGHT) == Suppressed("expired")
    rechecked = campaign({"recheck_membership": True}, category="transactional")
    assert decided(rechecked, replace(recipient, is_member=False)) == Suppressed("left_segment")


@pytest.mark.parametrize(
    ("channel", "flag", "expected"),
    [
        ("email", True, True),
        ("email", None, False),
        ("email", False, False),
        ("sms", True, True),
        ("sms", None, False),
        ("sms", False, False),
        ("notification", True, True),
        ("notification", None, True),
        ("notification", False, False),
    ],
)
def test_consent(channel: Any, flag: bool | None, expected: bool) -> None:
    """E-mail and SMS need a yes; notifications only no no. A discount asks as its channel does."""
    recipient = replace(WELCOME, consents={channel: flag})

    assert consents(channel, flag) is expected
    for kind in (channel, "discount"):
        found = decided(campaign(channel=channel, campaign_type=kind), recipient)
        assert found == (Send() if expected else Suppressed("no_consent"))


def test_membership_is_rechecked_after_a_delay() -> None:
    """By default who has left is only left out where somebody who joined was made to wait."""
    gone = replace(WELCOME, is_member=False)

    assert decided(campaign(), gone) == Send()
    assert decided(campaign(trigger="on_joined"), gone) == Send()
    waited = {"delay_seconds": 3_600}
    assert decided(campaign(waited, trigger="on_joined"), gone) == Suppressed("left_segment")
    assert decided(campaign({**waited, "recheck_membership": False}, trigger="on_joined"), gone) == Send()


def test_expiry_is_an_instant() -> None:
    """At that very instant it has expired, a microsecond before not."""
    assert decided(campaign(), WELCOME, NOON, NOON) == Suppressed("expired")
    assert decided(campaign(), WELCOME, NOON, NOON + 1) == Send()


def test_quiet_hours_are_local() -> None:
    """What is noon here is night there; a message waits even past its expiry, and expires then."""
    recipient = replace(WELCOME, zone=ZoneInfo("Pacific/Auckland"))
    morning = at("2026-06-01T20:00:00Z")

    assert decided(campaign(channel="sms"), WELCOME) == Send()
    assert decided(campaign(channel="sms"), recipient) == Defer(morning, "quiet_hours")
    assert decided(campaign(channel="sms"), recipient, NOON, NOON + 1) == Defer(morning, "quiet_hours")
    assert decided(campaign(channel="sms"), recipient, morning, NOON + 1) == Suppressed("expired")


def test_caps_defer_within_reason() -> None:
    """A message waits for room for up to 72 hours, and only if it has not expired by then."""
    one = campaign({"frequency_caps": (FrequencyCap(max=1, per_seconds=7 * 86_400),)})

    def with_sent(hours_ago: int, expires_at: int = LATER) -> Decision:
        sent = [Sent("sms", NOON - hours_ago * HOUR)]
        return decided(one, replace(WELCOME, sent=sent), NOON, expires_at)

    assert with_sent(7 * 24) == Send()
    assert with_sent(7 * 24 - 1) == Defer(NOON + HOUR, "frequency_cap")
    assert with_sent(7 * 24 - 72) == Defer(NOON + 72 * HOUR, "frequency_cap")
    assert with_sent(7 * 24 - 73) == Suppressed("frequency_cap")
    assert with_sent(7 * 24 - 1, NOON + HOUR + 1) == Defer(NOON + HOUR, "frequency_cap")
    assert with_sent(7 * 24 - 1, NOON + HOUR) == Suppressed("frequency_cap")


def test_vectors_of_identity() -> None:
    """The ids and buckets of the specification."""
    assert message_id(CAMPAIGN, CUSTOMER, "once") == MESSAGE
    assert bucket(f"holdout:{CAMPAIGN}", CUSTOMER) == 851
    assert bucket(f"variant:{CAMPAIGN}", CUSTOMER) == 5713
    assert is_held_out(CAMPAIGN, CUSTOMER, 9)
    assert not is_held_out(CAMPAIGN, CUSTOMER, 8)


def test_share_held_out() -> None:
    """Of 100,000 customers 10 % are 10 %, within half a percent."""
    held_out = sum(is_held_out(CAMPAIGN, UUID(int=number), 10) for number in range(100_000))

    assert 9_500 <= held_out <= 10_500
