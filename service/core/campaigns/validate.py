"""Whether a campaign can be kept as a draft, and whether it can be sent (notes on campaigns, B2): all faults."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Final

from service.core.campaigns.faults import Fault, Faults
from service.core.campaigns.model import DAY_SECONDS, DELAY_SECONDS_MAX, Campaign, Channel, FrequencyCap, QuietHours
from service.core.instants import DAY, from_datetime

NAME_CHARACTERS_MAX: Final = 255
SUBJECT_CHARACTERS_MAX: Final = 500
TITLE_CHARACTERS_MAX: Final = 100
PREFIX_CHARACTERS_MAX: Final = 20
CONTENT_BYTES_MAX: Final = 200_000
#: E-mail has no more of its own.
CONTENT_CHARACTERS_MAX: Final[dict[Channel, int]] = {"sms": 1_600, "notification": 4_000}
AHEAD_DAYS_MAX: Final = 366
SPAN_SECONDS_MAX: Final = 366 * DAY_SECONDS
HOLDOUT_PERCENT_MAX: Final = 50
PRIORITY_MAX: Final = 100
CAPS_MAX: Final = 10
CAP_MESSAGES_MAX: Final = 1_000
AMOUNT_MAX: Final = Decimal("99999999.99")
COST_PER_MESSAGE_MAX: Final = Decimal(1_000_000)
_NOTHING: Final = Decimal(0)
_PERCENT_MAX: Final = Decimal(100)
_LINE_BREAK: Final = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")
_CODE: Final = re.compile(r"[A-Za-z0-9_-]{3,100}")
_PREFIX: Final = re.compile(r"[A-Za-z0-9_-]*")
_TIME_OF_DAY: Final = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]")
_NAMES_CODE: Final = re.compile(r"discount\.code")


def faults_of_draft(campaign: Campaign) -> list[Fault]:
    """What cannot even be kept: lengths, forms and ranges of what is there."""
    faults = Faults()
    _check_texts(faults, campaign)
    _check_discount_forms(faults, campaign)
    _check_times(faults, campaign)
    _check_limits(faults, campaign)
    _check_money(faults, campaign)
    return faults


def faults_of_whole(campaign: Campaign, now: int) -> list[Fault]:
    """What stands in the way of sending it at its scheduled_at, or of listening; includes `faults_of_draft`.

    Args:
        campaign: one to be sent at once has no scheduled_at yet, or that of now.
        now: microseconds, by the service's clock.
    """
    faults = Faults(faults_of_draft(campaign))
    _check_parts_of_channel(faults, campaign)
    _check_parts_of_discount(faults, campaign)
    _check_trigger(faults, campaign)
    _check_instants(faults, campaign, now)
    return faults


def warnings(campaign: Campaign) -> list[Fault]:
    """What may be meant so, and probably is not."""
    faults = Faults()
    if campaign.campaign_type == "discount":
        said = "does not show the code: write {{ discount.code }} where it belongs"
        faults.note(not _NAMES_CODE.search(campaign.content or ""), "content", said, "code_not_shown")
    return faults


def _check_texts(faults: Faults, campaign: Campaign) -> None:
    faults.needed(campaign.campaign_name.strip(), "campaign_name", "so that people know it")
    faults.length(campaign.campaign_name, "campaign_name", NAME_CHARACTERS_MAX)
    faults.length(campaign.subject, "subject", SUBJECT_CHARACTERS_MAX)
    faults.length(campaign.options.title, "title", TITLE_CHARACTERS_MAX)
    for path, text in (("subject", campaign.subject), ("title", campaign.options.title)):
        faults.note(bool(_LINE_BREAK.search(text or "")), path, "must be one line, without line breaks")
    is_long = len((campaign.content or "").encode(errors="replace")) > CONTENT_BYTES_MAX
    faults.note(is_long, "content", f"must have at most {CONTENT_BYTES_MAX:,} bytes as UTF-8", "too_long")
    fixed = campaign.campaign_type
    said = f"must be {fixed} for a campaign of type {fixed}; only a discount may choose"
    faults.note(fixed not in ("discount", campaign.channel), "channel", said)


def _check_discount_forms(faults: Faults, campaign: Campaign) -> None:
    code, generator = campaign.discount_code, campaign.options.code_generator
    said = "must have 3 to 100 letters, digits, _ and -"
    faults.note(code is not None and not _CODE.fullmatch(code), "discount_code", said)
    if generator is not None:
        said = f"must have at most {PREFIX_CHARACTERS_MAX} letters, digits, _ and -"
        is_wrong = len(generator.prefix) > PREFIX_CHARACTERS_MAX or not _PREFIX.fullmatch(generator.prefix)
        faults.note(is_wrong, "code_generator.prefix", said)
    if campaign.discount_amount is not None:
        _check_amount(faults, campaign.discount_amount, "discount_amount", AMOUNT_MAX, 2)


def _check_times(faults: Faults, campaign: Campaign) -> None:
    options = campaign.options
    for path, at in (("scheduled_at", campaign.scheduled_at), ("expires_at", options.expires_at)):
        is_wrong = at is not None and at.tzinfo is None
        faults.note(is_wrong, path, "must have an offset, such as 2026-12-01T09:00:00Z")
    faults.within(options.delay_seconds, "delay", 0, DELAY_SECONDS_MAX, " seconds (90 days)")
    faults.within(options.min_gap_seconds, "min_gap", 0, SPAN_SECONDS_MAX, " seconds (366 days)")
    faults.within(options.expires_after_seconds, "expires_after", 1, SPAN_SECONDS_MAX, " seconds (366 days)")
    faults.within(options.lateness_seconds_max, "max_lateness", 1, SPAN_SECONDS_MAX, " seconds (366 days)")
    faults.needed(options.fire_on, "fire_on", "to say which joins or leaves fire it, such as event")


def _check_limits(faults: Faults, campaign: Campaign) -> None:
    options = campaign.options
    faults.within(options.holdout_percent, "holdout_percent", 0, HOLDOUT_PERCENT_MAX)
    faults.within(options.priority, "priority", 0, PRIORITY_MAX)
    hours, caps = options.quiet_hours, options.frequency_caps or ()
    if isinstance(hours, QuietHours):
        _check_quiet_hours(faults, hours)
    faults.note(len(caps) > CAPS_MAX, "frequency_caps", f"must be at most {CAPS_MAX}", "too_many")
    for index, cap in enumerate(caps[:CAPS_MAX]):
        _check_cap(faults, cap, f"frequency_caps[{index}]")


def _check_quiet_hours(faults: Faults, hours: QuietHours) -> None:
    for name, text in (("start", hours.start), ("end", hours.end)):
        is_wrong = not _TIME_OF_DAY.fullmatch(text)
        faults.note(is_wrong, f"quiet_hours.{name}", "must be a time of day from 00:00 to 23:59")
    said = "must begin and end at different times; for none say false"
    faults.note(hours.start == hours.end, "quiet_hours", said)


def _check_cap(faults: Faults, cap: FrequencyCap, path: str) -> None:
    faults.within(cap.max, f"{path}.max", 1, CAP_MESSAGES_MAX)
    faults.within(cap.per_seconds, f"{path}.per", 1, SPAN_SECONDS_MAX, " seconds (366 days)")


def _check_money(faults: Faults, campaign: Campaign) -> None:
    options = campaign.options
    _check_amount(faults, options.cost_per_message, "cost_per_message", COST_PER_MESSAGE_MAX, 4)
    _check_amount(faults, options.fixed_cost, "fixed_cost", AMOUNT_MAX, 2)
    _check_amount(faults, options.gross_margin, "gross_margin", Decimal(1), 4)


def _check_amount(faults: Faults, amount: Decimal, path: str, most: Decimal, decimals: int) -> None:
    if not amount.is_finite():
        faults.note(True, path, "must be a number")
        return
    faults.within(amount, path, _NOTHING, most)
    faults.decimals(amount, path, decimals)


def _check_parts_of_channel(faults: Faults, campaign: Campaign) -> None:
    """The columns of B2's table: what each channel needs, and what it has no place for."""
    channel, content, title = campaign.channel, campaign.content, campaign.options.title
    faults.needed((content or "").strip(), "content", "to have something to say")
    most = CONTENT_CHARACTERS_MAX.get(channel)
    if most is not None:
        faults.length(content, "content", most)
    if channel == "email":
        faults.needed((campaign.subject or "").strip(), "subject", "for an e-mail")
    else:
        hint = "use title" if channel == "notification" else "there is only content"
        faults.absent(campaign.subject, "subject", f"a message by {channel} has no subject; {hint}")
    if channel != "notification":
        faults.absent(title, "title", "only a notification has one")


