"""Frequency caps: rolling windows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.core.campaigns.caps import DEFAULTS, Sent, caps_of, look_back, room_from
from service.core.campaigns.model import FrequencyCap
from service.core.instants import DAY, HOUR, SECOND
from tests.unit.campaigns.support import campaign

NOW = 1_000 * DAY
CHANNELS = st.sampled_from(("email", "sms", "notification"))
SENT = st.lists(st.builds(Sent, CHANNELS, st.integers(NOW - 12 * DAY, NOW)), max_size=12)
CAPS = st.lists(
    st.builds(
        FrequencyCap,
        max=st.integers(1, 4),
        per_seconds=st.integers(1, 10 * DAY // SECOND),
        channel=st.sampled_from(("any", "email", "sms", "notification")),
    ),
    max_size=3,
)


def test_the_oldest_makes_room() -> None:
    """Three in seven days: the fourth waits until the oldest is seven days old, to the microsecond."""
    sent = [Sent("email", NOW - 6 * DAY), Sent("sms", NOW - 7 * DAY + 1), Sent("email", NOW)]

    assert room_from(DEFAULTS, sent, NOW) == NOW + 1
    assert room_from(DEFAULTS, sent, NOW + 1) == NOW + 1


def test_room() -> None:
    """With room, or without caps, now."""
    assert room_from(DEFAULTS, [Sent("email", NOW)] * 2, NOW) == NOW
    assert room_from((), [Sent("email", NOW)] * 9, NOW) == NOW


def test_more_than_allowed() -> None:
    """Where more left than may, several must leave the window."""
    sent = [Sent("email", NOW - hours * HOUR) for hours in (1, 2, 3, 4)]

    assert room_from([FrequencyCap(max=2, per_seconds=86_400)], sent, NOW) == NOW - 2 * HOUR + DAY


def test_channels() -> None:
    """A cap on a channel counts that channel; a campaign heeds those on its own and on any."""
    sms = FrequencyCap(max=1, per_seconds=3_600, channel="sms")
    any_channel = FrequencyCap(max=5, per_seconds=60)

    assert room_from([sms], [Sent("email", NOW)], NOW) == NOW
    assert room_from([sms], [Sent("sms", NOW)], NOW) == NOW + HOUR
    assert caps_of(campaign({"frequency_caps": (sms, any_channel)})) == (any_channel,)
    assert caps_of(campaign({"frequency_caps": (sms,)}, channel="sms")) == (sms,)
    assert caps_of(campaign({"frequency_caps": ()})) == ()
    assert caps_of(campaign()) == DEFAULTS
    assert caps_of(campaign(), (any_channel,)) == (any_channel,)
    assert look_back([sms, any_channel]) == HOUR
    assert look_back([]) == 0


@given(CAPS, SENT)
def test_no_cap_is_broken_and_nobody_waits_longer(caps: list[FrequencyCap], sent: list[Sent]) -> None:
    """At the instant that is told every cap has room, and a microsecond before, one has none."""

    def has_room(instant: int) -> bool:
        return all(
            sum(
                instant - cap.per_seconds * SECOND < one.at <= instant
                for one in sent
                if cap.channel in ("any", one.channel)
            )
            < cap.max
            for cap in caps
        )

    found = room_from(caps, sent, NOW)

    assert has_room(found)
    assert found == NOW or (found > NOW and not has_room(found - 1))
