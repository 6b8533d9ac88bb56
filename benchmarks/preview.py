"""How long a preview, a dry run and a backtest take on a full database.

    python -m benchmarks.preview           # 1,000,000 customers, 4,000,000 orders, 1,000,000 activities
    python -m benchmarks.preview --quick   # a twentieth of it

Facts and folds are written straight into the tables, one consistent with the other; each preview must count whom the
backtest counts at the same instant.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final
from uuid import UUID

import asyncpg

from benchmarks import machine
from benchmarks.command import arguments, measured
from benchmarks.stack import Run
from service.adapters.postgres.backtest import backtest_store
from service.adapters.postgres.database import Database
from service.adapters.postgres.preview import preview_store
from service.app.preview import Definition
from service.core import instants
from service.core.criteria.parse import parse_criteria
from service.stack.servers import Servers

CLOCK: Final = "2026-05-01T00:00:00Z"
NOW: Final = instants.parse(CLOCK)
SECONDS_MAX: Final = 3_600
SEGMENT: Final = UUID(int=1)

_MONTHS: Final = {"window": {"days": 90}}
_YEARS: Final = {"window": {"days": 1_000}}
_BIG: Final = {"operator": "gte", "value": 100}
_VIEWED: Final = {"name": "product_viewed", "where": {"device": {"operator": "eq", "value": "phone"}}}
#: Name -> criteria. The limits of the first four are 2 s, of the next four 5 s.
CASES: Final[dict[str, dict[str, Any]]] = {
    "everybody": {},
    "orders and country": {
        "total_orders": {"operator": "gte", "value": 3},
        "location": {"countries": ["US", "DE"]},
        "traits": {"tier": {"operator": "eq", "value": "gold"}},
    },
    "a product": {"purchased_products": ["product-7"]},
    "two categories": {"purchased_categories": {"all": ["category-7", "category-9"]}},
    "spent in 90 days": {"total_spent": {**_BIG, **_MONTHS}},
    "spent in 1,000 days": {"total_spent": {**_BIG, **_YEARS}},
    "average in 90 days": {"average_order_value": {**_BIG, **_MONTHS}},
    "a category in 90 days": {"purchased_categories": {"any": ["category-7"], **_MONTHS}},
    "activity": {"activity": {**_VIEWED, "count": {"operator": "gte", "value": 2}}},
    "activity in 90 days": {"activity": {**_VIEWED, **_MONTHS, "sum": {"property": "seconds", **_BIG}}},
    "activity, then order": {
        "sequence": {"steps": [{"activity": {"name": "cart_updated"}}, {"order": {}}], "within": {"days": 7}}
    },
    "of all kinds": {
        "any": [
            {"customer_type": "business", "total_spent": {**_BIG, **_MONTHS}},
            {"purchased_products": ["product-7"], "not": {"activity": {"name": "page_seen", **_MONTHS}}},
            {"member_of": str(SEGMENT), "last_login": {"operator": "within_last", "days": 30}},
        ]
    },
}
#: What is tried at ten steps; it takes longer.
BACKTESTS: Final = ("orders and country", "spent in 90 days", "activity in 90 days")

#: Fills the tables; {customers}, {orders}, {activities} and {now} are put in. Few customers are busy.
FILL: Final = (
    "SELECT setseed(0.5)",
    """CREATE UNLOGGED TABLE people AS
SELECT n, CAST(md5('customer-' || n) AS uuid) AS customer_id, {now} - (1 + random() * 1094) * interval '1 day' AS since,
    CASE WHEN random() < 0.5 THEN {now} - random() * interval '200 days' END AS login_at,
    CASE WHEN random() < 0.25 THEN 'business' ELSE 'individual' END AS customer_type,
    (ARRAY['US', 'GB', 'DE', 'FR', 'IT', 'ES', 'NL', 'SE', 'PL', 'JP'])[1 + CAST(floor(random() * 10) AS int)]
        AS country,
    random() < 0.6 AS email_subscribed,
    (ARRAY['gold', 'silver', 'bronze'])[1 + CAST(floor(random() * 3) AS int)] AS tier
FROM generate_series(1, {customers}) AS n""",
    """CREATE UNLOGGED TABLE drafts AS
SELECT o, CAST(md5('customer-' || 1 + CAST(floor({customers} * power(random(), 1.8)) AS int)) AS uuid) AS customer_id,
    'order-' || o AS order_id, {now} - random() * interval '1095 days' AS placed_at,
    100 + CAST(floor(random() * 19900) AS bigint) AS total,
    array_remove(ARRAY[CAST(floor(random() * 2000) AS int),
        CASE WHEN random() < 0.6 THEN CAST(floor(random() * 2000) AS int) END,
        CASE WHEN random() < 0.3 THEN CAST(floor(random() * 2000) AS int) END], NULL) AS items,
    random() < 0.04 AS is_cancelled, CASE WHEN random() < 0.05 THEN CAST(floor(random() * 5000) AS bigint) END AS refund
