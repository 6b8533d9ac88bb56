"""GET /:id/pins, page by page."""

from __future__ import annotations

from uuid import uuid4

import pytest

from service.api.schemas import Answer, PinPage
from tests.api.people import People, uuid_of
from tests.api.pins.support import Segment
from tests.api.support import Api


class TestPages:
    """GET /:id/pins."""

    async def test_shape(self, api: Api, people: People, big: Segment) -> None:
        """A pin shows whom, which way, and who did it when, by what means."""
        await big.remove("poor")
        response = await api.send("GET", f"/{big.id}/pins")

        page = Answer[PinPage].model_validate(response.json()).data
        assert page.total == 1
        (pin,) = response.json()["data"]["pins"]
        assert pin.pop("created_at")
        assert pin == {
            "customer_id": str(uuid_of("poor")),
            "external_id": "poor",
            "pin": "excluded",
            "source": "manual",
            "created_by": "u-1",
            "creator_name": "Ursula Main",
        }

    async def test_pages(self, api: Api) -> None:
        """All pins come out once each, in the order of ids."""
        listed = Segment(api, await api.create(segment_type="static", criteria={}))
        names = [f"C-{number}" for number in range(25)]
        await listed.add(*names)
        found, cursor = [], ""
        for _ in range(10):
            data = (await api.send("GET", f"/{listed.id}/pins?limit=7{cursor}")).json()["data"]
            found += [one["customer_id"] for one in data["pins"]]
            assert data["total"] == 25
            if data["next_cursor"] is None:
                break
            cursor = f"&cursor={data['next_cursor']}"

        assert found == sorted(str(uuid_of(name)) for name in names)

    @pytest.mark.parametrize("query", ["limit=0", "limit=1001", "cursor=x", "page=1"])
    async def test_refused(self, shared: Api, query: str) -> None:
        """Parameters that cannot be used are a 422 that names them."""
        response = await shared.send("GET", f"/{uuid4()}/pins?{query}")

        assert response.status_code == 422
        assert response.json()["errors"][0]["path"] == query.split("=")[0]
