"""Imports: the customers of a file pinned in a segment, some at a time, whoever asks how often."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from service.app.import_file import BY_EMAIL
from service.app.pins import Named, PinChange, PinReport, PinStores, pin_some
from service.clock import Clock
from service.core.identity import customer_uuid

#: How many transactions go on at once, each with CUSTOMERS_AT_ONCE_MAX customers.
PORTIONS_AT_ONCE_MAX: Final = 2
#: How many of those who were not found an answer names.
NAMED_MAX: Final = 100


class EmailBook(Protocol):
    """Finds customers by e-mail address."""

    async def customers_of(self, emails: Sequence[str]) -> list[tuple[str, Named]]:
        """Each of these addresses with every customer who has it, whatever its case."""
        ...


@dataclass
class ImportReport:
    """What became of the rows of a file; unknown and ambiguous ones are named up to NAMED_MAX.

    Attributes:
        repeated: rows that name a customer whom an earlier row names as well.
        ambiguous: e-mail addresses that several customers have; none of these is taken.
    """

    pins: PinReport = field(default_factory=PinReport)
    repeated: int = 0
    ambiguous: int = 0
    unknown: list[str] = field(default_factory=list)
    several: list[str] = field(default_factory=list)


async def import_customers(
    stores: PinStores, emails: EmailBook, clock: Clock, change: PinChange, by: str, portions: Iterable[Sequence[str]]
) -> ImportReport:
    """Pins the customers of a file, one transaction a portion, which share none; the same again changes nothing more.

    What was done stays where it is cut short, and the same file again does the rest.

    Raises:
        SegmentMissing: no such segment.
        Contention: others kept coming first.
    """
    report, coming, is_stopped = ImportReport(), iter(portions), False

    async def work() -> None:
        nonlocal is_stopped
        try:
            while not is_stopped and (portion := next(coming, None)) is not None:
                customers = await _by_email(emails, portion, report) if by == BY_EMAIL else _by_id(portion)
                _add(report, customers, await pin_some(stores, clock, change, customers))
        except BaseException:
            is_stopped = True
            raise

    # Portions share no customer, so that one waits for the database while the other is walked.
    for ended in await asyncio.gather(*(work() for _ in range(PORTIONS_AT_ONCE_MAX)), return_exceptions=True):
        if ended is not None:
            raise ended
    return report


def _by_id(portion: Sequence[str]) -> list[Named]:
    return [Named(customer_uuid.__wrapped__(value), value) for value in portion]


def _add(report: ImportReport, customers: Sequence[Named], done: PinReport) -> None:
    if done.unknown_ids:
        unknown = set(done.unknown_ids)
        _name(report.unknown, [one.external_id for one in customers if one.external_id in unknown])
        done.unknown_ids = []
    report.pins.add(done)


async def _by_email(emails: EmailBook, portion: Sequence[str], report: ImportReport) -> list[Named]:
    found: dict[str, set[Named]] = {}
    for email, customer in await emails.customers_of(portion):
        found.setdefault(email, set()).add(customer)
    unknown = [email for email in portion if email not in found]
    several = [email for email in portion if len(found.get(email, ())) > 1]
    report.pins.unknown += len(unknown)
    report.ambiguous += len(several)
    _name(report.unknown, unknown)
    _name(report.several, several)
    alone = [customer for email in portion for customer in found.get(email, ()) if len(found[email]) == 1]
    customers = list(dict.fromkeys(alone))
    report.repeated += len(alone) - len(customers)
    return customers


def _name(named: list[str], more: Sequence[str]) -> None:
    named += more[: NAMED_MAX - len(named)]
