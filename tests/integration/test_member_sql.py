"""Members of other segments as SQL over the facts: criteria within criteria, pins, erasure, states of segments."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.adapters.postgres.criteria_sql import verdicts_at
from service.adapters.postgres.database import Database
from service.adapters.postgres.known_segments import (
    KnownSegment,
    Segments,
    SegmentsUnusable,
    load_segments,
    with_references,
)
from service.core import instants
from service.core.criteria.parse import parse_criteria
from service.core.identity import customer_uuid
from tests.drafts import DAY, NOW, Draft, compare, done, events_of, placed, updated
from tests.facts import fetch, stored_facts

BUYERS, VIEWERS, BOTH, LISTED, GONE, UNKNOWN = (UUID(int=number) for number in range(1, 7))
BOUGHT = {"total_orders": compare("gte", 1)}


def member(segment_id: UUID) -> dict[str, Any]:
    """Criteria that ask for members."""
    return {"member_of": str(segment_id)}


def no_member(segment_id: UUID) -> dict[str, Any]:
    """Criteria that ask for all others."""
    return {"not_member_of": str(segment_id)}


def known(criteria: dict[str, Any] | None, **more: Any) -> KnownSegment:
    """A live segment; None for a static one."""
    return KnownSegment(None if criteria is None else parse_criteria(criteria), is_live=True)._replace(**more)


SEGMENTS: Segments = {
    BUYERS: known(BOUGHT),
    VIEWERS: known({"activity": {"name": "view"}}),
    BOTH: known({**member(BUYERS), "all": [member(VIEWERS)]}),
    LISTED: known(None),
    GONE: known(BOUGHT, is_live=False),
}

CUSTOMERS: dict[str, list[Draft]] = {
    "ann": [placed(DAY)],
    "bob": [done("view", DAY)],
    "cid": [placed(DAY), done("view", DAY)],
    "dan": [updated()],
}
#: (customer, segment, included, age)
Pin = tuple[str, UUID, bool, int]
#: What it shows -> (pins, criteria, who they hold for).
CASES: dict[str, tuple[list[Pin], dict[str, Any], str]] = {
    "members of another segment": ([], member(BUYERS), "ann cid"),
    "those who are no members": ([], no_member(BUYERS), "bob dan"),
    "members of a segment of segments": ([], member(BOTH), "cid"),
    "those who are no members of it": ([], no_member(BOTH), "ann bob dan"),
    "beside other criteria": ([], {**member(BUYERS), "activity": {"name": "view"}}, "cid"),
    "members of either": ([], {"any": [member(BUYERS), member(VIEWERS)]}, "ann bob cid"),
    "an archived segment has none": ([], member(GONE), ""),
    "nor pins": ([("ann", GONE, True, DAY)], member(GONE), ""),
    "nobody is in what is not there": ([], member(UNKNOWN), ""),
    "and all are out of it": ([], no_member(UNKNOWN), "ann bob cid dan"),
    "a pin includes": ([("dan", BUYERS, True, DAY)], member(BUYERS), "ann cid dan"),
    "a pin excludes": ([("ann", BUYERS, False, DAY)], member(BUYERS), "cid"),
    "a pin of another segment does not matter": ([("dan", VIEWERS, True, DAY)], member(BUYERS), "ann cid"),
    "pins go through segments of segments": (
        [("ann", VIEWERS, True, DAY), ("cid", VIEWERS, False, DAY)],
        member(BOTH),
        "ann",
    ),
    "and stop at one that has its own": (
        [("ann", VIEWERS, True, DAY), ("ann", BOTH, False, DAY), ("dan", BOTH, True, DAY)],
        member(BOTH),
        "cid dan",
    ),
    "a static segment is its pins": (
        [("dan", LISTED, True, DAY), ("bob", LISTED, True, DAY)],
        member(LISTED),
        "bob dan",
    ),
    "a static segment without pins": ([], member(LISTED), ""),
    "an excluding pin of a static segment": ([("ann", LISTED, False, DAY)], member(LISTED), ""),
    "a pin of the instant itself": ([("dan", LISTED, True, 0)], member(LISTED), "dan"),
    "a pin of later counts, since it is stored at once": ([("dan", LISTED, True, -1)], member(LISTED), "dan"),
    "who has no facts does not exist": ([("eve", LISTED, True, DAY)], member(LISTED), ""),
}


@asynccontextmanager
async def stored(database: Database, pins: list[Pin], erased: str = "") -> AsyncIterator[AsyncConnection]:
    """A transaction with all customers and these pins; rolled back."""
    events = [event for name, drafts in CUSTOMERS.items() for event in events_of(*drafts, customer=name)]
    async with stored_facts(database, events) as connection:
        for name, segment_id, is_included, age in pins:
            row = {"customer_id": customer_uuid(name), "segment_id": segment_id, "is_included": is_included}
            row["created_at"] = instants.to_datetime(NOW - age)
            await connection.execute(
                text(
                    "INSERT INTO pins (customer_id, segment_id, is_included, source, created_by, created_at)"
                    " VALUES (:customer_id, :segment_id, :is_included, 'manual', 't', :created_at)"
                ),
                row,
            )
        if erased:
            await connection.execute(
                text("INSERT INTO erasures (customer_id) VALUES (:customer_id)"), {"customer_id": customer_uuid(erased)}
            )
        yield connection


async def holding(
    connection: AsyncConnection, criteria: dict[str, Any], segments: Segments = SEGMENTS, at: int = NOW, **more: Any
) -> str:
    """Whom the criteria hold for, by name."""
    names = {customer_uuid(name): name for name in (*CUSTOMERS, "eve")}
    rows = await fetch(connection, verdicts_at([parse_criteria(criteria)], at, segments, **more))
    return " ".join(sorted(names[row.customer_id] for row in rows if row.verdicts[0]))


@pytest.mark.parametrize("name", CASES)
async def test_cases(database: Database, name: str) -> None:
    """Each rule holds, alone and denied."""
    pins, criteria, expected = CASES[name]
    async with stored(database, pins) as connection:
        assert await holding(connection, criteria) == expected
        others = " ".join(sorted(set(CUSTOMERS) - set(expected.split())))
        assert await holding(connection, {"not": criteria}) == others


async def test_pins_as_of(database: Database) -> None:
    """Asked about the past, a pin counts from its own instant on."""
    pins: list[Pin] = [("dan", LISTED, True, 5), ("ann", BUYERS, False, 5)]
    async with stored(database, pins) as connection:
        told = [
            (
                await holding(connection, member(LISTED), at=at, has_pins_as_of=True),
                await holding(connection, member(BUYERS), at=at, has_pins_as_of=True),
            )
            for at in (NOW - 6, NOW - 5)
        ]

    assert told == [("", "ann cid"), ("dan", "cid")]


async def test_pins_of_the_erased_do_not_count(database: Database) -> None:
    """A pin that an erasure left behind makes nobody a member."""
    async with stored(database, [("dan", LISTED, True, DAY)], erased="dan") as connection:
        assert await holding(connection, member(LISTED)) == ""


async def test_windows_are_as_of_the_same_instant(database: Database) -> None:
    """The other segment's windows end where the question's do."""
    segments = {BUYERS: known({"total_orders": {**compare("gte", 1), "window": {"days": 1}}})}
    async with stored(database, []) as connection:
        assert await holding(connection, member(BUYERS), segments, NOW - 1) == "ann cid"
        assert await holding(connection, member(BUYERS), segments, NOW) == ""


async def test_without_segments_nobody_is_a_member(database: Database) -> None:
    """Where no segments are known none has members."""
    async with stored(database, []) as connection:
        rows = await fetch(connection, verdicts_at([parse_criteria(member(BUYERS))], NOW))

    assert {tuple(row.verdicts) for row in rows} == {(False,)}


async def test_long_chains(database: Database) -> None:
    """A hundred segments, each made of the one before, and each asked for twice, are one statement of its size."""
    chain = [UUID(int=100 + number) for number in range(100)]
    segments = {chain[0]: known(BOUGHT)} | {
        one: known({"any": [member(below), {"all": [member(below)]}]}) for below, one in pairwise(chain)
    }
    asked = verdicts_at([parse_criteria(member(chain[-1]))], NOW, segments)
    async with stored(database, [("dan", chain[50], True, DAY), ("ann", chain[51], False, DAY)]) as connection:
        assert await holding(connection, member(chain[-1]), segments) == "cid dan"

    assert len(asked.sql) < 200_000


async def test_more_conditions_than_a_table_has_columns(database: Database) -> None:
    """Segments with thousands of conditions in all are divided among tables."""
    wide = {
        UUID(int=200 + number): known(
            {
                "all": [
                    {"activity": {"name": "view", "avg": {"property": f"p{number}.{one}", **compare("gt", 1)}}}
                    for one in range(190)
                ]
            }
        )
        for number in range(6)
    } | {UUID(int=299): known(BOUGHT)}
    criteria = {"any": [member(one) for one in wide]}
    async with stored(database, []) as connection:
        assert await holding(connection, criteria, wide) == "ann cid"


async def test_circles_are_refused(database: Database) -> None:
    """A segment that asks for its own members, which cannot be saved, ends with a sentence and not with a hang."""
    circle = {BUYERS: known(member(VIEWERS)), VIEWERS: known(member(BUYERS))}

    with pytest.raises(SegmentsUnusable, match="asks for its own members"):
        verdicts_at([parse_criteria(member(BUYERS))], NOW, circle)


INSERT = """
INSERT INTO customer_segments (id, segment_name, segment_type, status, criteria, version, introduced, since, is_kept,
    backfill_state, is_deleted, created_by)
