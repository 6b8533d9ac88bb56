"""What becomes of messages that are due: the decision about each, and what is written and sent because of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from service.app.campaigns.templates import CampaignTemplate, Rendered, RenderError
from service.app.dispatch.content import LinkWriter, render, values_of
from service.app.dispatch.model import Person, Settled, Waiting
from service.app.dispatch.outcomes import Lease
from service.app.dispatch.requested import address_of, issued_record, requested_data, requested_record
from service.app.dispatch.transport import Outbound
from service.app.outgoing import OutgoingRecord
from service.core.campaigns.backoff import ATTEMPTS_MAX, Way
from service.core.campaigns.caps import Sent
from service.core.campaigns.eligibility import Control, Decision, Defer, Recipient, Send, Suppressed, decide
from service.core.campaigns.model import Campaign
from service.core.campaigns.quiet_hours import zone_of
from service.core.campaigns.sms_text import segments
from service.core.campaigns.states import Message

RENDER_ERROR: Final = "render_error"
#: Who was held out or not is settled before these are looked at.
_AFTER_ASSIGNMENT: Final = ("expired", "left_segment", "frequency_cap")


@dataclass(frozen=True)
class Rules:
    """What deciding goes by, from the settings.

    Attributes:
        zone: of customers without one.
        has_address: addresses may leave with messages on the topic.
    """

    messages_topic: str
    zone: ZoneInfo
    has_address: bool
    links: LinkWriter


@dataclass
class Batch:
    """Some due messages of one campaign, and what is known about their customers.

    Attributes:
        sent: marketing messages that count against caps, by customer; grows with what is decided.
        barred: why an address is on the suppression list, by customer.
        way: a transport of our own; None where messages leave by the topic.
    """

    campaign: Campaign
    segment_name: str
    waiting: Sequence[Waiting]
    people: Mapping[UUID, Person]
    sent: dict[UUID, list[Sent]]
    barred: Mapping[UUID, Any]
    now: int
    way: Way | None = None


@dataclass
class Plan:
    """What one transaction writes, and what may be sent after it."""

    settled: list[Settled] = field(default_factory=list)
    records: list[OutgoingRecord] = field(default_factory=list)
    leases: list[Lease] = field(default_factory=list)
    unrendered: list[Waiting] = field(default_factory=list)


def decide_all(batch: Batch, rules: Rules) -> list[tuple[Waiting, Decision]]:
    """The decision about each message, in order; a customer's later ones know of the earlier."""
    found = []
    for waiting in batch.waiting:
        recipient = _recipient(batch, batch.people[waiting.customer_id], rules)
        decision = decide(batch.campaign, recipient, expires_at=waiting.expires_at, now=batch.now)
        if isinstance(decision, Send) and batch.campaign.is_marketing:
            batch.sent.setdefault(waiting.customer_id, []).append(Sent(batch.campaign.channel, batch.now))
        found.append((waiting, decision))
    return found


def _recipient(batch: Batch, person: Person, rules: Rules) -> Recipient:
    return Recipient(
        person.customer_id,
        exists=not person.is_erased,
        addresses={batch.campaign.channel: address_of(batch.campaign, person)},
        consents={
            "email": person.email_subscribed,
            "sms": person.sms_subscribed,
            "notification": person.push_subscribed,
        },
        suppression=batch.barred.get(person.customer_id),
        is_member=person.joined_at is not None,
        sent=batch.sent.get(person.customer_id, ()),
        zone=zone_of(person.timezone, rules.zone),
    )


def plan(
    batch: Batch,
    decided: Sequence[tuple[Waiting, Decision]],
    codes: Mapping[UUID, str],
    template: CampaignTemplate,
    rules: Rules,
) -> Plan:
    """What follows from the decisions; renders, so that it belongs into a thread of its own.

    Args:
        batch: the messages.
        decided: see `decide_all`.
        codes: discount codes by message.
        template: of the campaign.
        rules: what it goes by.
    """
    made = Plan()
    for waiting, decision in decided:
        if isinstance(decision, Send):
            _send(made, batch, waiting, codes.get(waiting.message_id), template, rules)
        else:
            made.settled.append(_kept(waiting, decision, batch.now))
    return made


