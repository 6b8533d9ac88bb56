"""The values inside campaigns as they come in: instants, amounts, spans of time; and as they go out."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from service.core import instants

_PLAIN: Final = re.compile(r"[0-9]{1,10}(\.[0-9]{1,10})?")
_INSTANT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_SECONDS: Final = {"days": 86_400, "hours": 3_600, "minutes": 60}
_DAYS_MAX: Final = 366
_TIMES: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


def _instant(value: Any) -> datetime:
    message = "must be an instant with offset such as 2024-02-29T12:00:00Z"
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        raise ValueError(message)
    try:
        return instants.to_datetime(instants.parse(value))
    except ValueError:
        raise ValueError(message) from None


def _amount(value: Any) -> Decimal:
    """A number as JSON has it, or a decimal text; floats by their shortest text, as exact_json reads them."""
    text = repr(value) if isinstance(value, float) else str(value)
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal) or not _PLAIN.fullmatch(text):
        msg = 'must be an amount that is not negative, such as "9.90"'
        raise ValueError(msg)
    return Decimal(text)


def _time_of_day(value: Any) -> str:
    if not isinstance(value, str) or not _TIMES.fullmatch(value):
        msg = "must be a time of day such as 21:00"
        raise ValueError(msg)
    return value


Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-12-01T09:00:00Z"]}),
]


def _schema(decimals: int, greatest: float) -> WithJsonSchema:
    """A number, or a decimal text."""
    number = {"type": "number", "minimum": 0, "maximum": greatest}
    return WithJsonSchema(
        {"anyOf": [number, {"type": "string", "pattern": rf"^[0-9]{{1,10}}(\.[0-9]{{1,{decimals}}})?$"}]}
    )


Price = Annotated[
    Decimal,
    BeforeValidator(_amount),
    Field(le=Decimal("99999999.99"), decimal_places=2),
    _schema(2, 99_999_999.99),
]
Cost = Annotated[Decimal, BeforeValidator(_amount), Field(le=1_000_000, decimal_places=4), _schema(4, 1_000_000)]
Share = Annotated[Decimal, BeforeValidator(_amount), Field(le=1, decimal_places=4), _schema(4, 1)]


class SpanBody(BaseModel):
    """A length of time, in exactly one unit."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1, "maxProperties": 1})

    days: Annotated[int, Field(ge=0, le=_DAYS_MAX, strict=True)] = 0
    hours: Annotated[int, Field(ge=0, le=_DAYS_MAX * 24, strict=True)] = 0
    minutes: Annotated[int, Field(ge=0, le=_DAYS_MAX * 24 * 60, strict=True)] = 0

    @model_validator(mode="after")
    def _one_unit(self) -> SpanBody:
        if len(self.model_fields_set) != 1:
            msg = "must have exactly one of days, hours, minutes"
            raise ValueError(msg)
        return self

    @property
    def seconds(self) -> int:
        """How long it is."""
        return sum(factor * getattr(self, unit) for unit, factor in _SECONDS.items())


class QuietHoursBody(BaseModel):
    """From `start` to `end`, of the customer's day; over midnight where start is later than end."""

    model_config = ConfigDict(extra="forbid")

    start: Annotated[str, BeforeValidator(_time_of_day), Field(examples=["21:00"])]
    end: Annotated[str, BeforeValidator(_time_of_day), Field(examples=["08:00"])]


def shown_span(seconds: int) -> dict[str, int]:
    """The span in the largest unit that it is a whole number of."""
    for unit, factor in _SECONDS.items():
        if seconds % factor == 0:
            return {unit: seconds // factor}
    return {"minutes": -(-seconds // _SECONDS["minutes"])}


def shown_amount(amount: Decimal | None, decimals: int = 2) -> str | None:
    """A decimal text with at least so many decimals."""
    if amount is None:
        return None
    exponent = amount.as_tuple().exponent
    kept = max(decimals, -exponent if isinstance(exponent, int) else 0)
    return f"{amount:.{kept}f}"


def shown_instant(at: datetime | None) -> str | None:
    """RFC 3339 in UTC."""
    return None if at is None else instants.to_text(instants.from_datetime(at))