FROM generate_series(1, {orders}) AS o""",
    """INSERT INTO customer_facts (customer_id, event_id, kind, data, time)
SELECT customer_id, 'r-' || n, 'registered', jsonb_build_object('customer_id', customer_id,
    'customer_type', customer_type, 'location', jsonb_build_object('country', country),
    'email_subscribed', email_subscribed, 'traits', jsonb_build_object('tier', tier)), since
FROM people""",
    """INSERT INTO customer_facts (customer_id, event_id, kind, data, time)
SELECT customer_id, 'l-' || n, 'logged_in', jsonb_build_object('customer_id', customer_id), login_at
FROM people WHERE login_at IS NOT NULL""",
    """INSERT INTO customers (customer_id, external_id, name, email, customer_type, country, email_subscribed, traits)
SELECT customer_id, CAST(customer_id AS text), 'Name ' || n, 'user' || n || '@example.com', customer_type, country,
    email_subscribed, jsonb_build_object('tier', tier)
FROM people ORDER BY n""",
    """INSERT INTO order_facts (customer_id, order_id, event_id, kind, total, items, time)
SELECT customer_id, order_id, 'p-' || o, 'placed', total,
    (SELECT jsonb_agg(jsonb_build_object('product_id', 'product-' || i, 'category', 'category-' || i % 40,
        'quantity', 1, 'unit_price', '9.99')) FROM unnest(items) AS i), placed_at
FROM drafts""",
    """INSERT INTO order_facts (customer_id, order_id, event_id, kind, time)
SELECT customer_id, order_id, 'c-' || o, 'cancelled', least(placed_at + interval '1 day', {now})
FROM drafts WHERE is_cancelled""",
    """INSERT INTO refunds (customer_id, refund_id, event_id, order_id, amount, time)
SELECT customer_id, 'refund-' || o, 'f-' || o, CASE WHEN o % 10 > 0 THEN order_id END, refund,
    least(placed_at + interval '2 days', {now})
FROM drafts WHERE refund IS NOT NULL""",
    """INSERT INTO orders (customer_id, order_id, placed_at, total, amount, products, categories)
SELECT customer_id, order_id, placed_at, total, total - CASE WHEN o % 10 > 0 THEN coalesce(refund, 0) ELSE 0 END,
    (SELECT array_agg(DISTINCT 'product-' || i) FROM unnest(items) AS i),
    (SELECT array_agg(DISTINCT 'category-' || i % 40) FROM unnest(items) AS i)
FROM drafts WHERE NOT is_cancelled""",
    """INSERT INTO activities (customer_id, event_id, name, properties, time)
SELECT CAST(md5('customer-' || 1 + CAST(floor({customers} * power(random(), 1.8)) AS int)) AS uuid), 'a-' || a,
    (ARRAY['product_viewed', 'cart_updated', 'page_seen'])[1 + CAST(floor(random() * 3) AS int)],
    jsonb_build_object('product_id', 'product-' || CAST(floor(random() * 2000) AS int),
        'seconds', CAST(floor(random() * 600) AS int), 'device', CASE WHEN random() < 0.5 THEN 'phone' ELSE 'desk' END),
    {now} - random() * interval '365 days'
FROM generate_series(1, {activities}) AS a""",
    """INSERT INTO profiles (customer_id, total_orders, total_spent, first_seen_at, registered_at, last_order_at,
    last_login_at, evaluated_to, born, mark, shape_version, ordinals, state)
WITH entries AS (
    SELECT customer_id, 1 AS orders, amount, placed_at FROM orders
    UNION ALL SELECT customer_id, 0, -refund, NULL FROM drafts WHERE refund IS NOT NULL AND o % 10 = 0
), sums AS (
    SELECT customer_id, sum(orders) AS orders, sum(amount) AS spent, max(placed_at) AS last_at
    FROM entries GROUP BY customer_id
), seen AS (
    SELECT customer_id, min(at) AS first_at FROM (
        SELECT customer_id, placed_at AS at FROM drafts UNION ALL SELECT customer_id, time FROM activities
    ) AS moments GROUP BY customer_id
)
SELECT customer_id, coalesce(orders, 0), coalesce(spent, 0), us(least(since, login_at, first_at)), us(since),
    us(last_at), us(login_at), us({now}), 0, 1, 0, '', decode(repeat(md5(CAST(n AS text)), 8), 'hex')
FROM people LEFT JOIN sums USING (customer_id) LEFT JOIN seen USING (customer_id)
ORDER BY n""",
    """INSERT INTO customer_segments (id, segment_name, segment_type, status, criteria, version, introduced, since,
    is_kept, backfill_state, created_by)
VALUES ('{segment}', 'Regulars', 'dynamic', 'active', '{{"total_orders": {{"operator": "gte", "value": 6}}}}', 1, 1, 0,
    true, 'done', 'benchmark')""",
    """INSERT INTO customer_segment_memberships (customer_id, segment_id, ordinal, joined_at, membership_source,
    segment_version)
