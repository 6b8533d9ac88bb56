"""What a campaign must say to be kept, and to be sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from service.core.campaigns.model import Campaign, CodeGenerator, FrequencyCap, QuietHours
from service.core.campaigns.validate import faults_of_draft, faults_of_whole, warnings
from service.core.instants import from_datetime
from tests.unit.campaigns.support import campaign

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SOON = NOW + timedelta(hours=1)
DAY = timedelta(days=1)
EMAIL = {"subject": "Hi", "content": "Hello", "scheduled_at": SOON}
SMS = {"channel": "sms", "content": "Hello", "scheduled_at": SOON}
PUSH = {"channel": "notification", "content": "Hello", "scheduled_at": SOON}
DISCOUNT = {
    **EMAIL,
    "campaign_type": "discount",
    "discount_type": "percentage",
    "discount_amount": Decimal(15),
    "discount_code": "SAVE15",
}
JOINED = {"subject": "Hi", "content": "Hello", "trigger": "on_joined"}


def told(one: Campaign) -> list[tuple[str, str]]:
    """Path and code of each fault, if it is to be sent."""
    return [(fault.path, fault.code) for fault in faults_of_whole(one, from_datetime(NOW))]


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({}, EMAIL),
        ({}, {**EMAIL, "scheduled_at": None}),
        ({}, {**EMAIL, "scheduled_at": NOW}),
        ({}, {**EMAIL, "scheduled_at": NOW + 366 * DAY}),
        ({}, {**EMAIL, "subject": "x" * 500, "content": "x" * 200_000}),
        ({}, {**SMS, "content": "x" * 1_600}),
        ({"title": "x" * 100}, {**PUSH, "content": "x" * 4_000}),
        ({}, DISCOUNT),
        ({}, {**DISCOUNT, "discount_amount": Decimal("0.01")}),
        ({}, {**DISCOUNT, "discount_amount": Decimal(100)}),
        ({}, {**DISCOUNT, "discount_type": "fixed", "discount_amount": Decimal("99999999.99")}),
        ({"code_generator": CodeGenerator("SPRING-")}, {**DISCOUNT, "discount_code": None}),
        ({}, {**DISCOUNT, "channel": "sms", "subject": None}),
        ({"title": "Hi"}, {**DISCOUNT, "channel": "notification", "subject": None}),
        ({"delay_seconds": 90 * 86_400, "include_existing": True}, JOINED),
        ({"reentry": "every_time", "min_gap_seconds": 3_600}, JOINED),
        ({"recheck_membership": True}, JOINED),
        ({"recheck_membership": False}, {**JOINED, "trigger": "on_left"}),
        ({"expires_at": SOON + DAY, "holdout_percent": 50, "priority": 100}, EMAIL),
        ({"quiet_hours": QuietHours(), "frequency_caps": (FrequencyCap(),)}, EMAIL),
        ({"quiet_hours": False, "frequency_caps": ()}, EMAIL),
        ({"cost_per_message": Decimal("0.0123"), "fixed_cost": Decimal("1.50"), "gross_margin": Decimal("0.4")}, EMAIL),
    ],
)
def test_whole(options: dict[str, Any], fields: dict[str, Any]) -> None:
    """Nothing stands in the way of these."""
    assert told(campaign(options, **fields)) == []


@pytest.mark.parametrize(
    ("options", "fields", "expected"),
    [
        ({}, {"campaign_name": " "}, ("campaign_name", "missing")),
        ({}, {"campaign_name": "x" * 256}, ("campaign_name", "too_long")),
        ({}, {"subject": "x" * 501}, ("subject", "too_long")),
        ({}, {"subject": "Hi\r\nBcc: everybody"}, ("subject", "invalid")),
        ({}, {"subject": "Hi\u2028there"}, ("subject", "invalid")),
        ({}, {"content": "x" * 200_001}, ("content", "too_long")),
        ({}, {"content": "ö" * 100_001}, ("content", "too_long")),
        ({"title": "x" * 101}, {}, ("title", "too_long")),
        ({"title": "a\nb"}, {}, ("title", "invalid")),
        ({}, {"channel": "sms", "campaign_type": "email"}, ("channel", "invalid")),
        ({}, {"discount_code": "ab"}, ("discount_code", "invalid")),
        ({}, {"discount_code": "a b c"}, ("discount_code", "invalid")),
        ({}, {"discount_code": "x" * 101}, ("discount_code", "invalid")),
        ({"code_generator": CodeGenerator("Ö")}, {}, ("code_generator.prefix", "invalid")),
        ({"code_generator": CodeGenerator("x" * 21)}, {}, ("code_generator.prefix", "invalid")),
        ({}, {"discount_amount": Decimal("1.001")}, ("discount_amount", "too_many_decimals")),
        ({}, {"discount_amount": Decimal(-1)}, ("discount_amount", "out_of_range")),
        ({}, {"discount_amount": Decimal(100_000_000)}, ("discount_amount", "out_of_range")),
        ({}, {"discount_amount": Decimal("NaN")}, ("discount_amount", "invalid")),
        ({}, {"scheduled_at": datetime(2026, 6, 2)}, ("scheduled_at", "invalid")),  # noqa: DTZ001
        ({"expires_at": datetime(2026, 6, 2)}, {}, ("expires_at", "invalid")),  # noqa: DTZ001
        ({"delay_seconds": 90 * 86_400 + 1}, {}, ("delay", "out_of_range")),
        ({"min_gap_seconds": -1}, {}, ("min_gap", "out_of_range")),
        ({"expires_after_seconds": 0}, {}, ("expires_after", "out_of_range")),
        ({"lateness_seconds_max": 367 * 86_400}, {}, ("max_lateness", "out_of_range")),
        ({"fire_on": ()}, {}, ("fire_on", "missing")),
        ({"holdout_percent": 51}, {}, ("holdout_percent", "out_of_range")),
        ({"holdout_percent": -1}, {}, ("holdout_percent", "out_of_range")),
        ({"priority": 101}, {}, ("priority", "out_of_range")),
        ({"quiet_hours": QuietHours("24:00", "08:00")}, {}, ("quiet_hours.start", "invalid")),
        ({"quiet_hours": QuietHours("21:00", "8:00")}, {}, ("quiet_hours.end", "invalid")),
        ({"quiet_hours": QuietHours("21:00", "21:00")}, {}, ("quiet_hours", "invalid")),
        ({"frequency_caps": (FrequencyCap(max=0),)}, {}, ("frequency_caps[0].max", "out_of_range")),
        ({"frequency_caps": (FrequencyCap(per_seconds=0),)}, {}, ("frequency_caps[0].per", "out_of_range")),
        ({"frequency_caps": (FrequencyCap(),) * 11}, {}, ("frequency_caps", "too_many")),
        ({"cost_per_message": Decimal("0.00001")}, {}, ("cost_per_message", "too_many_decimals")),
        ({"fixed_cost": Decimal("0.001")}, {}, ("fixed_cost", "too_many_decimals")),
        ({"fixed_cost": Decimal(-1)}, {}, ("fixed_cost", "out_of_range")),
        ({"gross_margin": Decimal("1.01")}, {}, ("gross_margin", "out_of_range")),
    ],
)
def test_draft(options: dict[str, Any], fields: dict[str, Any], expected: tuple[str, str]) -> None:
    """A draft may lack anything but its name; what it has must have its form, length and range."""
    name = fields.get("campaign_name", "Win back")
    one = campaign(options, **{key: value for key, value in fields.items() if key != "campaign_name"})
    one = Campaign(**{**{field: getattr(one, field) for field in one.__struct_fields__}, "campaign_name": name})
    found = [(fault.path, fault.code) for fault in faults_of_draft(one)]

    assert found == [expected]
    assert expected in told(one)


def test_empty_draft() -> None:
    """That is one."""
    assert faults_of_draft(campaign()) == []


@pytest.mark.parametrize(
    ("options", "fields", "expected"),
    [
        ({}, {**EMAIL, "subject": None}, [("subject", "missing")]),
        ({}, {**EMAIL, "subject": " "}, [("subject", "missing")]),
        ({}, {**EMAIL, "content": None}, [("content", "missing")]),
        ({}, {**EMAIL, "content": " \n"}, [("content", "missing")]),
        ({"title": "Hi"}, EMAIL, [("title", "unexpected")]),
        ({}, {**EMAIL, "discount_code": "SAVE15"}, [("discount_code", "unexpected")]),
        ({"code_generator": CodeGenerator()}, EMAIL, [("code_generator", "unexpected")]),
        ({}, {**EMAIL, "discount_type": "fixed"}, [("discount_type", "unexpected")]),
        ({}, {**EMAIL, "discount_amount": Decimal(1)}, [("discount_amount", "unexpected")]),
        ({}, {**SMS, "subject": "Hi"}, [("subject", "unexpected")]),
        ({"title": "Hi"}, SMS, [("title", "unexpected")]),
        ({}, {**SMS, "content": "x" * 1_601}, [("content", "too_long")]),
        ({}, {**PUSH, "subject": "Hi"}, [("subject", "unexpected")]),
        ({}, {**PUSH, "content": "x" * 4_001}, [("content", "too_long")]),
        ({}, {**DISCOUNT, "subject": None}, [("subject", "missing")]),
        ({}, {**DISCOUNT, "channel": "sms"}, [("subject", "unexpected")]),
        ({}, {**DISCOUNT, "discount_code": None}, [("discount_code", "missing")]),
        ({"code_generator": CodeGenerator()}, DISCOUNT, [("discount_code", "unexpected")]),
        ({}, {**DISCOUNT, "discount_type": None}, [("discount_type", "missing")]),
        ({}, {**DISCOUNT, "discount_amount": None}, [("discount_amount", "missing")]),
        ({}, {**DISCOUNT, "discount_amount": Decimal(0)}, [("discount_amount", "out_of_range")]),
        ({}, {**DISCOUNT, "discount_amount": Decimal("100.01")}, [("discount_amount", "out_of_range")]),
        ({}, {**EMAIL, "scheduled_at": NOW - timedelta(microseconds=1)}, [("scheduled_at", "in_the_past")]),
        ({}, {**EMAIL, "scheduled_at": NOW + 366 * DAY + timedelta(seconds=1)}, [("scheduled_at", "too_far_ahead")]),
        ({"expires_at": SOON}, EMAIL, [("expires_at", "in_the_past")]),
        ({"expires_at": NOW}, JOINED, [("expires_at", "in_the_past")]),
        ({}, {**JOINED, "scheduled_at": SOON}, [("scheduled_at", "unexpected")]),
        ({"delay_seconds": 60}, EMAIL, [("delay", "unexpected")]),
        ({"include_existing": True}, EMAIL, [("include_existing", "unexpected")]),
        ({"reentry": "every_time"}, EMAIL, [("reentry", "unexpected")]),
        ({"min_gap_seconds": 60}, JOINED, [("min_gap", "unexpected")]),
        ({"recheck_membership": True}, {**JOINED, "trigger": "on_left"}, [("recheck_membership", "invalid")]),
    ],
)
def test_not_whole(options: dict[str, Any], fields: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """Each of these can be kept, and not be sent."""
    one = campaign(options, **fields)

    assert faults_of_draft(one) == []
    assert told(one) == expected


def test_all_faults_at_once() -> None:
    """Nobody has to mend one to hear of the next; and each is a sentence that says how."""
    one = campaign({"title": "Hi", "priority": 101}, scheduled_at=NOW - DAY, discount_code="!")
    faults = faults_of_whole(one, from_datetime(NOW))

    paths = ["discount_code", "priority", "content", "subject", "title", "discount_code", "scheduled_at"]
    assert [fault.path for fault in faults] == paths
    assert all(fault.message for fault in faults)
    assert faults[1].message == "must lie between 0 and 100"
    assert faults[-1].message == "must not be in the past; to send it at once say send_now"


def test_warnings() -> None:
    """A discount whose content does not show the code is probably not meant so."""
    assert [fault.path for fault in warnings(campaign(**DISCOUNT))] == ["content"]
    assert warnings(campaign(**{**DISCOUNT, "content": "Use {{ discount.code }}"})) == []
    assert warnings(campaign(**EMAIL)) == []
