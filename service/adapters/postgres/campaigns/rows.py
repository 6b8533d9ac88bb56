"""A row of customer_segment_campaigns as a Campaign, and back."""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from service.adapters.postgres.campaign_tables import customer_segment_campaigns
from service.core.campaigns.model import Campaign, Options

_NAMES: Final = tuple(one for one in Campaign.__struct_fields__ if one != "options")
#: For statements of one's own, with the options as text, because the driver's reader would make floats of its numbers.
CAMPAIGN_COLUMNS: Final = ", ".join((*_NAMES, "CAST(options AS text) AS options"))
SELECTED: Final = (
    *(customer_segment_campaigns.c[name] for name in _NAMES),
    sa.cast(customer_segment_campaigns.c.options, sa.Text).label("options"),
)

_options: Final = msgspec.json.Decoder(Options)


class Row(Protocol):
    """An asyncpg record, or one of SQLAlchemy's mappings()."""

    def __getitem__(self, name: str, /) -> Any:
        """The column's value."""
        ...


def campaign_of(row: Row) -> Campaign:
    """The campaign of a row with CAMPAIGN_COLUMNS."""
    values = {name: row[name] for name in _NAMES}
    return Campaign(**values, options=_options.decode(row["options"]))


def options_json(options: Options) -> sa.ColumnElement[Any]:
    """The options for a statement; money is text in it, so that it stays exact."""
    return sa.cast(sa.literal(msgspec.json.encode(options).decode(), sa.Text), JSONB)
