"""A campaign: what it says, to whom, when, and within which limits."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final, Literal
from uuid import UUID

import msgspec

CampaignType = Literal["email", "sms", "notification", "discount"]
Channel = Literal["email", "sms", "notification"]
Category = Literal["marketing", "transactional"]
Trigger = Literal["once", "on_joined", "on_left"]
Reentry = Literal["first_only", "every_time"]
#: Why somebody joined or left, as the membership events say it.
Cause = Literal["event", "time", "definition", "manual", "import", "rebuild"]
OnUncertain = Literal["hold", "resend"]

CHANNELS: Final[tuple[Channel, ...]] = ("email", "sms", "notification")
MARKETING: Final = "marketing"
#: What a draft says beside its options; the rest of a campaign follows from what happens to it.
SAID: Final = (
    *("campaign_name", "campaign_type", "channel", "category", "subject", "content"),
    *("discount_code", "discount_type", "discount_amount", "trigger", "scheduled_at"),
)
ONCE: Final = "once"
HOUR_SECONDS: Final = 3_600
DAY_SECONDS: Final = 24 * HOUR_SECONDS
DELAY_SECONDS_MAX: Final = 90 * DAY_SECONDS


class QuietHours(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Local times of day between which nothing is sent: [start, end), `HH:MM`, over midnight where start > end."""

    start: str = "21:00"
    end: str = "08:00"


class FrequencyCap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most `max` messages to one customer within any `per_seconds`, on one channel or on `any`."""

    max: int = 3
    per_seconds: int = 7 * DAY_SECONDS
    channel: Literal["any", "email", "sms", "notification"] = "any"


class CodeGenerator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A discount code of their own for each recipient: `prefix` and 10 characters."""

    prefix: str = ""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a campaign may say beside the guide's fields; stored as JSON.

    Attributes:
        title: of a notification.
        code_generator: a code for each recipient in place of `discount_code`.
        reentry, min_gap_seconds: whether and how often one customer may fire a triggered campaign.
        delay_seconds: from the join or leave to the message.
        fire_on: causes of joins and leaves that fire; edits, imports and repairs do not unless named.
        include_existing: of a triggered campaign: those who are members when it begins get it, too.
        recheck_membership: only who is still a member gets it; None: if `on_joined` has a delay.
        expires_at, expires_after_seconds: after which it is not sent any more: an instant, and from when it was due.
        lateness_seconds_max: a scheduled campaign that could not begin within it fails.
        holdout_percent: 0 to 50, of those who would get it; they form the control group.
        priority: 0 to 100; higher goes first.
        quiet_hours: None for those of the channel, False for none.
        frequency_caps: None for those of the settings, empty for none.
        on_uncertain: where nobody can tell whether an e-mail left: hold it, or send it again; None: by category.
        is_tracked: opens and clicks are noted.
        cost_per_message, fixed_cost, gross_margin: of the return on investment; money in the reporting currency.
    """

    title: str | None = None
    code_generator: CodeGenerator | None = None
    reentry: Reentry = "first_only"
    min_gap_seconds: int = 0
    delay_seconds: int = 0
    fire_on: tuple[Cause, ...] = ("event", "time")
    include_existing: bool = False
    recheck_membership: bool | None = None
    expires_at: datetime | None = None
    expires_after_seconds: int = 72 * HOUR_SECONDS
    lateness_seconds_max: int = DAY_SECONDS
    holdout_percent: int = 0
    priority: int = 50
    quiet_hours: QuietHours | Literal[False] | None = None
    frequency_caps: tuple[FrequencyCap, ...] | None = None
    on_uncertain: OnUncertain | None = None
    is_tracked: bool = True
    cost_per_message: Decimal = Decimal(0)
    fixed_cost: Decimal = Decimal(0)
    gross_margin: Decimal = Decimal(1)


class Campaign(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign as it is stored.

    Attributes:
        channel: that of its type; of a discount the one chosen.
        discount_amount: a percentage, or an amount in the reporting currency, by `discount_type`.
        state: one of core.campaigns.states.
        started_at: when the audience was taken or a triggered campaign began; as the service's clock says.
        activated_at: the same in real time; joins and leaves recorded before it do not fire.
        revision: rises with every change; what ETag and If-Match compare.
    """

    id: UUID
    segment_id: UUID
    campaign_name: str
    campaign_type: CampaignType
    channel: Channel
    category: Category = "marketing"
    subject: str | None = None
    content: str | None = None
    discount_code: str | None = None
    discount_type: Literal["percentage", "fixed"] | None = None
    discount_amount: Decimal | None = None
    trigger: Trigger = "once"
    scheduled_at: datetime | None = None
    options: Options = Options()
    state: str = "draft"
    failure_reason: str | None = None
    started_at: datetime | None = None
    activated_at: datetime | None = None
    sent_at: datetime | None = None
    revision: int = 1
    created_by: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    is_deleted: bool = False

    @property
    def is_marketing(self) -> bool:
        """Whether consent, holdout, quiet hours and caps apply."""
        return self.category == MARKETING

    @property
    def is_triggered(self) -> bool:
        """Whether joins or leaves fire it, instead of one audience."""
        return self.trigger != ONCE

    @property
    def rechecks_membership(self) -> bool:
        """Whether only who is a member when it is sent gets it."""
        if self.options.recheck_membership is not None:
            return self.options.recheck_membership
        return self.trigger == "on_joined" and self.options.delay_seconds > 0

    @property
    def holds_uncertain(self) -> bool:
        """Whether a message of which nobody can tell if it left stays where it is: at most once, not at least once.

        Only e-mail may: who takes requests knows one that comes again by its id.
        """
        return (
            self.channel == "email"
            and (self.options.on_uncertain or ("hold" if self.is_marketing else "resend")) == "hold"
        )
