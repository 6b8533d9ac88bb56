"""Decides about messages that are due, some of one campaign at a time: one transaction, and what follows from it.

Under the locks of their customers nobody's consent changes and nobody is erased meanwhile; a campaign is neither paused
nor cancelled. What leaves by the topic is in the outbox when the message is `sent`: the relay publishes it once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog

from service.adapters.postgres.campaigns import messages, schedule, suppressions
from service.app import metrics
from service.app.campaigns.templates import CampaignTemplate, Templates
from service.app.dispatch.content import LinkWriter
from service.app.dispatch.deciding import Batch, Plan, Rules, decide_all, plan
from service.app.dispatch.model import Waiting
from service.app.dispatch.outcomes import Lease
from service.app.dispatch.requested import address_of
from service.bootstrap import Runtime, campaign_key
from service.core.campaigns.backoff import Way
from service.core.campaigns.caps import Sent, caps_of, look_back
from service.core.campaigns.codes import generated_code, normalised_code
from service.core.campaigns.eligibility import Decision, Send
from service.core.campaigns.model import Campaign
from service.core.campaigns.secrets import Purpose, address_hash
from service.core.campaigns.states import Message, State
from service.core.instants import SECOND
from service.crash import crash_point

log = structlog.get_logger()

#: Where more than 5 % of the first messages cannot be rendered, somebody has to look at the template.
TRIAL: Final = 200
TRIAL_FAILURES_MAX: Final = TRIAL // 20
RENDER_ERRORS: Final = "render_errors"
#: What becomes of messages that could be rendered.
_RENDERED: Final = (Message.SENT, Message.LEASED)
#: Campaigns whose templates are kept ready.
COMPILED_MAX: Final = 200
#: Ends where two codes met for so many times in a row, which does not happen.
COLLISIONS_MAX: Final = 20
#: A process that does not renew its leases for so long is taken for dead.
LEASE_SECONDS: Final = 10.0


class Done(NamedTuple):
    """What came of one transaction; `sent` left by the topic."""

    claimed: int = 0
    leases: Sequence[Lease] = ()
    sent: int = 0


class Decider:
    """Decides; one at a time in a process, any number of processes."""

    def __init__(self, runtime: Runtime, templates: Templates) -> None:
        """Raises SettingsError where there is no secret to sign links with."""
        settings = runtime.settings
        self._runtime, self._templates = runtime, templates
        base = None if settings.public_url is None else settings.public_url.rstrip("/")
        self._rules = Rules(
            settings.messages_topic,
            ZoneInfo(settings.campaign_timezone),
            settings.pii_in_messages,
            LinkWriter(base, campaign_key(settings, Purpose.LINKS)),
        )
        self._addresses = campaign_key(settings, Purpose.ADDRESSES)
        self._codes = campaign_key(settings, Purpose.CODES)
        self._compiled: dict[UUID, tuple[int, CampaignTemplate]] = {}
        self._rendered: dict[UUID, int] = {}
        self._suspects: set[UUID] = set()

    async def decide(self, campaign_id: UUID, limit: int, way: Way | None) -> Done:
        """Settles up to so many due messages of a campaign; `way` of a transport of our own gets leases."""
        made = None
        async with self._runtime.database.batch() as connection:
            campaign = await messages.live_campaign(connection, campaign_id)
            if campaign is None:
                return Done()
            is_trial = await self._is_trial(connection, campaign)
            now = self._runtime.clock()
            claimed = await messages.claim(connection, campaign_id, now, min(limit, TRIAL) if is_trial else limit)
            crash_point("messages-claimed")
            if claimed:
                made = await self._settle(connection, campaign, claimed, now, way)
        if made is None:
            return Done()
        crash_point("messages-committed")
        self._count(campaign, made, now)
        if is_trial:
            self._rendered[campaign.id] += len(made.unrendered) + sum(one.state in _RENDERED for one in made.settled)
            if made.unrendered:
                self._suspects.add(campaign.id)
        if campaign.id in self._suspects:
            await self._look_at_trial(campaign)
        return Done(len(claimed), made.leases, sum(one.state == Message.SENT for one in made.settled))

    async def _settle(
        self, connection: Any, campaign: Campaign, claimed: Sequence[Waiting], now: int, way: Way | None
    ) -> Plan:
        template = self._template(campaign)
        batch = await self._read(connection, campaign, claimed, now, way)
        decided = decide_all(batch, self._rules)
        codes = await self._take_codes(connection, campaign, decided)
        made = await asyncio.to_thread(plan, batch, decided, codes, template, self._rules)
        unused = [codes[one.message_id] for one in made.unrendered if one.message_id in codes]
        if campaign.options.code_generator is not None:
            await messages.delete_codes(connection, campaign.id, [normalised_code(one) for one in unused])
        await messages.settle(connection, made.settled, LEASE_SECONDS)
        crash_point("messages-settled")
        await messages.write_outbox(connection, made.records)
        crash_point("messages-written")
        return made

    async def _read(
        self, connection: Any, campaign: Campaign, claimed: Sequence[Waiting], now: int, way: Way | None
    ) -> Batch:
        customer_ids = {one.customer_id for one in claimed}
        people = await messages.people(connection, customer_ids, campaign.segment_id)
        asked = [
            suppressions.Asked(one.customer_id, campaign.channel, address_hash(self._addresses, campaign.channel, to))
            for one in people.values()
            if (to := address_of(campaign, one))
        ]
        barred = await suppressions.active(connection, asked)
        back = look_back(caps_of(campaign)) if campaign.is_marketing else 0
        sent: dict[UUID, list[Sent]] = {}
        if back:
            sent = await messages.sent_since(connection, customer_ids, now - back, now)
        name = await messages.segment_name(connection, campaign.segment_id)
        reasons = {one.customer_id: reason for one, reason in barred.items()}
        return Batch(campaign, name, claimed, people, sent, reasons, now, way)

    def _template(self, campaign: Campaign) -> CampaignTemplate:
        revision, template = self._compiled.get(campaign.id, (0, None))
        if template is None or revision != campaign.revision:
            template = self._templates.compile(campaign)
            if len(self._compiled) >= COMPILED_MAX:
                del self._compiled[next(iter(self._compiled))]
            self._compiled[campaign.id] = (campaign.revision, template)
        return template

    async def _take_codes(
        self, connection: Any, campaign: Campaign, decided: Sequence[tuple[Waiting, Decision]]
    ) -> dict[UUID, str]:
        """The code of each message that leaves: the one it had, the campaign's, or one of its own."""
        leaving = [waiting for waiting, decision in decided if isinstance(decision, Send)]
        found = {one.message_id: one.discount_code or campaign.discount_code for one in leaving}
        generator = campaign.options.code_generator
        if generator is not None:
            missing = [one for one in leaving if one.discount_code is None]
            for counter in range(COLLISIONS_MAX):
                if not missing:
                    break
                codes = {
                    one.message_id: generated_code(self._codes, one.message_id, generator.prefix, counter)
                    for one in missing
                }
                rows = [(normalised_code(codes[one.message_id]), one.customer_id, one.message_id) for one in missing]
                free = await messages.insert_codes(connection, campaign.id, rows)
                found |= {message_id: codes[message_id] for message_id in free}
                missing = [one for one in missing if one.message_id not in free]
        return {message_id: code for message_id, code in found.items() if code is not None}

    async def _is_trial(self, connection: Any, campaign: Campaign) -> bool:
        """Whether some of the campaign's first messages have not been rendered yet.

        The database is asked once: where few may be written to, it has to look at all messages to find those.
        """
        done = self._rendered.get(campaign.id)
        if done is None:
            done, failed = await messages.rendered(connection, campaign.id, TRIAL)
            self._rendered[campaign.id] = done
            if failed > TRIAL_FAILURES_MAX:  # whoever found them may have died before it looked
                self._suspects.add(campaign.id)
        return done < TRIAL

    async def _look_at_trial(self, campaign: Campaign) -> None:
        """Pauses a campaign whose template does not fit too many of the first customers: once, who resumes it knows."""
        async with self._runtime.database.batch() as connection:
            _, failed = await messages.rendered(connection, campaign.id, TRIAL)
            found = None
            if failed > TRIAL_FAILURES_MAX and not await schedule.was_paused_for(
                connection, campaign.id, RENDER_ERRORS
            ):
                found = await schedule.lock_in_turn(connection, campaign.id, campaign.state)
            if found is not None:
                await schedule.step(connection, found, State.PAUSED, reason=RENDER_ERRORS)
        self._suspects.discard(campaign.id)
        if found is None:
            return
        log.warning("campaign paused: too many messages cannot be rendered", campaign_id=str(campaign.id))

    def _count(self, campaign: Campaign, made: Plan, now: int) -> None:
        tally, channel = self._runtime.tally, campaign.channel
        outcomes = Counter(str(one.state) for one in made.settled)
        del outcomes[Message.LEASED]  # these are counted when it is known what came of them
        tally.count_all(metrics.DISPATCHED, {(channel, outcome): count for outcome, count in outcomes.items()})
        for one in made.settled:
            if one.state == Message.SENT:
                tally.observe(metrics.DISPATCH_SECONDS, max(0, now - one.waiting.due_at) / SECOND, channel)
