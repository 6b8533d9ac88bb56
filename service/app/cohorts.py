"""Cohort retention: of those who began in a month, how many were there in the months after (docs/analytics.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from enum import StrEnum
from typing import Any, Final, Protocol
from uuid import UUID

from service.core import instants
from service.core.calendar import Bucket, local_date, months_before
from service.core.cohorts import cohorts_of

MONTHS: Final = 12
MONTHS_MAX: Final = 120


class Kind(StrEnum):
    """What makes a customer begin, and be there."""

    PURCHASE = "purchase"
    MEMBERSHIP = "membership"


@dataclass(frozen=True)
class CohortQuestion:
    """What is asked.

    Attributes:
        segment_id: whose members; None for all customers, of purchases alone.
        as_of: microseconds.
        is_live: as_of is now, so that what the service keeps up to date may answer.
        months: how many, the last one that of as_of; who began before is in none of the cohorts.
    """

    kind: Kind
    segment_id: UUID | None
    as_of: int
    is_live: bool
    months: int
    zone: tzinfo
    zone_name: str

    @property
    def buckets(self) -> list[Bucket]:
        """The months."""
        return months_before(self.as_of, self.months, self.zone)


@dataclass(frozen=True)
class Counts:
    """Customers by the place of their cohort's month, and by that of a month in which they were there."""

    sizes: Mapping[int, int]
    counts: Mapping[tuple[int, int], int]


class CohortStore(Protocol):
    """The reads of this use case, all of one instant."""

    async def purchase_cohorts(self, question: CohortQuestion) -> Counts:
        """By first order; there is who has an order in the month."""
        ...

    async def membership_cohorts(self, question: CohortQuestion) -> Counts:
        """By first join; there is who is a member at the last instant of the month, or at as_of."""
        ...


async def cohorts(store: CohortStore, question: CohortQuestion) -> dict[str, Any]:
    """The cohorts as the API shows them."""
    if question.kind is Kind.PURCHASE:
        counted = await store.purchase_cohorts(question)
    else:
        counted = await store.membership_cohorts(question)
    months: Sequence[Bucket] = question.buckets
    return {
        "kind": question.kind,
        "as_of": instants.to_text(question.as_of),
        "timezone": question.zone_name,
        "first_month": _month(months[0]),
        "last_month": local_date(question.as_of, question.zone).isoformat()[:7],
        "cohorts": [
            {
                "cohort": _month(cohort.month),
                "size": cohort.size,
                "cells": [
                    {
                        "offset": cell.offset,
                        "month": _month(cell.month),
                        "count": cell.present,
                        "percent": cell.share,
                        "partial": cell.is_partial,
                    }
                    for cell in cohort.cells
                ],
            }
            for cohort in cohorts_of(months, counted.sizes, counted.counts, question.as_of)
        ],
    }


def _month(month: Bucket) -> str:
    """YYYY-MM."""
    return month.date.isoformat()[:7]
