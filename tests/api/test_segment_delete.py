"""Deleting segments, and routes of those that are not there."""

from __future__ import annotations

from uuid import UUID

import pytest

from service.adapters.postgres.catalogue import load_catalogue
from service.core.segments.catalogue import NOBODY
from tests.api.support import Api, with_customers


class TestDelete:
    """DELETE /:id, and what is not there."""

    async def test_delete(self, api: Api) -> None:
        """A deleted segment is found no more; its members leave with a backfill, silently if asked."""
        await with_customers(api)
        segment = await api.create()
        response = await api.send("DELETE", f"/{segment['id']}?emit=none")

        row = await api.row(segment["id"])
        assert response.status_code == 200
        assert response.json()["data"]["is_deleted"] is True
        assert (row.introduced, row.is_kept, row.is_silent, row.backfill_state) == (2, True, True, "running")
        assert (await api.send("GET", f"/{segment['id']}")).status_code == 404
        assert (await api.send("GET")).json()["data"]["total"] == 0
        async with api.database.batch() as connection:
            assert (await load_catalogue(connection)).definitions[0].criteria == NOBODY

    async def test_delete_of_a_draft(self, api: Api) -> None:
        """A draft has no members who could leave."""
        await with_customers(api)
        segment = await api.create(status="draft")
        await api.send("DELETE", f"/{segment['id']}")

        row = await api.row(segment["id"])
        assert (row.introduced, row.is_kept, row.backfill_state, row.is_deleted) == (0, False, "none", True)

    @pytest.mark.parametrize(
        "segment", [str(UUID(int=5)), "nonsense", "00000000000000000000000000000005", "%00", "%ff", "é"]
    )
    @pytest.mark.parametrize(
        ("method", "path"), [("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/customers"), ("GET", "/export")]
    )
    async def test_missing(self, shared: Api, segment: str, method: str, path: str) -> None:
        """What names no segment is a 404 on every route, whatever its form."""
        body = {"segment_name": "x"} if method == "PUT" else None
        response = await shared.send(method, f"/{segment}{path}", json=body)

        assert response.status_code == 404
        assert "There is no segment" in response.json()["message"]
