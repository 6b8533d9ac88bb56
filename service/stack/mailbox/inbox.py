"""The newest mails, one file each: NUMBER.eml, numbered from 1 as they came."""

from __future__ import annotations

import re
from collections import OrderedDict
from itertools import islice
from pathlib import Path

MAILS_MAX = 10_000
MAILS_BYTES_MAX = 200_000_000

_NAME = re.compile(r"([0-9]{10})\.eml")


class Inbox:
    """A folder of mails, bounded in number and bytes; the oldest go first. For one process."""

    def __init__(self, folder: Path, mails_max: int = MAILS_MAX, bytes_max: int = MAILS_BYTES_MAX) -> None:
        """Finds what an earlier process left there.

        Raises:
            OSError: the folder cannot be used.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder, self._mails_max, self._bytes_max = folder, mails_max, bytes_max
        self._sizes: OrderedDict[int, int] = OrderedDict()
        for half in folder.glob(".*.tmp"):
            half.unlink(missing_ok=True)
        found = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir())
        for number, size in sorted((int(name[1]), path.stat().st_size) for name, path in found if name):
            self._sizes[number] = size
        self._last = next(reversed(self._sizes), 0)
        self._bytes = sum(self._sizes.values())
        self._prune()

    def __len__(self) -> int:
        return len(self._sizes)

    def add(self, mail: bytes) -> int:
        """Keeps a mail, whole or not at all; gives its number.

        Raises:
            OSError: the disk does not take it.
        """
        number = self._last + 1
        scratch = self._folder / f".{number}.tmp"
        scratch.write_bytes(mail)
        scratch.replace(self._path(number))
        self._last = number
        self._sizes[number] = len(mail)
        self._bytes += len(mail)
        self._prune()
        return number

    def newest(self, count: int, below: int | None = None) -> list[int]:
        """Numbers, the newest first, those below one only where it is given."""
        return list(islice((one for one in reversed(self._sizes) if below is None or one < below), count))

    def read(self, number: int) -> bytes | None:
        """A mail; None if it is not there, or no longer."""
        try:
            return self._path(number).read_bytes() if number in self._sizes else None
        except FileNotFoundError:
            return None

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:010d}.eml"

    def _prune(self) -> None:
        while len(self._sizes) > self._mails_max or (self._bytes > self._bytes_max and len(self._sizes) > 1):
            number, size = self._sizes.popitem(last=False)
            self._bytes -= size
            self._path(number).unlink(missing_ok=True)
