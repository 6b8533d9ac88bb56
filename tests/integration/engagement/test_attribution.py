"""Figures of campaigns in random worlds against an oracle in plain Python."""

from __future__ import annotations

import random
from collections import defaultdict
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from service.adapters.postgres.campaigns.performance import PostgresPerformance, counts_of
from service.adapters.postgres.campaigns.store import PostgresCampaigns
from service.adapters.postgres.database import Database
from service.app.campaigns.campaigns import read_campaign
from service.app.campaigns.performance import performance
from service.core.instants import DAY, HOUR, to_datetime, to_text
from tests.analytics_oracle import Purse, micros
from tests.campaign_oracle import Attribution, Sent
from tests.integration.analytics.support import cancellation, order, refund, world
from tests.integration.engagement.support import END, START, add_campaign, add_code, add_messages, apply, told

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