def _kept(waiting: Waiting, decision: Control | Suppressed | Defer, now: int) -> Settled:
    if isinstance(decision, Control):
        return Settled(waiting, Message.CONTROL, assigned_at=now)
    if isinstance(decision, Defer):
        return Settled(waiting, Message.DEFERRED, decision.reason, due_at=decision.until, assigned_at=now)
    assigned_at = now if decision.reason in _AFTER_ASSIGNMENT else None
    return Settled(waiting, Message.SUPPRESSED, decision.reason, assigned_at=assigned_at)


def _send(
    made: Plan, batch: Batch, waiting: Waiting, code: str | None, template: CampaignTemplate, rules: Rules
) -> None:
    campaign, now = batch.campaign, batch.now
    if batch.way is not None and waiting.attempts >= ATTEMPTS_MAX[batch.way]:  # processes died over it again and again
        made.settled.append(Settled(waiting, Message.DEAD, "attempts_exhausted", assigned_at=now))
        return
    person = batch.people[waiting.customer_id]
    unsubscribe_url = rules.links.unsubscribe(campaign, waiting.message_id)
    values = values_of(
        campaign,
        batch.segment_name,
        person,
        joined_at=_joined_at(campaign, waiting, person),
        code=code,
        unsubscribe_url=unsubscribe_url,
    )
    try:
        content = render(template, campaign, waiting.message_id, values, rules.links)
    except RenderError as error:
        made.unrendered.append(waiting)
        made.settled.append(Settled(waiting, Message.FAILED, RENDER_ERROR, assigned_at=now, error=str(error)))
        return
    data = requested_data(
        campaign,
        waiting,
        person,
        content,
        code=code,
        unsubscribe_url=unsubscribe_url,
        now=now,
        has_address=rules.has_address,
    )
    if code is not None and campaign.options.code_generator is not None and waiting.discount_code is None:
        made.records.append(issued_record(rules.messages_topic, campaign, waiting, code, now))
    lease = None
    if batch.way is None:
        made.records.append(requested_record(rules.messages_topic, campaign, waiting, data, now))
    else:
        lease = _lease(batch, waiting, person, content, unsubscribe_url, data)
        made.leases.append(lease)
    made.settled.append(_left(waiting, now, lease, content, code, campaign))


def _joined_at(campaign: Campaign, waiting: Waiting, person: Person) -> int | None:
    """Since when they are a member; of one whom a join fired, that join, even if they have left and come back since.

    Who was there when the campaign began joined before their message's occasion, which is the campaign's beginning.
    """
    if campaign.trigger != "on_joined" or person.joined_at is None:
        return waiting.occurred_at if campaign.trigger == "on_joined" else person.joined_at
    return min(waiting.occurred_at, person.joined_at)


def _left(
    waiting: Waiting, now: int, lease: Lease | None, content: Rendered, code: str | None, campaign: Campaign
) -> Settled:
    return Settled(
        waiting,
        Message.SENT if lease is None else Message.LEASED,
        assigned_at=now,
        sent_at=now if lease is None else None,
        attempts_more=1 if lease is None else 0,
        attempt_token=None if lease is None else lease.token,
        discount_code=code,
        links=content.links or None,
        sms_segments=segments(content.text) if campaign.channel == "sms" else None,
    )


def _lease(
    batch: Batch,
    waiting: Waiting,
    person: Person,
    content: Rendered,
    unsubscribe_url: str | None,
    data: Mapping[str, Any],
) -> Lease:
    campaign = batch.campaign
    assert batch.way is not None  # noqa: S101 - who asks has seen it
    outbound = Outbound(
        message_id=waiting.message_id,
        attempt=waiting.attempts + 1,
        channel=campaign.channel,
        address=address_of(campaign, person),
        subject=content.subject if campaign.channel == "email" else content.title,
        text=content.text,
        html=content.html,
        unsubscribe_url=unsubscribe_url,
        data=data,
    )
    return Lease(
        campaign.id,
        waiting.customer_id,
        uuid4(),
        outbound,
        waiting.attempts,
        waiting.due_at,
        waiting.expires_at,
        campaign.holds_uncertain,
        batch.way,
    )
