"""Token buckets, by a clock of the test's own."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.app.dispatch import rates
from service.app.dispatch.rates import Rates, domain_of


def sent(limits: Rates, seconds: float, channel: str = "email", domain: str | None = None) -> list[float]:
    """When messages leave if somebody always has one and waits as told."""
    now, instants = 0.0, []
    while now < seconds:
        wait = limits.take(channel, domain, now)
        if not wait:
            instants.append(now)
        now += wait
    return instants


def test_any_number() -> None:
    """Without a limit, or with 0, nothing waits."""
    limits = Rates({"email": 0}, {"email": 0})
    assert [limits.take(channel, "a.example", 0.0) for channel in ("email", "sms") for _ in range(1_000)] == [
        0.0
    ] * 2_000


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_the_limit(limit: int) -> None:
    """A second's worth at once, then as many a second as the limit says, evenly."""
    instants = sent(Rates({"email": limit}, {}), 10.0)
    assert len([one for one in instants if one == 0.0]) == limit
    assert len(instants) == pytest.approx(limit * 11, abs=1)
    later = [one for one in instants if one > 0]
    assert all(b - a == pytest.approx(1 / limit) for a, b in pairwise(later))


@given(st.integers(1, 50), st.lists(st.floats(0, 2), max_size=200))
def test_never_above(limit: int, pauses: list[float]) -> None:
    """However requests come, any window of a second sees at most twice the limit (a full bucket and its inflow)."""
    limits, now, instants = Rates({"sms": limit}, {}), 0.0, []
    for pause in pauses:
        now += pause
        if not limits.take("sms", None, now):
            instants.append(now)
    assert all(len([one for one in instants if start <= one < start + 1]) <= 2 * limit for start in instants)


def test_channels_and_domains_are_apart() -> None:
    """A slow domain does not hold up another, and what waits for its domain takes nothing from the channel."""
    limits = Rates({"email": 3, "sms": 1}, {"email": 1})
    assert limits.take("email", "slow.example", 0.0) == 0.0
    assert limits.take("email", "slow.example", 0.0) == pytest.approx(1.0)
    assert limits.take("email", "slow.example", 0.0) == pytest.approx(1.0)
    assert limits.take("email", "other.example", 0.0) == 0.0
    assert limits.take("email", "third.example", 0.0) == 0.0
    assert limits.take("email", "fourth.example", 0.0) == pytest.approx(1 / 3)
    assert limits.take("sms", None, 0.0) == 0.0
    assert limits.take("notification", None, 0.0) == 0.0


def test_a_clock_that_goes_back() -> None:
    """It neither adds tokens nor makes anybody wait longer than the limit says."""
    limits = Rates({"email": 1}, {})
    assert limits.take("email", None, 100.0) == 0.0
    assert limits.take("email", None, 50.0) == pytest.approx(1.0)
    assert limits.take("email", None, 100.5) == pytest.approx(0.5)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ever new domains only those used last are remembered."""
    monkeypatch.setattr(rates, "DOMAINS_MAX", 10)
    limits = Rates({}, {"email": 1})
    for number in range(100):
        assert limits.take("email", f"d{number}.example", 0.0) == 0.0
    assert len(limits._domains) == 10
    assert limits.take("email", "d99.example", 0.0) > 0


@pytest.mark.parametrize(
    ("address", "domain"),
    [("Ada@Example.ORG", "example.org"), ("a@b@C.org.", "c.org"), ("+12025550123", None), (None, None)],
)
def test_domain_of(address: str | None, domain: str | None) -> None:
    """Domains are compared in small letters."""
    assert domain_of(address) == domain


def test_what_nobody_used() -> None:
    """Tokens that are given back can be taken at once; no more than a second's worth is ever kept."""
    limits = Rates({"sms": 5}, {})
    assert [limits.take("sms", None, 0.0) for _ in range(6)][:5] == [0.0] * 5
    limits.give_back("sms", 3)
    assert [bool(limits.take("sms", None, 0.0)) for _ in range(4)] == [False, False, False, True]
    limits.give_back("sms", 100)
    assert [bool(limits.take("sms", None, 0.0)) for _ in range(6)] == [False] * 5 + [True]
    limits.give_back("email", 100)
    assert limits.take("email", None, 0.0) == 0.0
