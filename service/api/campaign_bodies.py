"""Campaigns as they come in over HTTP, as OpenAPI shows them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from service.api.campaign_values import Cost, Instant, Price, QuietHoursBody, Share, SpanBody
from service.api.schemas import Name
from service.app.campaigns.changes import CampaignChange
from service.core.campaigns.model import CodeGenerator, FrequencyCap, QuietHours

CampaignType = Literal["email", "sms", "notification", "discount"]
Channel = Literal["email", "sms", "notification"]
Cause = Literal["event", "time", "definition", "manual", "import", "rebuild"]
TEXT_CHARACTERS_MAX: Final = 200_000
CAPS_MAX: Final = 10


def _storable(text: str | None) -> str | None:
    if text is not None and "\0" in text:
        msg = "must not hold U+0000"
        raise ValueError(msg)
    return text


_Storable = AfterValidator(_storable)
Subject = Annotated[str, Field(max_length=500), _Storable]
Title = Annotated[str, Field(max_length=100), _Storable]
Content = Annotated[str, Field(max_length=TEXT_CHARACTERS_MAX), _Storable]
Code = Annotated[str, Field(max_length=100), _Storable]
Prefix = Annotated[str, Field(max_length=20), _Storable]
Token = Annotated[str, Field(max_length=200), _Storable]


class CodeGeneratorBody(BaseModel):
    """A code of their own for each recipient: the prefix and 10 characters."""

    model_config = ConfigDict(extra="forbid")

    prefix: Annotated[Prefix, Field(examples=["SPRING-"])] = ""


class FrequencyCapBody(BaseModel):
    """At most `max` messages to one customer within any `per`."""

    model_config = ConfigDict(extra="forbid")

    max: Annotated[int, Field(ge=1, le=1_000, strict=True)]
    per: SpanBody
    channel: Literal["any", "email", "sms", "notification"] = "any"


class CampaignSaid(BaseModel):
    """What can be said of a campaign; `name` and `type` are read as campaign_name and campaign_type."""

    model_config = ConfigDict(extra="forbid")

    campaign_name: Name = ""
    campaign_type: CampaignType = "email"
    subject: Annotated[Subject | None, Field(description="Of an e-mail; a Liquid template")] = None
    title: Annotated[Title | None, Field(description="Of a notification; a Liquid template")] = None
    content: Annotated[Content | None, Field(description="A Liquid template; HTML for e-mail")] = None
    channel: Annotated[Channel | None, Field(description="Of a discount; others have that of their type")] = None
    category: Annotated[
        Literal["marketing", "transactional"],
        Field(
            description="Transactional ones need campaigns:send_transactional; consent and caps do not hold for them"
        ),
    ] = "marketing"
    discount_code: Annotated[Code | None, Field(description="One code for all")] = None
    code_generator: Annotated[CodeGeneratorBody | None, Field(description="Or a code for each")] = None
    discount_type: Literal["percentage", "fixed"] | None = None
    discount_amount: Price | None = None
    trigger: Annotated[
        Literal["once", "on_joined", "on_left"],
        Field(description="once: to the members at scheduled_at; else to who joins or leaves while it is active"),
    ] = "once"
    scheduled_at: Instant | None = None
    reentry: Literal["first_only", "every_time"] = "first_only"
    min_gap: Annotated[SpanBody, Field(description="With every_time: between two messages to a customer")] = SpanBody(
        minutes=0
    )
    delay: Annotated[SpanBody, Field(description="From the join or leave to the message")] = SpanBody(minutes=0)
    fire_on: Annotated[list[Cause], Field(max_length=6, description="Causes of joins and leaves that fire")] = [
        "event",
        "time",
    ]
    include_existing: Annotated[bool, Field(strict=True, description="Present members get it when it begins")] = False
    recheck_membership: Annotated[
        bool | None,
        Field(strict=True, description="Only who is still a member gets it; null: if on_joined has a delay"),
    ] = None
    expires_at: Annotated[Instant | None, Field(description="Nothing is sent after it")] = None
    expires_after: Annotated[SpanBody, Field(description="After a message was due it is not sent any more")] = SpanBody(
        hours=72
    )
    max_lateness: Annotated[SpanBody, Field(description="A scheduled campaign that cannot begin within it fails")] = (
        SpanBody(hours=24)
    )
    holdout_percent: Annotated[int, Field(ge=0, le=50, strict=True, description="Who gets nothing, to compare")] = 0
    priority: Annotated[int, Field(ge=0, le=100, strict=True, description="Higher goes first")] = 50
    quiet_hours: Annotated[
        QuietHoursBody | Literal[False] | None,
        Field(description="null: 21:00 to 08:00 for sms and notification, none for email; false: none"),
    ] = None
    frequency_caps: Annotated[
        list[FrequencyCapBody] | None,
        Field(max_length=CAPS_MAX, description="null: 3 messages on any channel within 7 days; []: none"),
    ] = None
    on_uncertain: Annotated[
        Literal["hold", "resend"] | None,
        Field(description="Where nobody can tell if an e-mail left; null: hold marketing, resend transactional"),
    ] = None
    tracking: Annotated[bool, Field(strict=True, description="Opens and clicks are noted")] = True
    cost_per_message: Cost = Decimal(0)
    fixed_cost: Price = Decimal(0)
    gross_margin: Annotated[Share, Field(description="Of what orders earn; 0 to 1")] = Decimal(1)

    @model_validator(mode="before")
    @classmethod
    def _other_names(cls, source: Any) -> Any:
        if not isinstance(source, dict):
            return source
        renamed = dict(source)
        for short, name in (("name", "campaign_name"), ("type", "campaign_type")):
            if short in renamed and name not in renamed:
                renamed[name] = renamed.pop(short)
        return renamed

    def change(self) -> CampaignChange:
        """For the use case: only what was given."""
        given = self.model_fields_set
        said: dict[str, Any] = {name: getattr(self, name) for name in _SAID if name in given}
        options = {option: read(getattr(self, name)) for name, (option, read) in _OPTIONS.items() if name in given}
        return CampaignChange(said, options)


_SAID: Final = (
    "campaign_name",
    "campaign_type",
    "subject",
    "content",
    "channel",
    "category",
    "discount_code",
    "discount_type",
    "discount_amount",
    "trigger",
    "scheduled_at",
)


def _as_it_is(value: Any) -> Any:
    return value


def _seconds(span: SpanBody) -> int:
    return span.seconds


def _generator(body: CodeGeneratorBody | None) -> CodeGenerator | None:
    return None if body is None else CodeGenerator(body.prefix)


def _hours(body: QuietHoursBody | Literal[False] | None) -> QuietHours | Literal[False] | None:
    return QuietHours(body.start, body.end) if isinstance(body, QuietHoursBody) else body


def _caps(bodies: list[FrequencyCapBody] | None) -> tuple[FrequencyCap, ...] | None:
    if bodies is None:
        return None
    return tuple(FrequencyCap(one.max, one.per.seconds, one.channel) for one in bodies)


#: Name outside -> name of the option, and how it is read.
_OPTIONS: Final[Mapping[str, tuple[str, Any]]] = {
    **{
        name: (name, _as_it_is)
        for name in (
            "title",
            "reentry",
            "include_existing",
            "recheck_membership",
            "expires_at",
            "holdout_percent",
            "priority",
            "on_uncertain",
            "cost_per_message",
            "fixed_cost",
            "gross_margin",
        )
    },
    "fire_on": ("fire_on", tuple),
    "code_generator": ("code_generator", _generator),
    "min_gap": ("min_gap_seconds", _seconds),
    "delay": ("delay_seconds", _seconds),
    "expires_after": ("expires_after_seconds", _seconds),
    "max_lateness": ("lateness_seconds_max", _seconds),
    "quiet_hours": ("quiet_hours", _hours),
    "frequency_caps": ("frequency_caps", _caps),
    "tracking": ("is_tracked", _as_it_is),
}


class NewCampaignBody(CampaignSaid):
    """A campaign to create; a draft unless it says when it goes."""

    campaign_name: Name
    campaign_type: CampaignType
    status: Annotated[
        Literal["draft", "scheduled"], Field(description="scheduled: goes at scheduled_at; needs campaigns:send")
    ] = "draft"
    send_now: Annotated[bool, Field(strict=True, description="Begins at once; needs campaigns:send")] = False


class CampaignChangeBody(CampaignSaid):
    """What is to be different; what is left out stays. Only a draft can be changed."""

    status: Annotated[
        Literal["draft", "scheduled"],
        Field(description="draft: takes a scheduled campaign back; scheduled: as POST .../schedule"),
    ] = "draft"


class ScheduleBody(BaseModel):
    """When the campaign goes."""

    model_config = ConfigDict(extra="forbid")

    scheduled_at: Annotated[Instant | None, Field(description="By default the campaign's own")] = None
    preview_token: Annotated[Token | None, Field(description="Of a preview; needed for many")] = None


class SendBody(BaseModel):
    """What lets a campaign go to many."""

    model_config = ConfigDict(extra="forbid")

    preview_token: Annotated[Token | None, Field(description="Of a preview; needed for many")] = None
