"""POST /:id/refresh: what does not follow from the facts is repaired and published."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from service.api.refresh import RefreshedSegment
from service.api.schemas import Answer
from service.core.identity import customer_uuid
from tests.api.people import People
from tests.api.support import BIG, NOW, Api

LOST = "DELETE FROM customer_segment_memberships WHERE customer_id = :customer"
OPENED = """
INSERT INTO customer_segment_memberships
    (customer_id, segment_id, ordinal, joined_at, membership_source, segment_version)
VALUES (:customer, CAST(:segment AS uuid), 1, now(), 'event', 1)
"""


COUNTED = """
SELECT customer_count + coalesce((SELECT sum(CAST(counts ->> CAST(s.id AS text) AS bigint)) FROM outbox), 0)
FROM customer_segments s WHERE id = $1
"""


async def counted(api: Api, segment: str) -> int:
    """The count of members when all that waits is published."""
    async with api.database.session() as connection:
        return int(await connection.fetchval(COUNTED, UUID(segment)))


async def refresh(api: Api, segment: str) -> dict[str, Any]:
    """The segment, refreshed."""
    response = await api.send("POST", f"/{segment}/refresh")
    assert response.status_code == 200, response.text
    Answer[RefreshedSegment].model_validate(response.json())
    return response.json()["data"]


@pytest.fixture
async def segment(api: Api, people: People) -> str:
    """Big spenders: C-1 and C-2 of three customers."""
    for number, total in enumerate((10, 600, 700)):
        await people.order(f"C-{number}", total)
    made = await api.create(criteria=BIG)
    await people.backfill()
    return made["id"]


class TestRefresh:
    """POST /:id/refresh."""

    async def test_sound(self, api: Api, people: People, segment: str) -> None:
        """A segment that is as it must be is answered as it is; nothing is published."""
        before = await people.published()
        data = await refresh(api, segment)
        shown = (await api.send("GET", f"/{segment}")).json()["data"]

        assert data.pop("repaired") == {"joined": 0, "left": 0, "profiles": 0, "set_aside": 0}
        assert {**data, "customer_count": 2} == {**shown, "customer_count": 2}
        assert await people.published() == before

    async def test_the_counts_of_other_segments(self, api: Api, people: People, segment: str) -> None:
        """Customers are repaired as a whole, and so is what other segments count of them."""
        other = (await api.create(criteria={}))["id"]
        await people.backfill()
        before = await counted(api, other)
        await api.run(LOST, customer=customer_uuid("C-1"))
        await refresh(api, segment)

        assert (before, await counted(api, other)) == (3, 3)

    async def test_repairs(self, api: Api, people: People, segment: str) -> None:
        """Members that were lost join, others leave, profiles are counted; the answer says how many."""
        before = await people.published()
        await api.run(LOST, customer=customer_uuid("C-1"))
        await api.run(OPENED, customer=customer_uuid("C-0"), segment=segment)
        await api.run(
            "UPDATE profiles SET total_spent = 0 WHERE customer_id = :customer", customer=customer_uuid("C-2")
        )
        data = await refresh(api, segment)

        assert data["repaired"] == {"joined": 1, "left": 1, "profiles": 3, "set_aside": 0}
        assert await people.members(segment) == ["C-1", "C-2"]
        changes = (await people.published())[len(before) :]
        assert sorted((one.external_id, one.change, one.reason, one.sequence, one.at) for one in changes) == [
            ("C-0", "left", "rebuild", 2, NOW),
            ("C-1", "joined", "rebuild", 3, NOW),
        ]
        assert (await refresh(api, segment))["repaired"]["profiles"] == 0

    async def test_other_segments(self, api: Api, people: People, segment: str) -> None:
        """A customer who differs is repaired in other segments too; the answer counts this one's changes alone."""
        other = await api.create(segment_name="Buyers", criteria={"total_orders": {"operator": "gte", "value": 1}})
        await people.backfill()
        await api.run(LOST, customer=customer_uuid("C-1"))
        data = await refresh(api, other["id"])

        assert data["repaired"] == {"joined": 1, "left": 0, "profiles": 1, "set_aside": 0}
        assert await people.members(segment) == ["C-1", "C-2"]

    async def test_refused(self, api: Api, segment: str) -> None:
        """What has no members is refused with a sentence; what is not there is not found."""
        draft = await api.create(status="draft")
        answers = [
            await api.send("POST", f"/{draft['id']}/refresh"),
            await api.send("POST", f"/{uuid4()}/refresh"),
            await api.send("POST", "/nothing/refresh"),
            await api.send("POST", f"/{segment}/refresh?emit=none"),
        ]

        assert [one.status_code for one in answers] == [409, 404, 404, 422]
        assert "draft" in answers[0].json()["message"]

    async def test_one_at_a_time(self, api: Api, segment: str) -> None:
        """While one is under way another is refused, to be tried again."""
        async with api.app.state.services.refreshes:
            response = await api.send("POST", f"/{segment}/refresh")

        assert response.status_code == 429
        assert response.headers["retry-after"]
        assert (await api.send("POST", f"/{segment}/refresh")).status_code == 200
