"""What is wrong with a campaign, as a list: where, what, and how to mend it."""

from __future__ import annotations

from collections.abc import Sized
from decimal import Decimal
from typing import Any, NamedTuple


class Fault(NamedTuple):
    """One thing that is wrong; `path` names the field as the API does."""

    path: str
    message: str
    code: str


class Faults(list[Fault]):
    """Faults in the making: each check adds one or none."""

    def note(self, wrong: bool, path: str, message: str, code: str = "invalid") -> None:
        """Adds a fault if something is wrong."""
        if wrong:
            self.append(Fault(path, message, code))

    def length(self, value: Sized | None, path: str, most: int) -> None:
        """A text of at most so many characters."""
        self.note(value is not None and len(value) > most, path, f"must have at most {most:,} characters", "too_long")

    def within(self, value: Any, path: str, least: Any, most: Any, unit: str = "") -> None:
        """A number from `least` to `most`."""
        said = f"must lie between {least:,} and {most:,}{unit}"
        self.note(not least <= value <= most, path, said, "out_of_range")

    def decimals(self, value: Decimal, path: str, most: int) -> None:
        """A number of at most so many decimals."""
        exponent = value.normalize().as_tuple().exponent
        is_wrong = not isinstance(exponent, int) or -exponent > most
        self.note(is_wrong, path, f"must have at most {most} decimals", "too_many_decimals")

    def needed(self, value: object, path: str, why: str) -> None:
        """Something that must be there."""
        self.note(not value, path, f"is needed {why}", "missing")

    def absent(self, value: object, path: str, why: str) -> None:
        """Something that must not be there."""
        self.note(value is not None, path, f"must be left out: {why}", "unexpected")
