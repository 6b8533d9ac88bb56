"""Figures of campaigns in random worlds against an oracle in plain Python."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from service.adapters.postgres.campaigns.attribution import CREDITS, SETTINGS
from service.adapters.postgres.campaigns.performance import PostgresPerformance, counts_of, performance_store
from service.adapters.postgres.campaigns.store import PostgresCampaigns
from service.adapters.postgres.database import Database
from service.app.campaigns.campaigns import read_campaign
from service.app.campaigns.performance import performance
from service.core.instants import DAY, HOUR, parse, to_datetime, to_text
from tests.analytics_oracle import Purse, micros
from tests.campaign_oracle import Attribution, Sent
from tests.integration.analytics.support import cancellation, order, refund, world
from tests.integration.engagement.support import add_campaign, add_code, add_messages, apply, rows, told

START = parse("2026-03-01T00:00:00Z")
END = parse("2026-03-31T12:00:00Z")
PEOPLE = [f"c{n}" for n in range(12)]
#: Campaign: channel, and what kind of codes it gives.
CAMPAIGNS = {
    "plain": ("email", None),
    "text": ("sms", None),
    "push": ("notification", None),
    "common": ("email", "SPRING"),
    "own": ("sms", "unique"),
    "other": ("email", "unique"),
}


class Made:
    """A random world: what was sent and what was bought, as lists."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.sent: list[Sent] = []
        for name, (channel, kind) in CAMPAIGNS.items():
            for customer in self.chance.sample(PEOPLE, 8):
                self.sent.append(self._sent(name, channel, customer, kind))
        self.events: list[dict[str, Any]] = []
        self.codes: dict[tuple[str | None, str], list[tuple[str, Decimal]]] = {}
        for number in range(90):
            self._order(f"o{number}")

    def _moment(self, since: int = START, until: int = END) -> int:
        """Often on the hour, so that instants meet."""
        return self.chance.randint(since // HOUR, until // HOUR) * HOUR

    def _sent(self, name: str, channel: str, customer: str, kind: str | None) -> Sent:
        sent_at = self._moment(START, END - 10 * DAY)
        one = Sent("", name, customer, channel, sent_at)
        for _ in range(self.chance.randint(0, 3)):
            contact = self.chance.choice(["delivered", "opened", "clicked", "clicked"])
            at = min(sent_at + self.chance.randint(0, 6 * 24) * HOUR, END)
            is_machine = contact != "delivered" and self.chance.random() < 0.2
            one.contacts.append((contact, at, is_machine))
        if kind == "unique":
            one.code = f"{name.upper()}-{customer.upper()}"
        return one

    def _order(self, order_id: str) -> None:
        customer = self.chance.choice([*PEOPLE, *PEOPLE, None])
        placed = self._moment()
        near = [one.sent_at for one in self.sent if one.customer == customer]
        if near and self.chance.random() < 0.8:
            placed = min(self.chance.choice(near) + self.chance.randint(0, 6 * 24) * HOUR, END)
        used = []
        if self.chance.random() < 0.35:
            known = [one.code for one in self.sent if one.code] + ["spring ", "Spring", "NOBODYS"]
            used = self.chance.sample(known, self.chance.randint(1, 2))
        amounts = [Decimal(self.chance.randint(0, 900)) / 100 for _ in used]
        codes = [{"code": code, "amount": str(amount)} for code, amount in zip(used, amounts, strict=True)]
        more = {"discount_codes": codes} if codes else {}
        total = Decimal(self.chance.randint(100, 20_000)) / 100
        self.events.append(order(customer, order_id, to_text(placed), str(total), **more))
        self.codes[customer, order_id] = list(zip(used, amounts, strict=True))
        if self.chance.random() < 0.3:
            back = str(Decimal(self.chance.randint(1, 5_000)) / 100)
            self.events.append(refund(customer, order_id, to_text(self._moment(placed)), back))
        if self.chance.random() < 0.15:
            self.events.append(cancellation(customer, order_id, to_text(self._moment(placed))))

    def oracle(self, at: int) -> Attribution:
        """Of this world at an instant."""
        mine: dict[str | None, list[dict[str, Any]]] = defaultdict(list)
        for one in self.events:
            if micros(one["time"]) <= at:
                mine[one["data"]["customer_id"]].append(one)
        purses = {customer: Purse(some) for customer, some in mine.items()}
        return Attribution(purses, self.codes, self.sent, {"common": "SPRING"}, at)


async def stored(database: Database, made: Made) -> dict[str, UUID]:
    """The world in a database; gives campaigns by name."""
    await world(database, made.events, END)
    ids = {}
    for name, (channel, kind) in CAMPAIGNS.items():
        code = kind if kind not in (None, "unique") else None
        ids[name] = await add_campaign(database, channel=channel, discount_code=code)
    events = []
    for one in made.sent:
        sent_at = to_datetime(one.sent_at)
        (message,) = await add_messages(
            database, ids[one.campaign], [one.customer], channel=one.channel, sent_at=sent_at
        )
        one.id = str(message)
        if one.code:
            await add_code(database, ids[one.campaign], one.customer, message, one.code)
        for place, (kind, at, is_machine) in enumerate(one.contacts):
            events.append(told(message, kind, to_datetime(at), f"{message}-{place}", is_machine=is_machine))
    made.chance.shuffle(events)
    await apply(database, events)
    return ids


@pytest.mark.parametrize("seed", range(6))
async def test_against_the_oracle(database: Database, seed: int) -> None:
    """Every figure of every campaign, at random instants and at the end."""
    made = Made(seed)
    ids = await stored(database, made)
    seen: dict[str, float] = defaultdict(float)
    for at in [made.chance.randint(START, END) for _ in range(4)] + [END]:
        expected = made.oracle(at).results()
        async with database.snapshot() as connection:
            for name, campaign_id in ids.items():
                campaign = await read_campaign(PostgresCampaigns(connection), campaign_id)
                found = await performance(PostgresPerformance(connection), campaign, at)
                if name not in expected:
                    assert found["recipients_count"] == found["attributed_orders"] == 0
                    continue
                wanted = expected[name].figures()
                assert {one: found[one] for one in wanted} == wanted, (name, to_text(at))
                for one in ("attributed_orders", "redeemed_by_other", "converted_count", "clicked_count"):
                    seen[one] += found[one]
    assert min(seen.values()) > 0, "the world shows nothing"


async def test_one_order_one_campaign(database: Database) -> None:
    """What all campaigns earned together is no more than what was bought, and each order is somebody's once."""
    made = Made(99)
    ids = await stored(database, made)
    async with database.snapshot() as connection:
        orders = [
            (one.customer_id, one.order_id)
            for campaign_id in ids.values()
            for one in await _credits(connection, campaign_id)
        ]
    assert orders
    assert len(orders) == len(set(orders))


async def _credits(connection: Any, campaign_id: UUID) -> Any:
    from service.adapters.postgres.campaigns.attribution import credits_of

    return await credits_of(connection, [campaign_id], END)


class TestMoney:
    """Cost, discounts and what is left, by hand."""

    async def _found(self, database: Database, campaign_id: UUID) -> dict[str, Any]:
        async with database.snapshot() as connection:
            campaign = await read_campaign(PostgresCampaigns(connection), campaign_id)
            return await performance(PostgresPerformance(connection), campaign, END)

    async def test_roi(self, database: Database) -> None:
        """100 * (90 * 0.5 - 0.30 - 20) / (0.30 + 20 + 10): three parts of SMS, one order of 90 after 10 off."""
        campaign_id = await add_campaign(
            database,
            channel="sms",
            discount_code="TEN",
            discount_type="fixed",
            discount_amount=Decimal(10),
            options={"cost_per_message": "0.10", "fixed_cost": "20", "gross_margin": "0.5"},
        )
        when = to_datetime(START)
        await add_messages(database, campaign_id, ["c1"], channel="sms", sms_segments=2, sent_at=when)
        await add_messages(database, campaign_id, ["c2"], channel="sms", sent_at=when)
        codes = [{"code": "ten"}]
        await world(database, [order("c1", "o1", to_text(START + DAY), "90", discount_codes=codes)], END)
        found = await self._found(database, campaign_id)
        assert (found["cost"], found["discount_given"]) == ("30.30", "10.00")
        assert (found["attributed_revenue"], found["redeemed_count"], found["converted_count"]) == ("90.00", 1, 1)
        assert (found["roi"], found["roi_defined"]) == (Decimal("81.52"), True)
        assert found["delivered"] == 0

    async def test_a_percentage_of_the_lines(self, database: Database) -> None:
        """Where the order does not say what the code took off, its lines do, else its total."""
        campaign_id = await add_campaign(
            database, discount_code="PART", discount_type="percentage", discount_amount=Decimal(15)
        )
        await add_messages(database, campaign_id, ["c1"], sent_at=to_datetime(START))
        items = [{"product_id": "p", "quantity": 3, "unit_price": "33.35"}]
        codes = [{"code": "PART"}]
        events = [
            order("c1", "o1", to_text(START + DAY), "85.04", discount_codes=codes, items=items),
            order("c1", "o2", to_text(START + DAY), "10.10", discount_codes=codes),
        ]
        await world(database, events, END)
        found = await self._found(database, campaign_id)
        assert found["discount_given"] == "16.53"  # 15.0075 and 1.515, each rounded

    async def test_codes_of_one(self, database: Database) -> None:
        """Used again: said. Used by another, or by a guest: revenue, but nobody converted."""
        campaign_id = await add_campaign(database, discount_type="fixed", discount_amount=Decimal(5))
        (one,) = await add_messages(database, campaign_id, ["c1"], sent_at=to_datetime(START))
        await add_code(database, campaign_id, "c1", one, "ABC")
        codes = [{"code": " abc ", "amount": "5.00"}]
        people = [("c1", "o1"), ("c1", "o2"), ("c9", "o3"), (None, "o4")]
        events = [order(customer, name, to_text(START + DAY), "20", discount_codes=codes) for customer, name in people]
        await world(database, events, END)
        found = await self._found(database, campaign_id)
        names = ("converted_count", "attributed_orders", "redeemed_by_other", "redeemed_again", "attributed_revenue")
        assert [found[name] for name in names] == [1, 4, 2, 3, "80.00"]

    async def test_bounces(self, database: Database) -> None:
        """By our own SMTP all is delivered that did not bounce, as it was handed over or later; others must say so."""
        campaign_id = await add_campaign(database)
        when = to_datetime(START)
        own = await add_messages(database, campaign_id, ["c1", "c2", "c3"], sent_at=when, attempt_began_at=when)
        others = await add_messages(database, campaign_id, ["c4", "c5"], sent_at=when)
        refused = await add_messages(
            database, campaign_id, ["c6"], sent_at=None, attempt_began_at=when, state="failed", reason="hard_bounce"
        )
        moment = to_datetime(START + HOUR)
        hard = [told(key, "bounced", moment, bounce_type="hard") for key in (own[0], refused[0])]
        await apply(database, [*hard, told(others[0], "delivered", moment)])
        found = await self._found(database, campaign_id)
        names = ("recipients_count", "delivered", "bounced_count", "delivery_rate", "bounce_rate")
        assert [float(found[name]) for name in names] == [6.0, 3.0, 2.0, 50.0, 33.33]


async def test_an_index_finds_codes(database: Database) -> None:
    """Facts that name codes are found without a look at all orders, in a table of many."""
    async with database.session() as connection:
        await connection.execute(
            """
            INSERT INTO order_facts (customer_id, order_id, event_id, kind, total, time, discount_codes)
            SELECT gen_random_uuid(), n::text, n::text, 'placed', 100, timestamptz '2026-03-02' + n * interval '1 s',
                CASE WHEN n % 500 = 0 THEN '[{"code": "X"}]'::jsonb END
            FROM generate_series(1, 50000) n;
            ANALYZE order_facts
            """
        )
    plan = await rows(database, "EXPLAIN SELECT FROM order_facts WHERE discount_codes IS NOT NULL AND time <= now()")
    assert "order_facts_codes_idx" in " ".join(row["QUERY PLAN"] for row in plan)


async def test_many_orders(database: Database) -> None:
    """Joins of what is made on the way grow with it, not with its square: before, this took minutes."""
    campaign_id = await add_campaign(database)
    async with database.session() as connection:
        await connection.execute(
            f"""
            INSERT INTO campaign_messages (customer_id, campaign_id, occasion, message_id, channel, category, priority,
                state, occurred_at, due_at, expires_at, sent_at, opened_at)
            SELECT md5('c' || n)::uuid, '{campaign_id}', 'once', md5('m' || n)::uuid, 'email', 'marketing', 50,
                'sent', t, t, t, t, t + interval '1 hour'
            FROM generate_series(1, 40000) n, (SELECT timestamptz '2026-03-02' AS t) at;
            INSERT INTO campaign_engagement (source, event_id, message_id, kind, at)
            SELECT '/p', message_id::text, message_id, 'opened', opened_at FROM campaign_messages;
            INSERT INTO order_facts (customer_id, order_id, event_id, kind, total, time, discount_codes)
            SELECT customer_id, 'o', 'e', 'placed', 100, sent_at + interval '2 days', '[{{"code": "X"}}]'
            FROM campaign_messages;
            ANALYZE
            """  # noqa: S608 - an id of our own
        )
    async with performance_store(database, 30, "TESTS") as snapshot:
        counts = await counts_of(snapshot, [campaign_id], END)
        for name, value in SETTINGS.items():
            await snapshot.execute(text("SELECT set_config(:name, :value, true)"), {"name": name, "value": value})
        values = {"campaigns": [campaign_id], "as_of": to_datetime(END)}
        plan = (await snapshot.execute(text(f"EXPLAIN (FORMAT JSON) {CREDITS}"), values)).scalar_one()
    assert counts[campaign_id].converted == 40_000
    inner = [node["Plans"][1]["Node Type"] for node in _nodes(plan[0]["Plan"]) if node["Node Type"] == "Nested Loop"]
    assert inner
    assert not {"CTE Scan", "Materialize", "Unique", "Sort", "Aggregate"} & set(inner), "walked for each row"


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A node of a plan, and all below it."""
    yield node
    for part in node.get("Plans", ()):
        yield from _nodes(part)


async def test_at_one_instant(database: Database) -> None:
    """Of touches at one instant a click wins, then the higher id."""
    won = []
    for number, kinds in enumerate((("opened", "clicked"), ("clicked", "opened"), ("clicked", "clicked"))):
        customer = f"tie{number}"
        sent = []
        for _ in kinds:
            campaign_id = await add_campaign(database)
            sent.append(
                (*await add_messages(database, campaign_id, [customer], sent_at=to_datetime(START)), campaign_id)
            )
        moment = to_datetime(START + HOUR)
        pairs = list(zip(sent, kinds, strict=True))
        await apply(database, [told(key, kind, moment) for (key, _), kind in pairs], 10 * number)
        await world(database, [order(customer, f"tie{number}", to_text(START + DAY), 10)], END)
        async with database.snapshot() as connection:
            found = await counts_of(connection, [campaign_id for _, campaign_id in sent], END)
        best = max(pairs, key=lambda pair: (pair[1] == "clicked", pair[0][0]))[0][1]
        won.append([counts.converted for counts in found.values()] == [int(one == best) for _, one in sent])
    assert won == [True] * 3
