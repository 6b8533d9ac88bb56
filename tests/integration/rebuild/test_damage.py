"""Whatever verify finds is repaired, and what is published leads from what was stored to what the facts say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from service.core.identity import customer_uuid
from tests.facts import Service
from tests.integration.rebuild.support import counts, drain, net, open_memberships, published, rebuilt, versions
from tests.integration.verify import language, plain, test_language_drift
from tests.integration.verify.language import Shop
from tests.integration.verify.plain import apply_change
from tests.integration.verify.support import damage

Damage = Callable[[], Awaitable[None]]
NAMES = ("c1", "c2", "c3", "c4", "c5", "stranger", "nobody")


async def check(service: Service, now: int, harm: Damage) -> None:
    """Repairs a damage, and holds what was done against what had to be done."""
    await drain(service)
    numbers = await open_memberships(service)
    await harm()
    harmed = set(await open_memberships(service))

    dry = await rebuilt(service, now, is_emitting=False)
    assert await published(service) == []
    done = await rebuilt(service, now)

    assert done.repaired is not None
    assert done.repaired.set_aside == []
    assert done.repaired.customers == len(dry.report.customer_ids) == dry.to_json()["customers"]
    changes = await published(service)
    stored = await open_memberships(service)
    assert net(harmed, changes) == set(stored)
    assert len(changes) == len(harmed ^ set(stored))
    assert {one.reason for one in changes} <= {"rebuild", "erasure"}
    assert {one.effective_at for one in changes} <= {now}
    assert all(one.sequence > numbers.get((one.customer_id, one.segment_id), 0) for one in changes)
    await drain(service)
    members: dict[UUID, int] = {}
    for _, segment_id in stored:
        members[segment_id] = members.get(segment_id, 0) + 1
    assert {one: count for one, count in (await counts(service)).items() if count} == members
    before = await versions(service)
    again = await rebuilt(service, now)
    assert not again.differs, again.to_json()
    assert await versions(service) == before
    await service.fire(now)
    assert await published(service) == []


class TestPlain:
    """Attributes and orders."""

    @pytest.mark.parametrize("name", plain.CHANGES)
    async def test_damage_is_repaired(self, service: Service, name: str) -> None:
        """Each damage is repaired; the same again changes no row."""
        await check(service, plain.NOW, lambda: apply_change(service, name))

    @pytest.mark.parametrize(
        "tables", [("profiles", "customers", "orders"), ("customer_segment_memberships", "orders")]
    )
    async def test_everything_lost(self, service: Service, tables: tuple[str, ...]) -> None:
        """With the facts and the numbers of transitions left, everything comes back as it was."""
        sound = set(await open_memberships(service))

        async def harm() -> None:
            for table in tables:
                await service.run(f"DELETE FROM {table}")  # noqa: S608 - a test's own words

        await check(service, plain.NOW, harm)
        assert set(await open_memberships(service)) == sound


class TestLanguage:
    """Behaviour, other segments, pins, orders."""

    @pytest.mark.parametrize("name", test_language_drift.CHANGES)
    async def test_damage_is_repaired(self, shop: Shop, name: str) -> None:
        """Each damage is repaired; the same again changes no row."""
        statement = test_language_drift.CHANGES[name][0]
        given: dict[str, UUID] = {**shop.ids, **{one: customer_uuid(one) for one in NAMES}}
        await check(shop, language.NOW, lambda: damage(shop, statement, given))
