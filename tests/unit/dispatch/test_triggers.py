"""Which joins and leaves fire, and what messages come of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from service.app.dispatch.changes import Change
from service.app.dispatch.triggers import fires, messages_of
from service.core import instants
from service.core.campaigns.model import Campaign, Options

SEGMENT, ANN, BOB = UUID(int=1), UUID(int=2), UUID(int=3)
BEGAN = instants.parse("2026-11-24T10:00:00Z")


def campaign(**said: Any) -> Campaign:
    """One that listens since BEGAN."""
    options = Options(**said.pop("options", {}))
    values = {"campaign_name": "c", "campaign_type": "sms", "channel": "sms", "trigger": "on_joined", "state": "active"}
    values |= {"activated_at": instants.to_datetime(BEGAN)} | said
    return Campaign(id=UUID(int=9), segment_id=SEGMENT, options=options, **values)


def joined(sequence: int = 1, at: int = BEGAN, customer: UUID = ANN, **said: Any) -> Change:
    """A join recorded when the campaign began."""
    one = Change(customer, SEGMENT, True, sequence, at, BEGAN, "event", False, None)
    return one._replace(**said)


@pytest.mark.parametrize(
    ("made", "change", "expected"),
    [
        (campaign(), joined(), True),
        (campaign(), joined(has_joined=False), False),
        (campaign(trigger="on_left"), joined(has_joined=False), True),
        (campaign(trigger="on_left"), joined(), False),
        (campaign(), joined(reason="time"), True),
        (campaign(), joined(reason="definition", is_backfill=True), False),
        (campaign(), joined(reason="manual"), False),
        (campaign(), joined(reason="import"), False),
        (campaign(), joined(reason="rebuild"), False),
        (campaign(), joined(reason="erasure"), False),
        (campaign(), joined(is_backfill=True), False),
        (campaign(options={"fire_on": ("definition",)}), joined(reason="definition", is_backfill=True), True),
        (campaign(options={"fire_on": ("manual",)}), joined(reason="manual"), True),
        (campaign(options={"fire_on": ("manual",)}), joined(), False),
        (campaign(), joined(recorded_at=BEGAN - 1), False),
        (campaign(activated_at=None), joined(), False),
    ],
)
def test_what_fires(made: Campaign, change: Change, expected: bool) -> None:
    """By trigger, cause, and whether the campaign had begun."""
    assert fires(made, change) is expected


def test_first_only_has_one_occasion() -> None:
    """However often somebody joins within a batch, there is one message."""
    made = campaign()
    found = messages_of([joined(1), joined(3), joined(customer=BOB)], [made], {})
    assert [(one.customer_id, one.occasion) for one in found] == [(ANN, "once"), (BOB, "once")]


def test_every_time_names_the_change() -> None:
    """Each join is an occasion of its own, and a leave another."""
    made = campaign(options={"reentry": "every_time"})
    left = campaign(trigger="on_left", options={"reentry": "every_time"})
    changes = [joined(1), joined(2, has_joined=False), joined(3)]
    assert [one.occasion for one in messages_of(changes, [made], {})] == ["join:1", "join:3"]
    assert [one.occasion for one in messages_of(changes, [left], {})] == ["left:2"]


def test_a_gap_counts_from_the_last_message() -> None:
    """Within the gap of what is stored, or of the batch's own, nothing fires; at its end something does."""
    made = campaign(options={"reentry": "every_time", "min_gap_seconds": 60})
    minute = instants.MINUTE
    changes = [
        joined(1, BEGAN),
        joined(3, BEGAN + minute - 1),
        joined(5, BEGAN + minute),
        joined(7, BEGAN + minute * 3),
    ]
    assert [one.occasion for one in messages_of(changes, [made], {})] == ["join:1", "join:5", "join:7"]
    latest = {(ANN, made.id): BEGAN + minute * 2}
    assert [one.occasion for one in messages_of(changes, [made], latest)] == ["join:7"]


def test_a_replay_of_what_a_gap_kept_back_fires_nothing() -> None:
    """Read again after later messages, earlier changes lie within the gap, too."""
    made = campaign(options={"reentry": "every_time", "min_gap_seconds": 60})
    changes = [joined(1, BEGAN), joined(3, BEGAN + 1)]
    assert not messages_of(changes, [made], {(ANN, made.id): BEGAN + instants.HOUR})


def test_when_it_is_due_and_when_it_expires() -> None:
    """Delay and expiry count from when the join is true; an instant of the campaign's own wins."""
    (one,) = messages_of([joined()], [campaign(options={"delay_seconds": 60, "expires_after_seconds": 120})], {})
    assert (one.occurred_at, one.due_at, one.expires_at) == (
        BEGAN,
        BEGAN + instants.MINUTE,
        BEGAN + 3 * instants.MINUTE,
    )
    until = datetime(2026, 12, 1, tzinfo=UTC)
    (one,) = messages_of([joined()], [campaign(options={"expires_at": until})], {})
    assert one.expires_at == instants.from_datetime(until)


def test_instants_at_the_end_of_time_stay_within_it() -> None:
    """A join of the year 9999 makes a row that can be stored."""
    (one,) = messages_of([joined(at=instants.INSTANT_MAX)], [campaign(options={"delay_seconds": 86_400})], {})
    assert one.due_at == one.expires_at == instants.INSTANT_MAX


def test_campaigns_of_other_segments_hear_nothing() -> None:
    """Only those of the segment fire."""
    assert not messages_of([joined(segment_id=UUID(int=77))], [campaign()], {})
