"""Exports of a segment's members: which columns there are, what stands in their cells, and the cells as CSV.

Cells are made a column at a time: of a million members each column is one plain loop.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from service.app.exact_json import dumps
from service.app.members import average, mask_email, mask_phone, mask_text
from service.app.segments import Segment
from service.core import instants, money

CSV: Final = "csv"
XLSX: Final = "xlsx"
FORMATS: Final = (CSV, XLSX)
#: Spreadsheets take a file without it for one of the machine's own encoding.
BOM: Final = "\ufeff"

#: What cells hold: a text, a text that must read back as the same id, a whole number, minor units of money.
TEXT: Final = "text"
ID: Final = "id"
COUNT: Final = "count"
MONEY: Final = "money"

#: A spreadsheet takes a text that begins so for a formula or for a command (ASVS 1.2.10); East Asian ones read the wide
#: forms alike.
_DANGEROUS: Final = frozenset("=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20")
_BLANK: Final = (" ", "\t")
_TO_QUOTE: Final = re.compile('[",\r\n]')

#: A column of what the database holds, or of cells.
Values = Sequence[Any]


class FieldsError(ValueError):
    """The fields to export cannot be used; the message says which and what to use."""


class _Field(NamedTuple):
    """One column of an export: the columns of Member that it is made of, and how."""

    kind: str
    sources: tuple[str, ...]
    cells: Callable[..., Iterable[Any]]


def _texts(values: Values) -> list[str]:
    return [value or "" for value in values]


def _numbers(values: Values) -> list[int]:
    return [value or 0 for value in values]


def _uuids(values: Values) -> list[str]:
    return list(map(str, values))


def _external_ids(values: Values, customer_ids: Values) -> list[str]:
    return [value or str(customer_id) for value, customer_id in zip(values, customer_ids, strict=True)]


def _averages(spent: Values, orders: Values) -> list[int]:
    return [average(total or 0, count or 0) for total, count in zip(spent, orders, strict=True)]


def _instants(values: Values) -> list[str]:
    return ["" if value is None else instants.to_text(value) for value in values]


def _datetimes(values: Sequence[datetime]) -> list[str]:
    return [value.isoformat().replace("+00:00", "Z") for value in values]  # the driver gives them in UTC


def _locations(*parts: Values) -> list[str]:
    names = ("country", "state", "city")
    return [
        dumps(dict(zip(names, place, strict=True))).decode() if place.count(None) < len(place) else ""
        for place in zip(*parts, strict=True)
    ]


_FIELDS: Final[dict[str, _Field]] = {
    "id": _Field(TEXT, ("customer_id",), _uuids),
    "external_id": _Field(ID, ("external_id", "customer_id"), _external_ids),
    "name": _Field(TEXT, ("name",), _texts),
    "email": _Field(TEXT, ("email",), _texts),
    "phone": _Field(TEXT, ("phone",), _texts),
    "customer_type": _Field(TEXT, ("customer_type",), _texts),
    "total_orders": _Field(COUNT, ("total_orders",), _numbers),
    "total_spent": _Field(MONEY, ("total_spent",), _numbers),
    "average_order_value": _Field(MONEY, ("total_spent", "total_orders"), _averages),
    "last_order_date": _Field(TEXT, ("last_order_at",), _instants),
    "registration_date": _Field(TEXT, ("registered_at",), _instants),
    "location": _Field(TEXT, ("country", "state", "city"), _locations),
    "country": _Field(TEXT, ("country",), _texts),
    "state": _Field(TEXT, ("state",), _texts),
    "city": _Field(TEXT, ("city",), _texts),
    "membership_date": _Field(TEXT, ("joined_at",), _datetimes),
    "membership_source": _Field(TEXT, ("membership_source",), _texts),
}
_MASKS: Final[dict[str, Callable[[str | None], str | None]]] = {
    "name": mask_text,
    "email": mask_email,
    "phone": mask_phone,
}
#: Every field that can be exported: a customer's, and its location's parts as columns of their own.
EXPORT_FIELDS: Final = tuple(_FIELDS)


def export_fields(fields: str | None, *, include_customer_details: bool) -> tuple[str, ...]:
    """The columns of an export.

    Args:
        fields: names with commas between, in the order of columns; None for the usual ones.
        include_customer_details: what the usual ones are: all, or the external id alone.

    Raises:
        FieldsError: a name is unknown or given twice, or there is none.
    """
    if fields is None:
        return EXPORT_FIELDS if include_customer_details else ("external_id",)
    names = tuple(name.strip() for name in fields.split(","))
    known = f"use {', '.join(EXPORT_FIELDS)}"
    for name in names:
        if name not in _FIELDS:
            msg = f'"{name[:100]}" is no field of a customer; {known}'
            raise FieldsError(msg)
        if names.count(name) > 1:
            msg = f'"{name}" is given twice'
            raise FieldsError(msg)
    return names


class Export(NamedTuple):
    """Of which members an export is; `past` is the instant (microseconds) at which they were members, None for now."""

    segment_id: UUID
    past: int | None = None


def about_export(
    segment: Segment, wanted: Export, complete_to: int, fields: Sequence[str], rows: int
) -> list[tuple[str, str | int]]:
    """What a workbook says of itself, a name and a value each; `complete_to` in microseconds."""
    as_of = complete_to if wanted.past is None else min(complete_to, wanted.past)
    return [
        ("segment", segment.segment_name),
        ("segment_id", str(segment.id)),
        ("as_of", instants.to_text(as_of)),
        ("fields", ", ".join(fields)),
        ("rows", rows),
    ]


class Cells:
    """Turns what the database holds of members into the cells of an export's columns.

    Attributes:
        fields: the columns, in order.
        kinds: what the cells of each hold.
        sources: the columns of Member to read, in the order in which `columns` takes them.
    """

    def __init__(self, fields: Sequence[str], *, can_read_pii: bool) -> None:
        self.fields = tuple(fields)
        self.kinds = tuple(_FIELDS[name].kind for name in fields)
        self.sources = tuple(dict.fromkeys(source for name in fields for source in _FIELDS[name].sources))
        self._can_read_pii = can_read_pii

    def columns(self, rows: Sequence[Sequence[Any]]) -> list[Values]:
        """The cells by column: texts, "" where there is none, or whole numbers; each as long as `rows`."""
        read: dict[str, Values] = dict(zip(self.sources, zip(*rows, strict=True), strict=True)) if rows else {}
        return [self._cells(name, read) for name in self.fields] if rows else [()] * len(self.fields)

    def _cells(self, name: str, read: dict[str, Values]) -> Values:
        field = _FIELDS[name]
        values = [read[source] for source in field.sources]
        mask = None if self._can_read_pii else _MASKS.get(name)
        if mask is not None:
            values = [list(map(mask, values[0]))]
        return list(field.cells(*values))


class CsvLines:
    """Turns members into CSV (RFC 4180 quoting, lines end with LF), some at a time."""

    def __init__(self, fields: Sequence[str], *, can_read_pii: bool, has_bom: bool = False) -> None:
        self.cells = Cells(fields, can_read_pii=can_read_pii)
        self._start = BOM if has_bom else ""

    def header(self) -> str:
        """The line that names the columns."""
        return self._start + ",".join(self.cells.fields) + "\n"

    def lines(self, rows: Sequence[Sequence[Any]]) -> str:
        """One line a member, of rows with the columns `cells.sources`."""
        columns = [
            _written(kind, cells) for kind, cells in zip(self.cells.kinds, self.cells.columns(rows), strict=True)
        ]
        if len(columns) == 1:  # a line without anything on it would be no row
            columns = [[cell or '""' for cell in columns[0]]]
        lines = list(map(",".join, zip(*columns, strict=True)))
        return "\n".join([*lines, ""])


def _written(kind: str, cells: Values) -> list[str]:
    """Cells as they stand in a line of CSV."""
    if kind == COUNT:
        return list(map(str, cells))
    if kind == MONEY:
        return list(map(money.to_text, cells))
    texts = list(cells)
    if kind == TEXT and not _DANGEROUS.isdisjoint({text[:1] for text in texts}):
        texts = list(map(_harmless, texts))
    if kind == ID and any(text[:1] in _BLANK or text[-1:] in _BLANK for text in texts):
        return list(map(_quoted_if_blank, texts))
    return [_quoted(text) for text in texts] if _TO_QUOTE.search("".join(texts)) else texts


def _harmless(text: str) -> str:
    """The text, with a leading ' where a spreadsheet would run it; numbers never come here: their minus is none."""
    return f"'{text}" if text[:1] in _DANGEROUS else text


def _quoted_if_blank(text: str) -> str:
    """An id with blanks around it in quotes, or an import would take them away."""
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if text[:1] in _BLANK or text[-1:] in _BLANK else _quoted(text)


def _quoted(text: str) -> str:
    if not _TO_QUOTE.search(text):
        return text
    return '"' + text.replace('"', '""') + '"'
