"""Backtest: what the contract says of every past instant, by the facts alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from typer.testing import CliRunner

from service.adapters.postgres import backtest as adapter
from service.adapters.postgres.backtest import PostgresBacktests, backtest_store
from service.adapters.postgres.criteria_sql import prepare
from service.adapters.postgres.database import Database
from service.app.backtest import STEPS_MAX, SpanError, Step, moments_of
from service.app.preview import TooSlow
from service.cli.backtest import backtest as backtest_command
from service.core import instants
from service.core.criteria.parse import parse_criteria
from service.core.events.decode import Rejected, Rules, decode
from service.core.events.model import Event
from service.core.identity import customer_uuid
from tests import oracle, shop
from tests.drafts import NOW as DRAFTS_NOW
from tests.drafts import Draft, cancelled, compare, done, events_of, placed, refunded, updated
from tests.exact import DataSet, data_folder, data_sets
from tests.facts import Service, stored_facts
from tests.property.criteria_cases import line_of
from tests.strategies import situations

DAY = instants.DAY
NOW = instants.parse(shop.CLOCK)
RULES = Rules("USD", 1_048_576, True)
INSERT_SEGMENT = """
INSERT INTO customer_segments
    (id, segment_name, segment_type, status, criteria, version, introduced, since, is_kept, backfill_state, created_by)