VALUES (:id, 'x', :type, :status, CAST(:criteria AS jsonb), 1, :introduced, 5, :is_kept, 'running', :is_deleted, 't')
"""


class TestLoading:
    """Segments as they are stored."""

    async def load(self, database: Database, rows: Mapping[UUID, dict[str, Any]]) -> Segments:
        """Stores these rows and loads them."""
        usual = {"type": "dynamic", "status": "active", "is_kept": True, "is_deleted": False, "introduced": 3}
        async with database.transaction() as connection:
            for segment_id, row in rows.items():
                criteria = json.dumps(row.get("criteria", BOUGHT))
                await connection.execute(text(INSERT), {"id": segment_id, **usual, **row, "criteria": criteria})
            return await load_segments(connection)

    async def test_states(self, database: Database) -> None:
        """Only active segments are live; a static one has no criteria; what is not kept brings no definition."""
        rows: dict[UUID, dict[str, Any]] = {
            BUYERS: {},
            VIEWERS: {"status": "draft", "is_kept": False},
            BOTH: {"status": "archived"},
            LISTED: {"type": "static", "criteria": {}},
            GONE: {"is_deleted": True},
        }

        found = await self.load(database, rows)

        assert found == {
            BUYERS: KnownSegment(parse_criteria(BOUGHT), True, 3, 5, True),
            VIEWERS: KnownSegment(None, False, 0, instants.MISSING, False),
            BOTH: KnownSegment(None, False, 3, 5, True),
            LISTED: KnownSegment(None, True, 3, 5, True),
            GONE: KnownSegment(None, False, 3, 5, True),
        }

    async def test_criteria_that_cannot_be_read(self, database: Database) -> None:
        """Criteria of another release end with a sentence that names the segment."""
        with pytest.raises(SegmentsUnusable, match=str(BUYERS)):
            await self.load(database, {BUYERS: {"criteria": {"unheard_of": 1}}})


def test_segments_are_backfilling_while_one_they_refer_to_is() -> None:
    """Near or far; introduced and since are their own, which every change of the others raises."""
    segments = {
        BUYERS: known(BOUGHT, introduced=9, since=1, is_backfilling=True),
        VIEWERS: known(member(BUYERS), introduced=2, since=7),
        BOTH: known(member(VIEWERS), introduced=4, since=3),
        LISTED: known(None, introduced=5, since=5),
    }

    found = with_references(segments, [BOTH, LISTED])

    assert {one: found[one][2:] for one in found} == {BOTH: (4, 3, True), LISTED: (5, 5, False)}
