"""What leaves about messages is valid by the published schemas, and what they take the consumer takes."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from service.app.campaigns.templates import Rendered
from service.app.dispatch.model import Person, Waiting
from service.app.dispatch.requested import issued_record, requested_data, requested_record
from service.app.engagement.decode import Told, decode_told
from service.app.engagement.told import told_record
from service.app.engagement.touches import Message, Touch, touch_records
from service.app.message_schemas import ENGAGEMENT
from service.core.campaigns.model import Campaign, Channel
from service.core.events.decode import Rejected
from tests.unit.test_event_schemas import validator

NOW = 1_700_000_000_000_000
WAITING = Waiting(uuid4(), "once", uuid4(), NOW, NOW, NOW + 1, 0, None, None)
PERSON = Person(
    WAITING.customer_id, "C-1", "Ada", "Ada", "a@example.org", "+447700900123", None, None, None, None, *[None] * 3,
    total_orders=0, total_spent=0, last_order_at=None, is_erased=False, joined_at=None,
)  # fmt: skip


def campaign(channel: Channel) -> Campaign:
    """A campaign with discounts."""
    return Campaign(
        id=uuid4(),
        segment_id=uuid4(),
        campaign_name="Win back",
        campaign_type="discount",
        channel=channel,
        discount_type="percentage",
        discount_amount=Decimal("15.00"),
    )


@pytest.mark.parametrize("channel", ["email", "sms", "notification"])
@pytest.mark.parametrize("code", [None, "K7"])
def test_requests(channel: Channel, code: str | None) -> None:
    """Messages and codes as dispatch writes them."""
    one = campaign(channel)
    content = Rendered(subject="S", title=None, text="T", html=None, links=["https://a.example.org"])
    data = requested_data(
        one, WAITING, PERSON, content, code=code, unsubscribe_url=None, now=NOW, has_address=channel == "sms"
    )
    _, _, value, _ = requested_record("t", one, WAITING, data, NOW)
    validator("campaign.message.requested").validate(json.loads(value or b""))
    _, _, value, _ = issued_record("t", one, WAITING, "K7", NOW)
    validator("campaign.discount.issued").validate(json.loads(value or b""))


#: (kind, details, whether both take it)
CASES: list[tuple[str, dict[str, Any] | None, bool]] = [
    ("delivered", None, True),
    ("delivered", {}, True),
    ("delivered", {"colour": "red"}, True),
    ("bounced", {"bounce_type": "hard"}, True),
    ("bounced", {"bounce_type": "odd"}, False),
    ("bounced", {}, False),
    ("bounced", None, False),
    ("failed", {"retryable": True, "code": 5}, True),
    ("failed", {"retryable": "yes"}, False),
    ("clicked", {"link_index": -1}, False),
    ("opened", {"is_machine": True}, True),
    ("opened", {"is_machine": 1}, False),
    ("unsubscribed", {"method": "stop_keyword"}, True),
    ("unsubscribed", {"method": "magic"}, False),
    ("replied", {"text": "STOP"}, True),
]


@pytest.mark.parametrize(("kind", "details", "does"), CASES)
def test_schemas_agree_with_the_decoder(kind: str, details: dict[str, Any] | None, does: bool) -> None:
    """What a schema takes the consumer takes, and what it refuses the consumer refuses."""
    name = f"campaign.message.{kind}"
    data = {"message_id": str(uuid4()), "occurred_at": "2023-11-14T00:00:00Z", "details": details}
    event = {"specversion": "1.0", "id": "1", "source": "/p", "type": name, "time": "2023-11-14T00:00:00Z"}
    found = decode_told(json.dumps({**event, "data": data}).encode(), (), NOW, 10_000)
    assert validator(name).is_valid(data) is does
    assert isinstance(found, Told if does else Rejected), found


def test_every_kind_has_a_schema() -> None:
    """None is forgotten, and the consumer knows them all."""
    assert len(ENGAGEMENT) == 10
    for name in ENGAGEMENT:
        kind = name.rpartition(".")[2]
        details = {"bounce_type": "soft"} if kind == "bounced" else {}
        _, _, value, headers = told_record("t", kind, uuid4(), uuid4(), NOW, channel="email", details=details)
        validator(name).validate(json.loads(value or b""))
        assert isinstance(decode_told(value, headers, NOW, 10_000), Told)


def test_touches() -> None:
    """Opens and clicks as the routes write them; a link that the message has not is nobody's click."""
    message_id = UUID(int=7)
    touches = [
        Touch("opened", message_id, 0, False, NOW),
        *(Touch("clicked", message_id, n, True, NOW) for n in (0, 1)),
    ]
    records = touch_records("t", touches, {message_id: Message(uuid4(), "email", ["https://a.example.org"])})
    assert [dict(headers)["ce_id"] for *_, headers in records] == [
        f"{message_id}:opened:472222".encode(),
        f"{message_id}:clicked:0:472222:machine".encode(),
    ]
    for (_, _, value, _), name in zip(records, ("opened", "clicked"), strict=True):
        validator(f"campaign.message.{name}").validate(json.loads(value or b""))
