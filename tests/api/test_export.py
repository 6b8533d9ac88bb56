"""CSV exports."""

from __future__ import annotations

import asyncio
import csv
import io
import tracemalloc
from typing import Any
from uuid import UUID

import pytest
from starlette.requests import ClientDisconnect

from service.api import exports as routes
from service.api.exports import CsvExport, csv_of
from service.api.services import EXPORTS_AT_ONCE_MAX, Services
from service.app.exports import EXPORT_FIELDS, CsvLines, Export
from service.app.tokens import Permission
from tests.api.support import Api, add_many, add_members, bearer, customer, profile, token

ADA = UUID(int=1)
FULL = customer(
    ADA, "C-1", name="Lovelace, Ada", email="ada@example.com", phone="+15550142", country="GB", city="London"
)


async def _nothing() -> Any:
    """A client that says no more."""
    await asyncio.Event().wait()


async def exported(api: Api, segment: str, query: str, **options: Any) -> list[list[str]]:
    """The cells of an export."""
    response = await api.send("GET", f"/{segment}/export?format=csv&{query}", **options)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.reader(io.StringIO(response.text, newline="")))


class TestCells:
    """What stands in the file."""

    async def test_external_ids(self, api: Api) -> None:
        """A header line, then a line a member, with the columns asked for and nothing else."""
        segment = (await api.create())["id"]
        await add_many(api.database, segment, 2_500)
        response = await api.send("GET", f"/{segment}/export?format=csv&fields=external_id")

        lines = response.text.split("\n")
        assert lines[0] == "external_id"
        assert sorted(lines[1:-1]) == sorted(f"C-{number}" for number in range(1, 2_501))
        assert lines[-1] == ""
        assert f'filename="segment-{segment}.csv"' in response.headers["content-disposition"]

    async def test_every_field(self, api: Api) -> None:
        """Each field of a customer is a column; the location also in parts."""
        segment = (await api.create())["id"]
        orders = {"total_orders": 3, "total_spent": -10_000, "last_order_at": 1_709_208_000_000_000}
        await add_members(api.database, segment, [FULL], [profile(ADA, **orders)])
        header, row = await exported(api, segment, "include_customer_details=true")

        assert tuple(header) == EXPORT_FIELDS
        assert dict(zip(header, row, strict=True)) == {
            "id": str(ADA),
            "external_id": "C-1",
            "name": "Lovelace, Ada",
            "email": "ada@example.com",
            "phone": "'+15550142",
            "customer_type": "",
            "total_orders": "3",
            "total_spent": "-100.00",
            "average_order_value": "-33.33",
            "last_order_date": "2024-02-29T12:00:00Z",
            "registration_date": "",
            "location": '{"country":"GB","state":null,"city":"London"}',
            "country": "GB",
            "state": "",
            "city": "London",
            "membership_date": "2024-02-29T12:00:00Z",
            "membership_source": "event",
        }

    async def test_defaults_and_order(self, api: Api) -> None:
        """Without fields there is the external id alone; with fields their order is that of the columns."""
        segment = (await api.create())["id"]
        await add_members(api.database, segment, [FULL])

        assert await exported(api, segment, "") == [["external_id"], ["C-1"]]
        assert await exported(api, segment, "fields=city,%20external_id&include_customer_details=true") == [
            ["city", "external_id"],
            ["London", "C-1"],
        ]

    async def test_formulas_are_harmless(self, api: Api) -> None:
        """A text that a spreadsheet would run gets a leading quote; others and the external id stay as they are."""
        names = [
            "=1+1",
            "+1",
            "-1",
            "@x",
            "\tx",
            "\rx",
            "\nx",
            "\uff1d1+1",
            "\uff0b1",
            "\uff0d1",
            "\uff20x",
            "a=1",
            "'=1",
            'say "hi"',
            "two\nlines",
            "a\rb",
            "a\r\nb",
            " =1",
        ]
        segment = (await api.create())["id"]
        people = [customer(UUID(int=number), name, name=name) for number, name in enumerate(names, 1)]
        await add_members(api.database, segment, people)
        rows = await exported(api, segment, "fields=external_id,name")

        expected = [f"'{name}" if name[0] in "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20" else name for name in names]
        assert rows[1:] == [list(row) for row in zip(names, expected, strict=True)]

    async def test_byte_order_mark(self, api: Api) -> None:
        """A mark stands at the start where the request asks for one, and nowhere else."""
        segment = (await api.create())["id"]
        await add_members(api.database, segment, [FULL])
        marked = await api.send("GET", f"/{segment}/export?bom=true")

        assert marked.content == b"\xef\xbb\xbfexternal_id\nC-1\n"
        assert (await api.send("GET", f"/{segment}/export?bom=false")).content == b"external_id\nC-1\n"

    async def test_blank_cells_are_rows(self, api: Api) -> None:
        """A member of whom the only column says nothing has a line that reads back as a row."""
        segment = (await api.create())["id"]
        await add_members(api.database, segment, [FULL, customer(UUID(int=2), "C-2")])

        assert await exported(api, segment, "fields=city") == [["city"], ["London"], [""]]

    async def test_masked(self, api: Api) -> None:
        """Without customers:read_pii the file is masked like the pages."""
        segment = (await api.create())["id"]
        await add_members(api.database, segment, [FULL])
        headers = bearer(token(Permission.READ))

        rows = await exported(api, segment, "fields=name,email,phone,external_id", headers=headers)
        assert rows[1] == ["L***", "a***@example.com", "***42", "C-1"]

    async def test_nobody(self, api: Api) -> None:
        """A segment without members is a header line."""
        assert await exported(api, (await api.create())["id"], "fields=name") == [["name"]]

    @pytest.mark.parametrize(
        ("query", "path", "said"),
        [
            ("fields=external_id,shoe_size", "fields", '"shoe_size"'),
            ("fields=", "fields", '""'),
            ("fields=name,,email", "fields", '""'),
            ("fields=name,name", "fields", "twice"),
            ("fields=%00", "fields", "no field"),
            ("format=pdf", "format", "csv or xlsx"),
            ("format=", "format", "csv"),
            ("include_customer_details=perhaps", "include_customer_details", "true or false"),
            ("delimiter=;", "delimiter", "no parameter"),
            ("as_of=yesterday", "as_of", "instant"),
            ("format=xlsx&as_of=2099-01-01", "as_of", "future"),
            ("format=xlsx&fields=shoe_size", "fields", "shoe_size"),
        ],
    )
    async def test_refused(self, api: Api, query: str, path: str, said: str) -> None:
        """What cannot be exported is a 422 that names the parameter, the field and what there is."""
        segment = (await api.create())["id"]
        response = await api.send("GET", f"/{segment}/export?{query}")

        assert response.status_code == 422
        assert response.json()["errors"][0]["path"] == path
        assert said in response.json()["message"]