def _check_parts_of_discount(faults: Faults, campaign: Campaign) -> None:
    code, generator = campaign.discount_code, campaign.options.code_generator
    kind, amount = campaign.discount_type, campaign.discount_amount
    if campaign.campaign_type != "discount":
        why = "only a campaign of type discount gives one"
        for path, value in (
            ("discount_code", code),
            ("code_generator", generator),
            ("discount_type", kind),
            ("discount_amount", amount),
        ):
            faults.absent(value, path, why)
        return
    said = "is needed: this or code_generator, and not both"
    faults.note(
        (code is None) == (generator is None), "discount_code", said, "missing" if code is None else "unexpected"
    )
    faults.needed(kind, "discount_type", "for a discount: percentage or fixed")
    if amount is None or not amount.is_finite():
        faults.needed(amount, "discount_amount", "for a discount")
        return
    faults.note(amount <= 0, "discount_amount", "must be greater than 0", "out_of_range")
    is_wrong = kind == "percentage" and amount > _PERCENT_MAX
    faults.note(is_wrong, "discount_amount", "must be at most 100 for a percentage", "out_of_range")


def _check_trigger(faults: Faults, campaign: Campaign) -> None:
    options = campaign.options
    if campaign.is_triggered:
        faults.absent(campaign.scheduled_at, "scheduled_at", "joins or leaves fire it, from when it begins on")
    else:
        why = "only a campaign that joins or leaves fire has it; for that say trigger"
        faults.absent(options.delay_seconds or None, "delay", why)
        faults.absent(options.include_existing or None, "include_existing", why)
        faults.absent("" if options.reentry == "every_time" else None, "reentry", why)
    if options.reentry == "first_only":
        faults.absent(options.min_gap_seconds or None, "min_gap", "it is for reentry every_time")
    is_wrong = campaign.trigger == "on_left" and options.recheck_membership is True
    said = "cannot be true for on_left: who has left is no member any more"
    faults.note(is_wrong, "recheck_membership", said)


def _check_instants(faults: Faults, campaign: Campaign, now: int) -> None:
    scheduled_at, expires_at = _instant(campaign.scheduled_at), _instant(campaign.options.expires_at)
    if scheduled_at is not None and not campaign.is_triggered:
        said = "must not be in the past; to send it at once say send_now"
        faults.note(scheduled_at < now, "scheduled_at", said, "in_the_past")
        said = f"must be at most {AHEAD_DAYS_MAX} days ahead"
        faults.note(scheduled_at > now + AHEAD_DAYS_MAX * DAY, "scheduled_at", said, "too_far_ahead")
    if expires_at is not None:
        begins = now if scheduled_at is None else max(now, scheduled_at)
        said = "must be after scheduled_at, or now: else nothing would ever be sent"
        faults.note(expires_at <= begins, "expires_at", said, "in_the_past")


def _instant(at: datetime | None) -> int | None:
    """Microseconds; None also where the offset is missing, which is a fault of its own."""
    return None if at is None or at.tzinfo is None else from_datetime(at)
