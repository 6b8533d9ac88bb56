"""The job of the benchmarks: seeded events and criteria, the same on every machine.

Events are CloudEvents in structured JSON, ascending by time: 70 % order.placed (1 to 3 items of 40 categories), 20 %
customer.logged_in, 10 % customer.registered or customer.updated, spread over 120 days. Few customers are busy: the
k-th of n has about (k/n) ** (1 / SKEW) of all events before it.

Criteria come in two flavours. `calm` ones are crossed rarely (about 0.5 changes an event with 100 segments), `busy`
ones often (2 to 4), since each change costs a membership row, an outbox record and a Kafka record.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

Flavour = Literal["calm", "busy"]
Criteria = dict[str, Any]

SEED: Final = 20_260_101
DAY: Final = 86_400_000_000
DAYS: Final = 120
SKEW: Final = 1.8
CATEGORIES: Final = tuple(f"category-{number:02d}" for number in range(40))
PRODUCTS: Final = 2_000
COUNTRIES: Final = ("US", "GB", "DE", "FR", "IT", "ES", "NL", "SE", "PL", "JP")
#: Where the history of the throughput job ends, and where its clock stands still.
HISTORY_END: Final = int(datetime(2026, 5, 1, tzinfo=UTC).timestamp()) * 1_000_000
WINDOWS: Final = (7, 30, 90)


class Message(NamedTuple):
    """One event as it goes to Kafka."""

    event_id: str
    key: bytes
    value: bytes


class Shop:
    """Makes events of a customer base; the same seed makes the same ones."""

    def __init__(self, customers: int, seed: int = SEED) -> None:
        self._random = Random(seed)
        self._customers = [self._uuid() for _ in range(customers)]
        self._registered: set[int] = set()
        self._weights = [1 / (rank + 3) for rank in range(len(CATEGORIES))]

    def event(self, at: int) -> Message:
        """The next event, at this instant (microseconds)."""
        random = self._random
        number = int(len(self._customers) * random.random() ** SKEW)
        customer = self._customers[number]
        draw = random.random()
        if draw < 0.7:
            kind, data = "order.placed", self._order()
        elif draw < 0.9:
            kind, data = "customer.logged_in", ""
        else:
            kind, data = self._attributes(number)
        event_id = self._uuid()
        line = (
            f'{{"specversion":"1.0","id":"{event_id}","source":"/shop","type":"{kind}","subject":"{customer}",'
            f'"time":"{text_of(at)}","datacontenttype":"application/json","data":{{"customer_id":"{customer}"{data}}}}}'
        )
        return Message(event_id, customer.encode(), line.encode())

    def _order(self) -> str:
        random = self._random
        categories = random.choices(CATEGORIES, weights=self._weights, k=random.choice((1, 1, 2, 3)))
        items, total = [], 0
        for category in categories:
            cents = int(random.lognormvariate(8, 0.8)) + 50
            total += cents
            items.append(
                f'{{"product_id":"p{random.randrange(PRODUCTS):04d}","category":"{category}","quantity":1,'
                f'"unit_price":{money(cents)}}}'
            )
        return f',"order_id":"{self._uuid()}","currency":"USD","total":{money(total)},"items":[{",".join(items)}]'

    def _attributes(self, number: int) -> tuple[str, str]:
        random = self._random
        subscribed = "true" if random.random() < 0.6 else "false"
        if number in self._registered:
            return "customer.updated", f',"email_subscribed":{subscribed}'
        self._registered.add(number)
        kind = "business" if random.random() < 0.1 else "individual"
        data = (
            f',"email":"customer{number}@example.com","customer_type":"{kind}","email_subscribed":{subscribed},'
            f'"location":{{"country":"{COUNTRIES[int(len(COUNTRIES) * random.random() ** 2)]}"}}'
        )
        return "customer.registered", data

    def _uuid(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))


def history(shop: Shop, events: int, end: int = HISTORY_END, days: int = DAYS) -> Iterator[Message]:
    """Events over the days before `end`, evenly spread, ascending; the last one lies before `end`."""
    start, step = end - days * DAY, days * DAY // events
    random = Random(events)
    for number in range(events):
        yield shop.event(start + number * step + random.randrange(step))


def text_of(at: int) -> str:
    """RFC 3339 of an instant in microseconds."""
    seconds, micros = divmod(at, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{micros:06d}Z"


def money(cents: int) -> str:
    """A decimal number with two places."""
    return f"{cents // 100}.{cents % 100:02d}"


def definitions(count: int, flavour: Flavour, seed: int = SEED) -> list[Criteria]:
    """Criteria of `count` segments, all different; the first 20 are the same whatever the count."""
    maker = _Maker(Random(seed), flavour)
    found: list[Criteria] = []
    while len(found) < count:
        one = maker.conjunction()
        if one not in found:
            found.append(one)
    return found


class _Maker:
    """Draws conjunctions of one to three literals; the first one is positive and selective."""

    def __init__(self, random: Random, flavour: Flavour) -> None:
        self._random = random
        self._is_busy = flavour == "busy"

    def conjunction(self) -> Criteria:
        random = self._random
        first: tuple[Callable[[], Criteria], ...] = (self._spent, self._orders, self._average)
        first += (self._spent_within, self._orders_within)
        others = (*first, self._recency, self._login, self._categories, self._attribute)
        parts = [random.choice(first)()]
        for make in random.sample(others, random.choices((0, 1, 2), (4, 4, 2))[0]):
            part = make()
            parts.append({"not": part} if random.random() < 0.2 else part)
        keys = [key for part in parts for key in part]
        flat = {key: value for part in parts for key, value in part.items()}
        return flat if len(flat) == len(keys) else {"all": parts}

    def _between(self, calm: tuple[float, float], busy: tuple[float, float]) -> int:
        """A whole number, its logarithm evenly spread between the flavour's bounds."""
        low, high = busy if self._is_busy else calm
        return round(math.exp(self._random.uniform(math.log(low), math.log(high))))

    def _spent(self) -> Criteria:
        return {"total_spent": _gte(self._between((500, 3_000), (80, 2_500)))}

    def _orders(self) -> Criteria:
        return {"total_orders": _gte(self._between((10, 50), (2, 20)))}

    def _average(self) -> Criteria:
        average = {"average_order_value": _gte(self._between((100, 250), (60, 160)))}
        return average if self._is_busy else {**average, **self._orders()}

    def _spent_within(self) -> Criteria:
        days = self._random.choice(WINDOWS)
        calm = {7: (250, 600), 30: (400, 1_200), 90: (600, 2_500)}[days]
        busy = {7: (120, 500), 30: (160, 900), 90: (250, 2_000)}[days]
        return {"total_spent": {**_gte(self._between(calm, busy)), "window": {"days": days}}}

    def _orders_within(self) -> Criteria:
        days = self._random.choice(WINDOWS)
        calm = {7: (4, 9), 30: (6, 18), 90: (10, 35)}[days]
        busy = {7: (2, 6), 30: (3, 10), 90: (4, 18)}[days]
        return {"total_orders": {**_gte(self._between(calm, busy)), "window": {"days": days}}}

    def _recency(self) -> Criteria:
        operator = self._random.choice(("within_last", "more_than_ago"))
        return {"last_order_date": {"operator": operator, "days": self._random.choice((14, 30, 60))}}

    def _login(self) -> Criteria:
        return {"last_login": {"operator": "within_last", "days": self._random.choice((7, 30))}}

    def _categories(self) -> Criteria:
        names = sorted(self._random.sample(CATEGORIES, self._random.choice((1, 2, 3))))
        is_never = self._random.random() < 0.3
        return {"never_purchased_categories" if is_never else "purchased_categories": names}

    def _attribute(self) -> Criteria:
        draw = self._random.random()
        if draw < 0.4:
            return {"location": {"countries": sorted(self._random.sample(COUNTRIES, 2))}}
        return {"email_subscribed": True} if draw < 0.8 else {"customer_type": "business"}


def _gte(value: int) -> Criteria:
    return {"operator": "gte", "value": value}