SELECT customer_id, '{segment}', 1, {now}, 'event', 1 FROM profiles WHERE total_orders >= 6""",
    "DROP TABLE people, drafts",
    "VACUUM (ANALYZE)",
)
MICROSECONDS: Final = """
CREATE FUNCTION pg_temp.us(at timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE
RETURN CAST(extract(epoch FROM at) * 1000000 AS bigint)
"""


async def fill(url: str, sizes: dict[str, int]) -> None:
    """Facts and folds of so many customers, orders and activities."""
    connection = await asyncpg.connect(url, server_settings={"synchronous_commit": "off", "work_mem": "256MB"})
    try:
        await connection.execute(MICROSECONDS)
        for statement in FILL:
            now = f"timestamptz '{CLOCK}'"
            await connection.execute(
                statement.format(now=now, segment=SEGMENT, **sizes).replace(" us(", " pg_temp.us(")
            )
    finally:
        await connection.close()


async def timed(rounds: int, job: Callable[[], Awaitable[Any]]) -> tuple[Any, list[float]]:
    """The last result, and how long each round took."""
    seconds = []
    found = None
    for _ in range(rounds):
        started = time.perf_counter()
        found = await job()
        seconds.append(time.perf_counter() - started)
    return found, seconds


async def measure(database: Database, rounds: int) -> dict[str, dict[str, Any]]:
    """Figures by question; prints each as it comes.

    Raises:
        SystemExit: a preview and a backtest count differently.
    """
    results: dict[str, dict[str, Any]] = {}

    def note(name: str, count: int, seconds: list[float]) -> None:
        results[name] = {"count": count, "seconds": seconds}
        median, spread = statistics.median(seconds), f"{min(seconds):.2f} to {max(seconds):.2f}"
        print(f"  {name:<40}{count:>10,}{median:>8.2f} s  ({spread}); load {machine.load()}", flush=True)

    for name, criteria in CASES.items():
        count, seconds = await timed(rounds, partial(preview, database, criteria))
        note(f"preview: {name}", count, seconds)
    changed, seconds = await timed(rounds, partial(dry_run, database))
    note("dry run: spent in 90 days", changed, seconds)
    for name in BACKTESTS:
        counts, seconds = await timed(1, partial(backtest, database, CASES[name], 10))
        note(f"backtest, 10 steps: {name}", counts[-1], seconds)
    for name, criteria in CASES.items():
        counts = await backtest(database, criteria, 1)
        if counts[-1] != results[f"preview: {name}"]["count"]:
            raise SystemExit(
                f"{name}: the preview counts {results[f'preview: {name}']['count']}, the facts {counts[-1]}"
            )
    print("  every preview counts whom the facts say")
    return results


async def preview(database: Database, criteria: dict[str, Any]) -> int:
    """How many customers a preview counts."""
    async with preview_store(database, SECONDS_MAX, "SECONDS_MAX") as store:
        return (await store.preview(parse_criteria(criteria), NOW, 10)).count


async def dry_run(database: Database) -> int:
    """How many would join and leave by other criteria."""
    definition = Definition(SEGMENT, parse_criteria(CASES["spent in 90 days"]), is_live=True)
    async with preview_store(database, SECONDS_MAX, "SECONDS_MAX") as store:
        found = await store.compare(definition, NOW, 10)
    return found.joining.count + found.leaving.count


async def backtest(database: Database, criteria: dict[str, Any], steps: int) -> list[int]:
    """How many members there were at each step, 30 days apart, the last one now."""
    moments = [NOW - 30 * place * instants.DAY for place in reversed(range(steps))]
    async with backtest_store(database) as store:
        return [step.count async for step in store.steps(parse_criteria(criteria), moments, has_members=False)]


async def run(servers: Servers, sizes: dict[str, int], rounds: int) -> dict[str, Any]:
    """Fills a database and measures."""
    about = await machine.description(servers.database_url)
    made = Run(servers, f"preview_{time.time_ns() // 1_000_000}", clock=CLOCK)
    await made.prepare([], with_topics=False)
    started = time.perf_counter()
    await fill(made.database_url, sizes)
    print(
        f"{about['cores']} cores, PostgreSQL {about['postgres']}; {sizes};"
        f" filled in {time.perf_counter() - started:.0f} s"
    )
    async with made.database() as database:
        results = await measure(database, rounds)
    await made.drop()
    return {"machine": about, "sizes": sizes, "results": results}


def main() -> None:
    """Command line."""
    parser = arguments("preview", __doc__, "a twentieth of the customers, orders and activities")
    parser.add_argument("--rounds", type=int, default=5, help="of each preview; the table shows medians")
    chosen = parser.parse_args()
    part = 20 if chosen.quick else 1
    sizes = {name: size // part for name, size in SIZES.items()}
    measured(chosen, lambda servers: asyncio.run(run(servers, sizes, chosen.rounds)))


SIZES: Final = {"customers": 1_000_000, "orders": 4_000_000, "activities": 1_000_000}

if __name__ == "__main__":
    main()
