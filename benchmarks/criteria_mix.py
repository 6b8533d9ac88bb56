"""What the evaluator's benchmark evaluates: criteria of all kinds, and rows that fit them; the same each time."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final
from uuid import UUID

from benchmarks.workload import CATEGORIES, COUNTRIES, DAY, HISTORY_END, SEED
from service.core.criteria.model import Criteria
from service.core.criteria.parse import parse_criteria
from service.core.criteria.plan import Plan
from service.core.instants import MISSING

Json = dict[str, Any]

PRODUCTS: Final = tuple(f"p{number:04d}" for number in range(60))
TRAITS: Final = ("plan", "score", "city_size", "nps", "source", "beta")
ACTIVITIES: Final = ("page_viewed", "cart_abandoned", "search", "email_opened", "review_written", "app_opened")
WINDOWS: Final = (7, 30, 90)
#: One segment in so many asks for the members of another.
MEMBER_EVERY: Final = 20


class Segments:
    """Draws criteria as marketers write them: one to three conditions, some alternatives, some exclusions."""

    def __init__(self, count: int, seed: int = SEED) -> None:
        self._random = Random(seed)
        self.criteria = [parse_criteria(self._one(number)) for number in range(count)]

    def by_slot(self) -> tuple[dict[int, Criteria], dict[UUID, int]]:
        """What the catalogue gives to be compiled."""
        numbers = range(len(self.criteria))
        return dict(enumerate(self.criteria)), {UUID(int=number): number for number in numbers}

    def _one(self, number: int) -> Json:
        random = self._random
        parts = [self._condition() for _ in range(random.choices((1, 2, 3), (3, 5, 2))[0])]
        if random.random() < 0.2:
            parts.append({"any": [self._condition(), {"all": [self._condition(), self._condition()]}]})
        if random.random() < 0.15:
            parts.append({"not": self._condition()})
        if number % MEMBER_EVERY == MEMBER_EVERY - 1:
            key = random.choice(("member_of", "not_member_of"))
            parts.append({key: str(UUID(int=random.randrange(number)))})
        return {"all": parts}

    def _condition(self) -> Json:
        kinds = (self._figure, self._recency, self._purchase, self._attribute, self._trait, self._activity)
        make: Callable[[], Json] = self._random.choices(kinds, (6, 3, 3, 2, 3, 4))[0]
        return make()

    def _figure(self) -> Json:
        random = self._random
        key = random.choice(("total_orders", "total_spent", "average_order_value"))
        test = self._test((1, 20) if key == "total_orders" else (20, 3_000))
        if random.random() < 0.5:
            test["window"] = {"days": random.choice(WINDOWS)}
        return {key: test}

    def _test(self, span: tuple[int, int]) -> Json:
        random = self._random
        if random.random() < 0.15:
            low, high = sorted((random.randint(*span), random.randint(*span)))
            return {"operator": "between", "min_value": low, "max_value": high}
        return {"operator": random.choice(("gte", "gte", "gt", "lte", "lt")), "value": random.randint(*span)}

    def _recency(self) -> Json:
        random = self._random
        key = random.choice(("registration_date", "last_order_date", "last_login"))
        operator = random.choice(("within_last", "more_than_ago"))
        return {key: {"operator": operator, "days": random.choice((7, 14, 30, 60, 90))}}

    def _purchase(self) -> Json:
        random = self._random
        is_product = random.random() < 0.4
        found = random.sample(PRODUCTS if is_product else CATEGORIES, random.choice((1, 1, 2, 3, 5)))
        if not is_product and random.random() < 0.3:
            return {"never_purchased_categories": found}
        key = "purchased_products" if is_product else "purchased_categories"
        window = {"window": {"days": random.choice(WINDOWS)}} if random.random() < 0.4 else {}
        return {key: {random.choice(("any", "any", "all")): found, **window}}

    def _attribute(self) -> Json:
        random = self._random
        if random.random() < 0.5:
            return {"location": {"countries": random.sample(COUNTRIES, 2)}}
        return {"email_subscribed": True} if random.random() < 0.6 else {"customer_type": "business"}

    def _trait(self) -> Json:
        random = self._random
        key = random.choice(TRAITS)
        operator = random.choice(("eq", "gte", "in", "exists"))
        value: Any = random.randint(0, 20)
        if operator == "in":
            value = random.sample(range(20), 3)
        return {"traits": {key: {"operator": operator, "value": operator == "exists" or value}}}

    def _activity(self) -> Json:
        random = self._random
        activity: Json = {"name": random.choice(ACTIVITIES)}
        if random.random() < 0.3:
            activity["where"] = {"channel": {"operator": "eq", "value": random.choice(("web", "app"))}}
        if random.random() < 0.6:
            activity["window"] = {"days": random.choice(WINDOWS)}
        figure = random.choice(("count", "count", "sum", "max"))
        activity[figure] = self._test((1, 15)) | ({} if figure == "count" else {"property": "value"})
        return {"activity": activity}


def rows_of(plan: Plan, count: int, seed: int = SEED) -> list[list[int]]:
    """Rows as walking customers makes them, for these needs."""
    random, needs = Random(seed), plan.needs
    rows = []
    for _ in range(count):
        as_of = HISTORY_END - random.randrange(DAY)
        orders = int(random.expovariate(0.2))
        last = as_of - random.randrange(120 * DAY) if orders else MISSING
        login = as_of - random.randrange(60 * DAY)
        key = plan.begin_batch().number(tuple(_value(random, name) for name in needs.attributes))
        row = [as_of, orders, orders * random.randrange(20_000), as_of - random.randrange(400 * DAY), last, login, key]
        for _window in needs.windows:
            within = random.randint(0, orders)
            row += (within, within * random.randrange(20_000))
        row += [as_of - random.randrange(120 * DAY) if random.random() < 0.05 else MISSING for _ in needs.purchases]
        row += [random.randrange(2 * len(one.bounds) + 1) for one in needs.measures]
        row += [0] * len(needs.sequences)
        rows.append(row)
    return rows


def _value(random: Random, attribute: str) -> object:
    if attribute == "country":
        return random.choice(COUNTRIES)
    if attribute == "email_subscribed":
        return random.random() < 0.6
    if attribute == "customer_type":
        return "business" if random.random() < 0.1 else "individual"
    return random.choice((None, random.randint(0, 20)))
