"""Files of customers to import: CSV in UTF-8, one customer a row, named by id or by e-mail address.

A file is read twice, never held as a whole: once to find what is wrong with it, before anything is changed, and once to
import its rows some at a time.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Generator, Iterator
from typing import IO, Final, NamedTuple

import numpy as np

from service.app.pins import FAULTS_MAX, fault_of_id
from service.core.identity import customer_uuid, uuid5_of

BODY_BYTES_MAX: Final = 33_554_432
ROWS_MAX: Final = 1_000_000
#: Of one row, over all the lines that quotes make it span.
ROW_CHARACTERS_MAX: Final = 65_536
EMAIL_CHARACTERS_MAX: Final = 320

#: How a file names its customers.
BY_ID: Final = "id"
BY_EMAIL: Final = "email"
WAYS: Final = (BY_ID, BY_EMAIL)
#: What the header line calls them, the most telling first; case, spaces, hyphens and underscores do not matter.
HEADERS: Final = {
    "customer_id": BY_ID,
    "external_id": BY_ID,
    "id": BY_ID,
    "email": BY_EMAIL,
    "email_address": BY_EMAIL,
    "mail": BY_EMAIL,
}
#: As what a file that has none of them is told to call its column.
CALLED: Final = {BY_ID: "customer_id, external_id, id", BY_EMAIL: "email"}
_BETWEEN_WORDS: Final = re.compile(r"[\s_-]+")
_FOLDED: Final = {name.replace("_", ""): name for name in HEADERS}
#: A cell that may well name a column, and one that hardly does.
_WORDS: Final = re.compile(r"[^\W\d_]+(?:[\s_.-]+[^\W\d_]+)*")
_NO_NAME: Final = re.compile(r"[\d@]")

_SEPARATORS: Final = ",;\t"
_QUOTED: Final = re.compile(r'"[^"]*"?')
_BLANK: Final = (" ", "\t")
_EMAIL: Final = re.compile(r"[^@\s\0]+@[^@\s\0]+")
#: As what bytes that are no UTF-8 are read.
_NO_UTF8: Final = re.compile("[\udc80-\udcff]")
_LONG: Final = f"has more than {ROW_CHARACTERS_MAX} characters; end each row with a line feed, and close every quote"


class FileRefused(Exception):
    """The file cannot be read, and nothing was changed; the message says where and why."""


class Row(NamedTuple):
    """One customer as the file names them, or what is wrong with the row."""

    line: int
    value: str
    fault: str | None = None


class _Layout(NamedTuple):
    separator: str
    column: int
    by: str
    has_header: bool


class ImportFile:
    """A file of customers, read through before its rows are imported.

    Attributes:
        by: BY_ID or BY_EMAIL.
        rows: how many rows there are, without header and blank lines.
        faulty: how many of them cannot be used.
        faults: the line of the first of those, and a sentence for each.
        repeated: how many rows name whom an earlier row names as well.
    """

    def __init__(self, file: IO[bytes], by: str | None = None) -> None:
        """Reads the file through.

        Args:
            file: can be read again from its start, and stays the caller's to close.
            by: how the file names its customers; None to see from its first row.

        Raises:
            FileRefused: it is no CSV in UTF-8, has no such column, or is too long.
        """
        self._file = file
        self._layout = self._look(by)
        self.by = self._layout.by
        self.rows = self.faulty = 0
        self.faults: list[tuple[int, str]] = []
        keys = bytearray()
        for row in self._all_rows():
            self.rows += 1
            if self.rows > ROWS_MAX:
                msg = f"holds more than {ROWS_MAX} rows; send it in parts"
                raise FileRefused(msg)
            if row.fault is None:
                keys += _key(self.by, row.value)
                continue
            self.faulty += 1
            if len(self.faults) < FAULTS_MAX:
                self.faults.append((row.line, row.fault))
        self._is_repeated = repeats(keys)
        self.repeated = int(self._is_repeated.sum())

    def portions(self, rows_max: int) -> Generator[list[str]]:
        """What the usable rows hold, each customer once, in the order of the file, some at a time."""
        portion: list[str] = []
        usable = (row.value for row in self._all_rows() if row.fault is None)
        for value, is_repeated in zip(usable, self._is_repeated, strict=True):
            if is_repeated:
                continue
            portion.append(value)
            if len(portion) == rows_max:
                yield portion
                portion = []
        if portion:
            yield portion

    def _look(self, by: str | None) -> _Layout:
        with _Text(self._file) as text:
            lines = _Lines(text)
            first = next((line for line in lines if line.strip("\r\n")), None)
            lines.begin_row()
            second = next((line for line in lines if line.strip("\r\n")), "")
        if first is None:
            msg = "holds no rows; each row names a customer by id or by e-mail address"
            raise FileRefused(msg)
        for separator in _SEPARATORS:
            names = _column_names(_cells_of(first, separator))
            known = [name for name in HEADERS if name in names]
            wanted = [name for name in known if by in (None, HEADERS[name])]
            if wanted:
                return _Layout(separator, names.index(wanted[0]), HEADERS[wanted[0]], has_header=True)
            if known:
                msg = f"line 1: has no column {CALLED[by or BY_ID]}; it has {', '.join(known)}"
                raise FileRefused(msg)
        bare = _QUOTED.sub("", first)
        separator = next((one for one in _SEPARATORS if one in bare), ",")
        cells = _cells_of(first, separator)
        if by is None and _names_columns(cells, _cells_of(second, separator)):
            msg = (
                f'line 1: "{cells[0].strip()[:100]}" seems to name a column, and none that is known; call the column '
                f"{CALLED[BY_ID]} or {CALLED[BY_EMAIL]}, or say with ?by=id or ?by=email that this line is a row, too"
            )
            raise FileRefused(msg)
        value = (cells or [""])[0].strip()
        return _Layout(separator, 0, by or (BY_EMAIL if _EMAIL.fullmatch(value) else BY_ID), has_header=False)

    def _all_rows(self) -> Iterator[Row]:
        """Every row but the header and blank ones."""
        with _Text(self._file) as text:
            lines = _Lines(text)
            rows = _records(lines, self._layout.separator)
            if self._layout.has_header:
                next(rows)
            for line, cells, fault in rows:
                if fault is not None:
                    yield Row(line, "", fault)
                elif cells:
                    value = cells[self._layout.column] if self._layout.column < len(cells) else ""
                    if value[:1] in _BLANK or value[-1:] in _BLANK:
                        value = self._trimmed(value, lines)
                    yield Row(line, value, _fault_of(self.by, value))

    def _trimmed(self, value: str, lines: _Lines) -> str:
        """The cell without the blanks around it, which belong to an id that is written in quotes."""
        is_quoted = '"' + value.replace('"', '""') + '"' in lines.row
        return value if is_quoted and self.by == BY_ID and value.strip() else value.strip(" \t")


class _Text:
    """The file as text from its start, lines as they are; lets go of it without closing it."""

    def __init__(self, file: IO[bytes]) -> None:
        file.seek(0)
        self._text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")

    def __enter__(self) -> io.TextIOWrapper:
        return self._text

    def __exit__(self, *_: object) -> None:
        self._text.detach()


class _Lines:
    """Lines of text; none, nor what one row makes of several, is longer than a row may be.

    Attributes:
        first: the number of the line in which the row at hand begins.
        row: the row at hand as it stands in the file.
    """

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text, self._number = text, 0
        self.begin_row()

    def begin_row(self) -> None:
        """What comes next is another row."""
        self._left, self.first, self.row = ROW_CHARACTERS_MAX, self._number + 1, ""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        """The next line.

        Raises:
            FileRefused: the row becomes too long, or this is no UTF-8.
        """
        line = self._text.readline(self._left + 1)
        if not line:
            raise StopIteration
        self._number += 1
        self._left -= len(line)
        if self._left < 0:
            msg = f"line {self.first}: {_LONG}"
            raise FileRefused(msg)
        if not line.isascii() and _NO_UTF8.search(line):
            msg = f"line {self._number}: is no UTF-8; save the file as CSV in UTF-8"
            raise FileRefused(msg)
        self.row += line
        return line


def _records(lines: _Lines, separator: str) -> Iterator[tuple[int, list[str], str | None]]:
    """The line, cells and fault of every row that is not blank."""
    reader = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        lines.begin_row()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error):
                msg = f"line {lines.first}: a quote that is opened there is never closed"
                raise FileRefused(msg) from None
            yield lines.first, [], "quotes must go round a whole cell, and a quote within it is written twice"
        else:
            if cells:
                yield lines.first, cells, None


def _cells_of(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator), [])


def _column_names(cells: list[str]) -> list[str]:
    """What HEADERS calls each column, "" where that is none of them; a name as it stands there comes before others."""
    exact = [cell.strip().lower() for cell in cells]
    folded = [_FOLDED.get(_BETWEEN_WORDS.sub("", name), "") for name in exact]
    return [
        name if name in HEADERS else "" if other in exact else other for name, other in zip(exact, folded, strict=True)
    ]


def _names_columns(cells: list[str], below: list[str]) -> bool:
    """Whether the first row seems to be a header: words alone, above what is an address or has digits."""
    named = [cell.strip() for cell in cells if cell.strip()]
    if not named or not all(_WORDS.fullmatch(cell) for cell in named):
        return False
    return _NO_NAME.search((below or [""])[0]) is not None or any("@" in cell for cell in below)


def _fault_of(by: str, value: str) -> str | None:
    if not value:
        return "names no customer; its cell is empty"
    if by == BY_ID:
        return fault_of_id(value)
    if len(value) > EMAIL_CHARACTERS_MAX or not _EMAIL.fullmatch(value):
        return f"must be an e-mail address of at most {EMAIL_CHARACTERS_MAX} characters"
    return None


def _key(by: str, value: str) -> bytes:
    # Past the cache, which is there for customers who come again and again.
    return (customer_uuid.__wrapped__(value) if by == BY_ID else uuid5_of("email:" + value.lower())).bytes


def repeats(keys: bytes | bytearray) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which of these keys, 16 bytes each, an earlier one equals."""
    halves = np.frombuffer(bytes(keys), dtype=np.uint64).reshape(-1, 2)
    order = np.lexsort((halves[:, 0], halves[:, 1]))  # keeps the order of equal ones
    ordered = halves[order]
    found = np.zeros(len(halves), dtype=np.bool_)
    found[order[1:]] = (ordered[1:] == ordered[:-1]).all(axis=1)
    return found
