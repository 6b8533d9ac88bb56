"""The demo's events against the data set's own figures, read by another way than the demo reads them."""

from __future__ import annotations

import hashlib
from datetime import date
from decimal import Decimal
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow.parquet import read_table

from producers.demo import data
from producers.demo.data import DemoMissing, Journey, data_folder, read_journey
from service.core import instants
from service.core.events.decode import Rejected, Rules, decode

NOW = instants.parse("2031-03-09T12:34:56Z")
LAST_DAY = date(2031, 3, 9)
CENTS = pa.decimal128(12, 2)


class Seen(NamedTuple):
    """What the tests need of an event that the service has accepted."""

    type: str
    id: str
    at: int
    customer: str
    cents: int | None
    items: int
    traits: dict[str, object] | None


class Run(NamedTuple):
    """All events once."""

    seen: list[Seen]
    digest: str


def _run(journey: Journey) -> Run:
    rules = Rules("USD", 1_048_576, is_clock_fixed=True)
    digest = hashlib.sha256()
    seen = []
    for is_customer, key, value in journey.events(LAST_DAY):
        digest.update(value)
        event = decode(value, (), rules, NOW)
        assert not isinstance(event, Rejected), event
        assert is_customer == event.type.startswith("customer.")
        assert key == event.external_id.encode()
        items = 0 if is_customer else len(event.data.items)
        seen.append(Seen(event.type, event.id, event.at, event.external_id, event.minor_units, items, event.scalars))
    return Run(seen, digest.hexdigest())


@pytest.fixture(scope="module")
def journey() -> Journey:
    """The data set."""
    return read_journey()


@pytest.fixture(scope="module")
def run(journey: Journey) -> Run:
    """One run, in which the service has accepted every event."""
    return _run(journey)


def test_counts(journey: Journey, run: Run) -> None:
    """Every basket is one order and every household registers once."""
    orders = [one for one in run.seen if one.type == "order.placed"]
    registered = [one for one in run.seen if one.type == "customer.registered"]
    assert len(orders) == 155_848
    assert len(registered) == len({one.customer for one in registered}) == 2_469
    assert {one.customer for one in orders} == {one.customer for one in registered}
    assert len(run.seen) == journey.event_count == len({one.id for one in run.seen})


def test_sales_to_the_cent(run: Run) -> None:
    """Totals and lines add up to the sales of the data set, summed as decimals by pyarrow."""
    sales = read_table(data_folder() / "transactions.parquet", columns=["sales_value"])["sales_value"]
    expected = pc.sum(sales.cast(CENTS)).as_py()
    assert expected == Decimal("4596039.58")
    assert Decimal(sum(one.cents or 0 for one in run.seen)) / 100 == expected
    assert sum(one.items for one in run.seen) == len(sales) == 1_469_307


def test_basket_totals(run: Run) -> None:
    """Each single basket has the total, the household and the time that pyarrow finds by grouping, days moved alike."""
    names = ["basket_id", "household_id", "sales_value", "transaction_timestamp"]
    table = read_table(data_folder() / "transactions.parquet", columns=names)
    table = table.set_column(2, "sales_value", table["sales_value"].cast(CENTS))
    wanted = [("household_id", "max"), ("sales_value", "sum"), ("transaction_timestamp", "max")]
    grouped = table.group_by("basket_id").aggregate(wanted)
    columns = [grouped[name].to_pylist() for name in ("basket_id", "household_id_max", "sales_value_sum")] + [
        grouped["transaction_timestamp_max"].cast("int64").to_pylist()
    ]
    expected = {
        str(basket): (str(household), int(sales * 100), nanoseconds // 1_000)
        for basket, household, sales, nanoseconds in zip(*columns, strict=True)
    }
    found = {one.id.rpartition(":")[2]: one for one in run.seen if one.type == "order.placed"}
    assert found.keys() == expected.keys()
    moves = set()
    for basket, (household, cents, at) in expected.items():
        one = found[basket]
        assert (one.customer, one.cents) == (household, cents)
        moves.add(one.at - at)
    assert len(moves) == 1
    assert moves.pop() % instants.DAY == 0


def test_order_of_time(run: Run) -> None:
    """Events come in order of time, a household registers an hour before its first basket, and the end is LAST_DAY."""
    times = [one.at for one in run.seen]
    assert times == sorted(times)
    assert times[-1] <= NOW
    assert instants.to_datetime(times[-1]).date() == LAST_DAY
    registered: dict[str, int] = {}
    firsts: dict[str, int] = {}
    for one in run.seen:
        (registered if one.type == "customer.registered" else firsts).setdefault(one.customer, one.at)
    assert {firsts[one] - at for one, at in registered.items()} == {instants.HOUR}


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-11-20T23:59:59Z", date(2026, 11, 20)),
        ("2026-11-20T04:01:20Z", date(2026, 11, 20)),
        ("2026-11-20T04:01:19.999999Z", date(2026, 11, 19)),
        ("2017-06-01T12:00:00Z", date(2017, 6, 1)),
    ],
)
def test_last_day_is_the_latest_without_future(journey: Journey, now: str, expected: date) -> None:
    """The last day is today, or yesterday while today's last basket would still lie ahead."""
    at = instants.parse(now)
    assert journey.last_day(at) == expected
    assert at - instants.DAY < journey.last_instant(expected) <= at


def test_traits(run: Run) -> None:
    """The 801 households of the demographics have their traits as worded there; the others have none."""
    rows = {str(row["household_id"]): row for row in read_table(data_folder() / "demographics.parquet").to_pylist()}
    found = {one.customer: one.traits for one in run.seen if one.type == "customer.registered"}
    for household, traits in found.items():
        row = rows.get(household)
        known = {trait: row[column] for trait, column in data.TRAITS.items() if row[column] is not None} if row else {}
        assert (traits or {}) == known
    assert len(rows.keys() & found.keys()) == 801


def test_second_run_repeats_the_bytes(run: Run) -> None:
    """Reading the data set anew gives the same events, byte for byte, so that a repeated id repeats its content."""
    digest = hashlib.sha256()
    for event in read_journey().events(LAST_DAY):
        digest.update(event.value)
    assert digest.hexdigest() == run.digest


def test_another_day_is_other_events(journey: Journey) -> None:
    """Moved to another day, the same basket has another id, as its content differs."""
    first, second = next(journey.events(LAST_DAY)), next(journey.events(date(2031, 3, 10)))
    assert first.key == second.key
    assert first.value != second.value
    assert b":2031-03-09:" in first.value
    assert b":2031-03-10:" in second.value


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the error says how to install it."""
    monkeypatch.setattr(data, "PACKAGE", "no_such_package_here")
    with pytest.raises(DemoMissing, match=r"make run.*customer-segments\[demo\]"):
        read_journey()