class TestStream:
    """How the file comes about."""

    async def test_one_instant(self, api: Api) -> None:
        """Who leaves while the export runs is still in it."""
        segment = (await api.create())["id"]
        await add_many(api.database, segment, 2_500)
        stream = csv_of(api.database, Export(UUID(segment)), CsvLines(("external_id",), can_read_pii=False))
        parts = [await anext(stream), await anext(stream)]
        await api.run("DELETE FROM customer_segment_memberships")
        parts += [part async for part in stream]

        assert len(parts) == 4
        assert "".join(parts).count("\n") == 2_501

    async def test_memory_does_not_grow(self, api: Api) -> None:
        """An export holds a thousand members at a time, not all of them."""
        segment = (await api.create())["id"]
        await add_many(api.database, segment, 25_000)
        tracemalloc.start()
        size = 0
        async for part in csv_of(api.database, Export(UUID(segment)), CsvLines(EXPORT_FIELDS, can_read_pii=True)):
            size += len(part)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

        assert size > 2_500_000
        assert peak < 2_500_000

    async def test_the_client_goes_away(self, api: Api) -> None:
        """An export whose reader has gone lets go of the database and of its turn."""
        services: Services = api.app.state.services
        segment = (await api.create())["id"]
        await add_many(api.database, segment, 2_500)
        lines = CsvLines(("external_id",), can_read_pii=False)

        async def send(message: Any) -> None:
            if len(message.get("body", b"")) > 1_000:
                raise OSError

        scope = {"type": "http", "asgi": {"spec_version": "2.4"}, "method": "GET", "headers": []}
        for _ in range(EXPORTS_AT_ONCE_MAX + 1):
            with pytest.raises(ClientDisconnect):
                await CsvExport(services, Export(UUID(segment)), lines)(scope, _nothing, send)

        assert api.database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]

    async def test_the_client_reads_no_more(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        """An export that lies unread for a while ends, and others get its turn and its connection."""
        services: Services = api.app.state.services
        segment = (await api.create())["id"]
        await add_many(api.database, segment, 2_500)
        monkeypatch.setattr(routes, "SEND_SECONDS_MAX", 0.05)

        async def send(message: Any) -> None:
            if len(message.get("body", b"")) > 1_000:
                await asyncio.sleep(60)

        scope = {"type": "http", "asgi": {"spec_version": "2.4"}, "method": "GET", "headers": []}
        lines = CsvLines(("external_id",), can_read_pii=False)
        with pytest.raises(ClientDisconnect):
            await CsvExport(services, Export(UUID(segment)), lines)(scope, _nothing, send)

        assert api.database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        assert not services.exports.locked()

    async def test_too_many(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        """An export waits for its turn, and is refused with 429 where that takes too long."""
        services: Services = api.app.state.services
        segment = (await api.create())["id"]
        for _ in range(EXPORTS_AT_ONCE_MAX):
            await services.exports.acquire()
        waiting = asyncio.create_task(api.send("GET", f"/{segment}/export"))
        await asyncio.sleep(0.1)
        is_waiting = not waiting.done()
        services.exports.release()
        monkeypatch.setattr(routes, "EXPORT_WAIT_SECONDS_MAX", 0.05)

        assert is_waiting
        assert (await waiting).status_code == 200
        await services.exports.acquire()
        refused = await api.send("GET", f"/{segment}/export")
        assert refused.status_code == 429
        assert refused.headers["retry-after"]
