"""Random worlds: everything that orders, refunds and stays can do, often at one instant."""

from __future__ import annotations

import random
from typing import Any

from service.core import instants
from tests.analytics_oracle import Stay
from tests.integration.analytics.support import event

START = instants.parse("2025-01-20T00:00:00Z")
CLOCK = instants.parse("2026-04-05T09:00:00Z")
CUSTOMERS = [f"c{number:02d}" for number in range(12)]
#: Half the instants are whole multiples of it, so that many are equal, and some are midnights of a zone.
STEP = 12 * instants.HOUR


def events(seed: int, count: int = 220) -> list[dict[str, Any]]:
    """Events in no order."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        customer = chance.choice([*CUSTOMERS, None])
        kind, data = _told(chance, f"o{chance.randrange(6)}")
        one = event(kind, customer, f"e{number}", instants.to_text(_instant(chance)), data)
        if chance.random() < 0.3:
            one["sequence"] = str(chance.randrange(3))
        found.append(one)
    return found


def _instant(chance: random.Random) -> int:
    # Most of it lately, so that trends and windows have something to say.
    since = START if chance.random() < 0.4 else CLOCK - 45 * instants.DAY
    at = since + chance.randrange(CLOCK - since)
    return at - at % STEP if chance.random() < 0.5 else at


def _told(chance: random.Random, order_id: str) -> tuple[str, dict[str, Any]]:
    roll = chance.random()
    money = chance.randrange(-500, 20_000) / 100
    if roll < 0.5:
        test = {"test": True} if chance.random() < 0.06 else {}
        return "order.placed", {"order_id": order_id, "currency": "USD", "total": money, **test}
    if roll < 0.62:
        changes = {"total": money} if chance.random() < 0.8 else {"status": "voided"}
        return "order.updated", {"order_id": order_id, **changes}
    if roll < 0.72:
        return "order.cancelled", {"order_id": order_id}
    about = order_id if chance.random() < 0.8 else None
    refund_id = f"r{chance.randrange(15)}"
    refund = {"refund_id": refund_id, "order_id": about, "currency": "USD"}
    return "order.refunded", {**refund, "amount": "full" if about and chance.random() < 0.3 else money}


def stays(seed: int) -> list[Stay]:
    """Stays of the customers in one segment; some never were, some begin as the one before ends."""
    chance = random.Random(seed + 1_000)
    found: list[Stay] = []
    for customer in [*CUSTOMERS, "a stranger"]:
        at = _instant(chance)
        while at < CLOCK and chance.random() < 0.8:
            left = at + chance.choice([0, instants.DAY, 30 * instants.DAY, chance.randrange(90 * instants.DAY)])
            is_open = left > CLOCK or chance.random() < 0.4
            found.append((customer, at, None if is_open else left))
            if is_open:
                break
            at = left + chance.choice([0, 1, STEP, chance.randrange(20 * instants.DAY)])
    return found


def moments(seed: int) -> list[int]:
    """Instants to ask at: now, a shared instant, one before a midnight in New York, any."""
    chance = random.Random(seed + 2_000)
    any_at = CLOCK - chance.randrange(300 * instants.DAY)
    return [CLOCK, CLOCK - CLOCK % STEP - 10 * STEP, instants.parse("2026-03-09T03:59:59.999999Z"), any_at]
