"""The routes of one segment's pins."""

from __future__ import annotations

from typing import Any

import httpx2

from service.api.schemas import Answer, PinsChanged
from tests.api.people import ids
from tests.api.support import Api


async def done(response: httpx2.Response) -> dict[str, Any]:
    """What became of the customers, where it is not nothing."""
    assert response.status_code == 200, response.text
    answer = Answer[PinsChanged].model_validate(response.json()).data.model_dump()
    return {name: value for name, value in answer.items() if value}


class Segment:
    """One segment's routes of pins."""

    def __init__(self, api: Api, segment: dict[str, Any]) -> None:
        self.api, self.id = api, segment["id"]

    async def add(self, *customers: str) -> dict[str, Any]:
        """POST /:id/customers."""
        return await done(await self.api.send("POST", f"/{self.id}/customers", json=ids(*customers)))

    async def remove(self, *customers: str) -> dict[str, Any]:
        """DELETE /:id/customers."""
        return await done(await self.api.send("DELETE", f"/{self.id}/customers", json=ids(*customers)))

    async def unpin(self, *customers: str) -> dict[str, Any]:
        """DELETE /:id/pins, of all where nobody is named."""
        body = {"json": ids(*customers)} if customers else {}
        return await done(await self.api.send("DELETE", f"/{self.id}/pins", **body))