VALUES (:id, 'one', 'dynamic', 'active', CAST(:criteria AS jsonb), 1, 1, 0, true, 'done', 't')
"""


def decoded(lines: Sequence[bytes], rules: Rules = RULES) -> list[Event]:
    """Events whose time may be any."""
    found = [decode(line, (), rules, instants.INSTANT_MAX) for line in lines]
    return [one for one in found if not isinstance(one, Rejected)]


async def steps_of(
    connection: AsyncConnection, criteria: dict[str, Any], moments: list[int], *, has_members: bool = True
) -> list[Step]:
    """All steps of a backtest."""
    store = PostgresBacktests(connection)
    return [step async for step in store.steps(parse_criteria(criteria), moments, has_members=has_members)]


def expected(members: Sequence[set[str]], moments: Sequence[int]) -> list[Step]:
    """The steps that these members make."""
    found = []
    for place, (now, at) in enumerate(zip(members, moments, strict=True)):
        before = members[place - 1] if place else set()
        found.append(Step(at, len(now), len(now - before), len(before - now), sorted(now)))
    return found


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(situation=situations(), data=st.data())
async def test_equals_the_contract_read_literally(
    database: Database, situation: tuple[list[dict], dict[str, dict]], data: st.DataObject
) -> None:
    """At every instant the members are those of the events up to it, however the instants are divided; so are steps."""
    events, definitions = situation
    spans = {0, *(span for criteria in definitions.values() for span in oracle.spans_of(criteria))}
    edges = {instants.parse(one["time"]) + span + shift for one in events for span in spans for shift in (-1, 0, 1)}
    when = sorted(data.draw(st.sets(st.sampled_from(sorted(edges)), min_size=1, max_size=14)))
    size = data.draw(st.sampled_from([1, 2, 3, 1_000]))
    names = {str(customer_uuid(one["data"]["customer_id"])): one["data"]["customer_id"] for one in events}
    async with stored_facts(database, decoded([line_of(event) for event in events])) as connection:
        await prepare(connection)
        for key, criteria in definitions.items():
            row = {"id": oracle.segment_id(key), "criteria": _json(criteria)}
            await connection.execute(text(INSERT_SEGMENT), row)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(adapter, "PAIRS_MAX", size)
            told = {key: await steps_of(connection, criteria, when) for key, criteria in definitions.items()}
    literal = [oracle.members_at(events, definitions, at) for at in when]

    for key, criteria in definitions.items():
        note(f"{key}: {criteria}")
        named = [
            Step(s.at, s.count, s.joined, s.left, sorted(names[one] for one in s.members or ())) for s in told[key]
        ]
        assert named == expected([one[key] for one in literal], when)


def _json(criteria: dict[str, Any]) -> str:
    """The criteria as JSON; Decimals as numbers to the last digit."""
    raw = json.loads(line_of({"criteria": criteria}), parse_float=str)  # checks that it is JSON
    assert raw
    return line_of(criteria).decode()


ONE = compare("gte", 1)
SPENT = {"total_spent": compare("gte", 5)}
VIEWED = {"activity": {"name": "viewed"}}
#: What changes the answer -> (events, criteria, the verdicts at six, five, ... days and no day before NOW).
CHANGES: dict[str, tuple[list[Draft], dict[str, Any], str]] = {
    "existence": ([done("other", 3 * DAY)], {"not": VIEWED}, "...####"),
    "an erasure": ([done("other", 4 * DAY), ("customer.deleted", 2 * DAY, {})], {"not": VIEWED}, "..##..."),
    "an order": ([placed(4 * DAY)], SPENT, "..#####"),
    "a cancelled order": ([placed(4 * DAY), cancelled(2 * DAY)], SPENT, "..##..."),
    "a refund": ([placed(4 * DAY), refunded(2 * DAY, 8, "o")], SPENT, "..##..."),
    "a refund without order": ([placed(4 * DAY), refunded(2 * DAY, 8)], SPENT, "..##..."),
    "a refund that leaves its window": (
        [placed(6 * DAY), refunded(4 * DAY, 8)],
        {"total_spent": compare("lt", 0, window={"days": 2})},
        "..##...",
    ),
    "an order that leaves its window": (
        [placed(4 * DAY)],
        {"purchased_products": {"any": ["p"], "window": {"days": 2}}},
        "..##...",
    ),
    "an order of some age": (
        [placed(5 * DAY)],
        {"last_order_date": {"operator": "more_than_ago", "days": 2}},
        "...####",
    ),
    "a login of some age": (
        [("customer.logged_in", 5 * DAY, {})],
        {"last_login": {"operator": "within_last", "days": 2}},
        ".##....",
    ),
    "an attribute": (
        [("customer.updated", age * DAY, {"customer_type": kind}) for age, kind in ((4, "business"), (1, None))],
        {"customer_type": "business"},
        "..###..",
    ),
    "an activity": ([updated(), done("viewed", 3 * DAY)], VIEWED, "...####"),
    "an activity that leaves its window": (
        [done("viewed", 3 * DAY)],
        {"activity": {"name": "viewed", "window": {"days": 1}}},
        "...#...",
    ),
    "a sequence": (
        [done("viewed", 4 * DAY), placed(2 * DAY)],
        {"sequence": {"steps": [VIEWED, {"order": {}}], "within": {"days": 2}}},
        "....###",
    ),
    "a sequence that ends with nothing": (
        [done("viewed", 5 * DAY)],
        {"sequence": {"steps": [VIEWED, {"order": {}, "not": True}], "within": {"days": 3}}},
        "....###",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_every_kind_of_change(database: Database, name: str) -> None:
    """Whatever may change an answer is looked at: each kind of fact, and the end of each kind of span."""
    drafts, criteria, verdicts = CHANGES[name]
    when = [DRAFTS_NOW - age * DAY for age in range(6, -1, -1)]
    async with stored_facts(database, events_of(*drafts)) as connection:
        await prepare(connection)
        steps = await steps_of(connection, criteria, when)

    assert "".join(".#"[step.count] for step in steps) == verdicts


@pytest.mark.parametrize("name", data_sets())
async def test_known_answers(database: Database, name: str) -> None:
    """On the sets with known answers segments have exactly the expected members at every known instant."""
    folder = data_folder()
    assert folder is not None
    data = DataSet(folder, name)
    events = decoded(list(data.lines()), Rules(data.currency, 1_048_576, True))
    names = {str(one.customer_id): one.external_id for one in events}
    results = sorted(data.memberships(), key=lambda one: instants.parse(one["as_of"]))
    when = [instants.parse(one["as_of"]) for one in results]
    async with stored_facts(database, events) as connection:
        await prepare(connection)
        for one in data.segments()[:: 1 if name.startswith("edge") else 3]:  # a part of the large ones, for time
            steps = await steps_of(connection, one["criteria"], when)

            members = [set(result["segments"][one["key"]]["members"]) for result in results]
            named = [Step(s.at, s.count, s.joined, s.left, sorted(names[i] for i in s.members or ())) for s in steps]
            assert named == expected(members, when), one["key"]


class TestSpans:
    """Which instants are looked at."""

    def test_steps(self) -> None:
        """A, A + step, ... up to B, which is one of them where it fits; a date is the start of its UTC day."""
        day = instants.parse("2024-02-28T00:00:00Z")
        at = "2024-02-28T01:30:00+01:30"

        assert moments_of("2024-02-28", "2024-03-01", "1d", NOW) == [day, day + DAY, day + 2 * DAY]
        assert moments_of("2024-02-28", "2024-03-01", "1w", NOW) == [day]
        assert moments_of(at, "2024-02-28T23:59:59.999999Z", "12h", NOW) == [day, day + DAY // 2]
        assert moments_of(at, at, "30m", NOW) == [day]
        assert moments_of("2024-02-28", instants.to_text(day + (STEPS_MAX - 1) * instants.MINUTE), "1m", NOW)[-1] == (
            day + (STEPS_MAX - 1) * instants.MINUTE
        )
        assert moments_of(instants.to_text(NOW), instants.to_text(NOW), "1d", NOW) == [NOW]

    @pytest.mark.parametrize(
        ("first", "last", "step", "field", "said"),
        [
            ("2024-03-02", "2024-03-01", "1d", "from", "after to"),
            ("2024-03-01", "2024-05-02", "1d", "to", "nothing is known of the future"),
            ("2024-02-30", "2024-03-01", "1d", "from", "2024-02-29"),
            ("2024-03-01T00:00:00", "2024-03-02", "1d", "from", "offset"),
            ("2024-03-01", "", "1d", "to", "must be a date"),
            ("0001-01-01", "2024-03-01", "1d", "from", "must be a date"),
            ("2024-03-01", "2024-03-02", "d", "step", "whole number"),
            ("2024-03-01", "2024-03-02", "0h", "step", "whole number"),
            ("2024-03-01", "2024-03-02", "1.5d", "step", "whole number"),
            ("2024-03-01", "2024-03-02", "-1d", "step", "whole number"),
            ("2024-03-01", "2024-03-02", "1s", "step", "whole number"),
            ("2024-03-01", "2024-03-02", "1m", "step", "1441 steps; at most 1000"),
        ],
    )
    def test_refused(self, first: str, last: str, step: str, field: str, said: str) -> None:
        """What cannot be used is refused by a sentence, with the name of the option."""
        with pytest.raises(SpanError, match=said) as found:
            moments_of(first, last, step, NOW)

        assert found.value.field == field


@pytest.fixture
async def service(database: Database) -> Service:
    """A shop by the hot path, a customer who is erased, and one with events that arrive late."""
    made = Service(database, "USD")
    await made.take([json.dumps(event).encode() for event in shop.events(20, 200)], NOW)
    for number, (kind, at, customer) in enumerate(
        [
            ("customer.logged_in", "2024-02-01", "gone"),
            ("customer.logged_in", "2024-02-20", "late"),
            ("customer.registered", "2024-02-10", "late"),
            ("customer.deleted", "2024-03-01", "gone"),
        ]
    ):
        envelope = {"specversion": "1.0", "id": f"x{number}", "source": "/t", "type": kind, "time": f"{at}T00:00:00Z"}
        await made.take([json.dumps({**envelope, "data": {"customer_id": customer}}).encode()], NOW)
    return made


class TestStore:
    """What the database says."""

    async def test_shop(self, service: Service) -> None:
        """Every kind of segment, by external ids in the order of code points; who was erased never was there."""
        events = shop.events(20, 200)
        when = [shop.START + days * 9 * DAY for days in range(12)]
        late = [("customer.registered", "2024-02-10"), ("customer.logged_in", "2024-02-20")]
        extra = [
            {"type": kind, "time": f"{day}T00:00:00Z", "id": kind, "data": {"customer_id": "late"}}
            for kind, day in late
        ]
        literal = [oracle.members_at([*events, *extra], shop.SEGMENTS, at) for at in when]
        for key, criteria in shop.SEGMENTS.items():
            async with backtest_store(service.database) as store:
                found = [s async for s in store.steps(parse_criteria(criteria), when, has_members=True)]
                plain = [s async for s in store.steps(parse_criteria(criteria), when, has_members=False)]

            assert found == expected([one[key] for one in literal], when), key
            assert [(s.count, s.joined, s.left) for s in plain] == [(s.count, s.joined, s.left) for s in found]
            assert {s.members for s in plain} == {None}

    async def test_pins_of_other_segments(self, service: Service) -> None:
        """Another segment has its present definition at every instant, and a pin from its own instant on."""
        ids = await service.define([{"key": "readers", "criteria": shop.SEGMENTS["readers"]}])
        pinned = instants.parse("2024-03-05T12:00:00Z")
        await service.run(
            "INSERT INTO pins (customer_id, segment_id, is_included, source, created_by, created_at)"
            " VALUES (:customer_id, :segment_id, true, 'manual', 't', :at)",
            customer_id=customer_uuid("late"),
            segment_id=ids["readers"],
            at=instants.to_datetime(pinned),
        )
        when = [instants.parse("2024-02-15T00:00:00Z"), pinned - 1, pinned, NOW]
        asked = parse_criteria({"member_of": str(ids["readers"])})
        async with backtest_store(service.database) as store:
            found = [step async for step in store.steps(asked, when, has_members=True)]

        literal = [oracle.members_at(shop.events(20, 200), shop.SEGMENTS, at)["readers"] for at in when]
        assert [set(step.members or ()) for step in found] == [*literal[:2], *(one | {"late"} for one in literal[2:])]

    async def test_stopped(self, service: Service) -> None:
        """Where there is a limit it is one for all statements together."""

        async def two_naps() -> None:
            async with backtest_store(service.database, 0.3, "SEGMENTS_X") as store:
                for _ in range(2):
                    await store.limit_statements()
                    await store.connection.execute(text("SELECT pg_sleep(0.2)"))

        with pytest.raises(TooSlow, match="SEGMENTS_X"):
            await two_naps()


@pytest.fixture
def command(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs `segments backtest` on the test's database; the clock stands still at NOW."""
    monkeypatch.setenv("SEGMENTS_DATABASE_URL", database_url)
    monkeypatch.setenv("SEGMENTS_KAFKA_BOOTSTRAP", "nowhere:9092")
    monkeypatch.setenv("SEGMENTS_CLOCK", shop.CLOCK)
    app = typer.Typer()
    app.command()(backtest_command)
    return lambda *arguments, stdin="": CliRunner().invoke(app, arguments, input=stdin)


