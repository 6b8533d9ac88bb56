"""A row of customer_segment_campaigns as a Campaign, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Protocol, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from service.adapters.postgres.campaign_tables import customer_segment_campaigns
from service.core.campaigns.model import Campaign, CodeGenerator, FrequencyCap, Options, QuietHours

_NAMES: Final = tuple(one for one in Campaign.__struct_fields__ if one != "options")
#: For statements of one's own, with the options as text, because the driver's reader would make floats of its numbers.
CAMPAIGN_COLUMNS: Final = ", ".join((*_NAMES, "CAST(options AS text) AS options"))
SELECTED: Final = (
    *(customer_segment_campaigns.c[name] for name in _NAMES),
    sa.cast(customer_segment_campaigns.c.options, sa.Text).label("options"),
)

_options: Final = msgspec.json.Decoder(Options)
_INNER: Final[dict[str, type[msgspec.Struct]]] = {
    "code_generator": CodeGenerator,
    "quiet_hours": QuietHours,
    "frequency_caps": FrequencyCap,
}


class Row(Protocol):
    """An asyncpg record, or one of SQLAlchemy's mappings()."""

    def __getitem__(self, name: str, /) -> Any:
        """The column's value."""
        ...


AnyRow = TypeVar("AnyRow", bound=Row)


class CampaignUnknown(Exception):
    """A newer release has written a campaign in words that this one does not know: a sentence with the fix."""


def campaign_of(row: Row) -> Campaign:
    """The campaign of a row with CAMPAIGN_COLUMNS.

    Raises:
        CampaignUnknown: its options are of a newer release.
    """
    values = {name: row[name] for name in _NAMES}
    try:
        return Campaign(**values, options=_read_options(row["options"]))
    except msgspec.ValidationError as error:
        msg = f"options of campaign {row['id']}: {error}. A newer release has written them: run that release"
        raise CampaignUnknown(msg) from error


def known(rows: Iterable[AnyRow], tell: Callable[[CampaignUnknown], None]) -> Iterator[tuple[AnyRow, Campaign]]:
    """The campaigns of rows; `tell` gets those that only a newer release can read."""
    for row in rows:
        try:
            yield row, campaign_of(row)
        except CampaignUnknown as error:
            tell(error)


def _read_options(text: str) -> Options:
    """Also those that a newer release has stored: what only it knows is left out. What callers give is read strictly.

    Raises:
        msgspec.ValidationError: it is no form of options.
    """
    try:
        return _options.decode(text)
    except msgspec.ValidationError:
        return msgspec.convert(_known(msgspec.json.decode(text), Options), Options)


def _known(value: Any, kind: type[msgspec.Struct]) -> Any:
    if not isinstance(value, dict):
        return value
    found = {name: one for name, one in value.items() if name in kind.__struct_fields__}
    for name, inner in _INNER.items():
        one = found.get(name)
        if kind is Options and one is not None:
            found[name] = [_known(each, inner) for each in one] if isinstance(one, list) else _known(one, inner)
    return found


def options_json(options: Options) -> sa.ColumnElement[Any]:
    """The options for a statement; money is text in it, so that it stays exact."""
    return sa.cast(sa.literal(msgspec.json.encode(options).decode(), sa.Text), JSONB)
