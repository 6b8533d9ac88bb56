"""An export as an Excel workbook, written row by row to a file; memory does not grow with the rows.

XlsxWriter makes the workbook. The rows of members are handed to its sheets as XML: cell by cell it takes three times as
long, and a text such as `<r>...</r>` it would take for markup of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

from xlsxwriter import Workbook
from xlsxwriter.exceptions import XlsxFileError
from xlsxwriter.format import Format
from xlsxwriter.utility import xl_col_to_name
from xlsxwriter.worksheet import Worksheet

from service.app.exports import COUNT, MONEY, Cells, Values
from service.core import money

#: Excel's limit of rows, less the header line.
SHEET_ROWS_MAX: Final = 1_048_575
#: Each sheet of rows takes about a gigabyte of disk before it is packed.
SHEETS_MAX: Final = 5
ROWS_MAX: Final = SHEETS_MAX * SHEET_ROWS_MAX
#: Excel takes 32,767 UTF-16 units in a cell; any character may be two of them.
CELL_CHARACTERS_MAX: Final = 16_383

_OPTIONS: Final = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
    "use_zip64": True,
}
#: What XML 1.0 cannot say, a CR, which XML reads as LF, and what looks like the escape for these.
_UNWRITABLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9a-fA-F]{4}_)")
_SPECIAL: Final = re.compile(rf"[&<>]|{_UNWRITABLE.pattern}")


class UnwritableFile(Exception):
    """The workbook cannot be written; the message says why."""


class _Sheet(Worksheet):  # type: ignore[misc]
    """A sheet that takes whole rows as XML; nothing else may be written to it."""

    def add_rows(self, rows: str, last_row: int, last_column: int) -> None:
        """Rows up to `last_row`, counted from 0, right below those that are there."""
        self.dim_rowmin = self.dim_colmin = 0
        self.dim_rowmax, self.dim_colmax = last_row, last_column
        self.fh.write(rows)


class MembersWorkbook:
    """Members in sheets named members, members_2, ..., and a sheet about them.

    Attributes:
        rows: how many members there are so far.
    """

    def __init__(self, path: Path, cells: Cells) -> None:
        self._book = Workbook(str(path), {**_OPTIONS, "tmpdir": str(path.parent)})
        self._money: Format = self._book.add_format({"num_format": "0.00"})
        self._cells = cells
        self._letters = [xl_col_to_name(column) for column in range(len(cells.fields))]
        self._sheet: _Sheet = self._begun(1)
        self._sheets, self._sheet_rows, self.rows = 1, 0, 0

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        """Members, as rows with the columns `cells.sources`.

        Raises:
            UnwritableFile: there is no room on the disk, for example.
        """
        with _saying_why():
            while rows:
                if self._sheet_rows == SHEET_ROWS_MAX:
                    self._sheets, self._sheet_rows = self._sheets + 1, 0
                    self._sheet = self._begun(self._sheets)
                room = SHEET_ROWS_MAX - self._sheet_rows
                some, rows = rows[:room], rows[room:]
                self._write(some)

    def close(self, about: Sequence[tuple[str, str | int]]) -> None:
        """Adds the sheet of what the export is about, a name and a value a row, and packs the file.

        Raises:
            UnwritableFile: there is no room on the disk, for example.
        """
        sheet: _Sheet = self._book.add_worksheet("about", worksheet_class=_Sheet)
        lines = []
        for number, (name, value) in enumerate(about, 1):
            shown = (
                f'<c r="B{number}"><v>{value}</v></c>'
                if isinstance(value, int)
                else _text_cell(f"B{number}", _escaped(value))
            )
            lines.append(f'<row r="{number}">{_text_cell(f"A{number}", name)}{shown}</row>')
        sheet.add_rows("".join(lines), len(about) - 1, 1)
        with _saying_why():
            self._book.close()

    def abandon(self) -> None:
        """Lets go of all files; what is there of them is the caller's to remove. Nothing where it was closed."""
        self._book.fileclosed = True
        for sheet in self._book.worksheets():
            sheet._opt_close()  # noqa: SLF001 - as Workbook.close does; it has no other way to give up

    def _begun(self, number: int) -> _Sheet:
        name = "members" if number == 1 else f"members_{number}"
        sheet: _Sheet = self._book.add_worksheet(name, worksheet_class=_Sheet)
        header = "".join(
            _text_cell(f"{letter}1", field) for letter, field in zip(self._letters, self._cells.fields, strict=True)
        )
        sheet.add_rows(f'<row r="1">{header}</row>', 0, len(self._letters) - 1)
        return sheet

    def _write(self, rows: Sequence[Sequence[Any]]) -> None:
        first = self._sheet_rows + 2
        columns = [
            self._column(letter, kind, cells, first)
            for letter, kind, cells in zip(self._letters, self._cells.kinds, self._cells.columns(rows), strict=True)
        ]
        lines = zip(*columns, strict=True)
        xml = "".join([f'<row r="{number}">{"".join(line)}</row>' for number, line in enumerate(lines, first)])
        self._sheet_rows += len(rows)
        self.rows += len(rows)
        self._sheet.add_rows(xml, self._sheet_rows, len(columns) - 1)

    def _column(self, letter: str, kind: str, cells: Values, first: int) -> list[str]:
        """The cells of one column as XML; an empty text is no cell."""
        if kind == COUNT:
            return [f'<c r="{letter}{number}"><v>{cell}</v></c>' for number, cell in zip(count(first), cells)]
        if kind == MONEY:
            style = self._money._get_xf_index()  # noqa: SLF001 - XlsxWriter's sheets ask the same
            start = f'" s="{style}"><v>'
            return [
                f'<c r="{letter}{number}{start}{money.to_text(cell)}</v></c>'
                for number, cell in zip(count(first), cells)
            ]
        texts = list(map(_escaped, cells)) if _SPECIAL.search("".join(cells)) or _is_long(cells) else cells
        return [_text_cell(f"{letter}{number}", text) if text else "" for number, text in zip(count(first), texts)]


@contextmanager
def _saying_why() -> Iterator[None]:
    try:
        yield
    except (OSError, XlsxFileError) as error:
        raise UnwritableFile(str(error)) from error


def _text_cell(place: str, text: str) -> str:
    return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'


def _is_long(texts: Values) -> bool:
    return max(map(len, texts)) > CELL_CHARACTERS_MAX


def _escaped(text: str) -> str:
    """The text as XML holds it, with Excel's own escapes (ECMA-376, ST_Xstring) for what XML cannot hold."""
    cut = text[:CELL_CHARACTERS_MAX]
    plain = _UNWRITABLE.sub(lambda found: f"_x{ord(found[0]):04X}_", cut)
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