SPAN = ("--from", "2024-02-15", "--to", "2024-02-25T00:00:00Z", "--step", "5d")


class TestCommand:
    """`segments backtest`."""

    def test_json(self, service: Service, command: Callable[..., Any], tmp_path: Path) -> None:
        """The JSON has the contract's shape, with members where they are asked for."""
        file = tmp_path / "criteria.json"
        file.write_text(json.dumps({"last_login": {"operator": "after", "date": "2024-02-18"}, "total_orders": ONE}))
        plain, named = command(str(file), *SPAN, "--json"), command(str(file), *SPAN, "--json", "--members")

        assert (plain.exit_code, named.exit_code) == (0, 0), plain.stderr
        steps = json.loads(plain.stdout)["steps"]
        assert [step["at"] for step in steps] == [f"2024-02-{day}T00:00:00Z" for day in (15, 20, 25)]
        assert all(step.keys() == {"at", "count", "joined", "left"} for step in steps)
        members = [step.pop("members") for step in json.loads(named.stdout)["steps"]]
        assert [len(one) for one in members] == [step["count"] for step in steps]
        assert members == [sorted(one) for one in members]

    def test_table(self, service: Service, command: Callable[..., Any]) -> None:
        """Without --json it is a table; criteria may come from stdin."""
        criteria = json.dumps(
            {
                "registration_date": {"operator": "between", "start_date": "2024-02-10", "end_date": "2024-02-10"},
                "not": {"total_orders": ONE},
            }
        )
        result = command("-", *SPAN, "--members", stdin=criteria)

        assert result.exit_code == 0, result.stderr
        rows = [line.split() for line in result.stdout.splitlines() if "2024-02-" in line]
        assert [row[1::2] for row in rows] == [
            ["2024-02-15T00:00:00Z", "1", "1", "0", "late"],
            ["2024-02-20T00:00:00Z", "1", "0", "0", "late"],
            ["2024-02-25T00:00:00Z", "1", "0", "0", "late"],
        ]

    @pytest.mark.parametrize(
        ("stdin", "options", "said"),
        [
            ("{", SPAN, "-: The JSON ends or breaks"),
            ('{"no": 1}', SPAN, "criteria.no: is no criterion"),
            ('{"member_of": "00000000-0000-0000-0000-000000000001"}', SPAN, "criteria.member_of: there is no segment"),
            ("{}", ("--from", "2024-02-15", "--to", "2024-05-02"), "--to: must not lie after now, which is 2024-05-01"),
            ("{}", ("--from", "2024-02-15", "--to", "2024-02-14"), "--from: must not lie after to"),
            ("{}", (*SPAN[:4], "--step", "1y"), "--step: must be a whole number"),
        ],
    )
    def test_refused(
        self, database: Database, command: Callable[..., Any], stdin: str, options: Any, said: str
    ) -> None:
        """What cannot be used ends it with exit code 1 and one sentence on stderr, and nothing on stdout."""
        result = command("-", *options, "--json", stdin=stdin)

        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(said)
        assert result.stderr.count("\n") == 1

    def test_no_file(self, database: Database, command: Callable[..., Any], tmp_path: Path) -> None:
        """A file that is not there is an expected error."""
        result = command(str(tmp_path), *SPAN)

        assert result.exit_code == 1
        assert "is no file: name one that holds a criteria object, or - for stdin." in result.stderr
