"""Excel workbooks, read back by another program than the one that wrote them."""

from __future__ import annotations

import asyncio
import csv
import io
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import openpyxl
import pytest
from starlette.requests import ClientDisconnect

from service.adapters import workbook
from service.adapters.workbook import MembersWorkbook
from service.api import exports
from service.api.exports import WorkbookExport
from service.api.services import EXPORTS_AT_ONCE_MAX, Services
from service.app.exports import EXPORT_FIELDS, Cells, Export
from service.app.tokens import Permission
from tests.api.support import Api, add_many, add_members, bearer, customer, profile, token

ADA = UUID(int=1)
#: What takes longer never comes.
HANGS_SECONDS = 20
#: Texts that a spreadsheet, XML or the writer itself could take for something else.
HOSTILE = [
    "=1+1",
    '=HYPERLINK("http://example.com","x")',
    "{=1+1}",
    "+1",
    "-1",
    "@SUM(1)",
    "\tx",
    "\rx",
    "a\r\nb",
    "two\nlines",
    " spaces ",
    "http://example.com",
    "internal:Sheet1!A1",
    "mailto:a@b.c",
    "12",
    "1e5",
    "007",
    "TRUE",
    "<r><t>rich</t></r>",
    "<r>&broken</r>",
    "]]></t><script>",
    "&amp;",
    "_x0041_",
    "\x01\x1f",
    "\ufffe\uffff",
    "\U0001f600",
    "cmd|' /C calc'!A0",
    "\u202e reversed",
]


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of temporary files, empty before and after."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


async def workbook_of(api: Api, segment: str, query: str, **options: Any) -> Any:
    """An export, opened."""
    response = await api.send("GET", f"/{segment}/export?format=xlsx&{query}", **options)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == exports.XLSX_MEDIA_TYPE
    assert f'filename="segment-{segment}.xlsx"' in response.headers["content-disposition"]
    assert int(response.headers["content-length"]) == len(response.content)
    return openpyxl.load_workbook(io.BytesIO(response.content))


def rows_of(sheet: Any) -> list[list[Any]]:
    """What stands in a sheet."""
    return [[cell.value for cell in row] for row in sheet.iter_rows()]


class TestCells:
    """What stands in the file."""

    async def test_every_field(self, api: Api, scratch: Path) -> None:
        """Numbers are numbers, money with two decimals, and all else is text, instants too; a missing text is empty."""
        segment = (await api.create())["id"]
        orders = {"total_orders": 3, "total_spent": -10_001, "last_order_at": 1_709_208_000_123_456}
        people = [customer(ADA, "C-1", name="Ada", email="ada@example.com", phone="+15550142", country="GB")]
        await add_members(api.database, segment, people, [profile(ADA, **orders)])
        book = await workbook_of(api, segment, "include_customer_details=true")
        header, row = book["members"].iter_rows()

        assert tuple(cell.value for cell in header) == EXPORT_FIELDS
        assert {name.value: cell.value for name, cell in zip(header, row, strict=True)} == {
            "id": str(ADA),
            "external_id": "C-1",
            "name": "Ada",
            "email": "ada@example.com",
            "phone": "+15550142",
            "customer_type": None,
            "total_orders": 3,
            "total_spent": -100.01,
            "average_order_value": -33.34,
            "last_order_date": "2024-02-29T12:00:00.123456Z",
            "registration_date": None,
            "location": '{"country":"GB","state":null,"city":null}',
            "country": "GB",
            "state": None,
            "city": None,
            "membership_date": "2024-02-29T12:00:00Z",
            "membership_source": "event",
        }
        formats = {name.value: cell.number_format for name, cell in zip(header, row, strict=True)}
        assert (formats["total_spent"], formats["total_orders"]) == ("0.00", "General")

    async def test_hostile_texts(self, api: Api, scratch: Path) -> None:
        """Whatever a text looks like, the cell holds this text: no formula, no link, no number, no markup."""
        segment = (await api.create())["id"]
        people = [customer(UUID(int=number), text, name=text) for number, text in enumerate(HOSTILE, 1)]
        await add_members(api.database, segment, people)
        sheet = (await workbook_of(api, segment, "fields=external_id,name"))["members"]

        for text, row in zip(HOSTILE, list(sheet.iter_rows())[1:], strict=True):
            for cell in row:
                assert cell.data_type == "s"
                assert cell.hyperlink is None
                assert openpyxl.utils.escape.unescape(cell.value) == text, text

    async def test_what_it_is(self, api: Api, scratch: Path) -> None:
        """The sheet about says of whom the file is, from when, with which columns, and how many rows it has."""
        segment = (await api.create(segment_name="=1+1 <b>"))["id"]
        await add_many(api.database, segment, 900)
        book = await workbook_of(api, segment, "fields=external_id,total_orders")
        page = (await api.send("GET", f"/{segment}/customers")).json()["data"]

        assert book.sheetnames == ["members", "about"]
        assert dict(rows_of(book["about"])) == {
            "segment": "=1+1 <b>",
            "segment_id": segment,
            "as_of": page["as_of"],
            "fields": "external_id, total_orders",
            "rows": page["total"],
        }
        assert len(rows_of(book["members"])) == 901

    async def test_the_same_as_csv(self, api: Api, scratch: Path) -> None:
        """Both formats have the same members in the same order."""
        segment = (await api.create())["id"]
        await add_many(api.database, segment, 3_000)
        response = await api.send("GET", f"/{segment}/export?fields=id,external_id")
        book = await workbook_of(api, segment, "fields=id,external_id")

        assert rows_of(book["members"]) == list(csv.reader(io.StringIO(response.text)))

    async def test_masked(self, api: Api, scratch: Path) -> None:
        """Without customers:read_pii the file is masked like the pages."""
        segment = (await api.create())["id"]
        await add_members(api.database, segment, [customer(ADA, "C-1", name="Ada", email="ada@example.com")])
        headers = bearer(token(Permission.READ))
        book = await workbook_of(api, segment, "fields=name,email,phone,external_id", headers=headers)

        assert rows_of(book["members"])[1] == ["A***", "a***@example.com", None, "C-1"]

    async def test_nobody(self, api: Api, scratch: Path) -> None:
        """A segment without members is a header line."""
        book = await workbook_of(api, (await api.create())["id"], "fields=name")

        assert rows_of(book["members"]) == [["name"]]
        assert dict(rows_of(book["about"]))["rows"] == 0

    async def test_members_then(self, api: Api, scratch: Path) -> None:
        """With as_of the members are those of that instant, in both formats, and the file says so."""
        segment = (await api.create())["id"]
        await add_many(api.database, segment, 3)
        await api.run("UPDATE customer_segment_memberships SET joined_at = '2023-01-02', left_at = '2023-01-03'")
        for as_of, count in (("2023-01-01", 0), ("2023-01-02", 3), ("2023-01-03", 0)):
            book = await workbook_of(api, segment, f"as_of={as_of}")
            lines = (await api.send("GET", f"/{segment}/export?as_of={as_of}")).text

            about = dict(rows_of(book["about"]))
            assert (about["rows"], about["as_of"]) == (count, f"{as_of}T00:00:00Z")
            assert lines.count("\n") == count + 1

    def test_many_sheets(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What Excel has no rows for goes on in the next sheet, under a header of its own."""
        monkeypatch.setattr(workbook, "SHEET_ROWS_MAX", 10)
        book = MembersWorkbook(tmp_path / "x.xlsx", Cells(("external_id", "total_orders"), can_read_pii=True))
        for first in range(0, 25, 5):
            book.add([(f"C-{number}", ADA, number) for number in range(first, first + 5)])
        book.close([("rows", book.rows)])
        found = openpyxl.load_workbook(tmp_path / "x.xlsx")

        assert found.sheetnames == ["members", "members_2", "members_3", "about"]
        assert [len(rows_of(found[name])) for name in found.sheetnames] == [11, 11, 6, 1]
        assert [rows_of(found["members_3"])[at] for at in (0, 1, 5)] == [
            ["external_id", "total_orders"],
            ["C-20", 20],
            ["C-24", 24],
        ]

    def test_long_texts(self, tmp_path: Path) -> None:
        """A text that Excel has no room for is cut; the file can be read."""
        book = MembersWorkbook(tmp_path / "x.xlsx", Cells(("location",), can_read_pii=True))
        book.add([("\U0001f600" * 10_000, "\x01" * 10_000, None)])
        book.close([("rows", book.rows)])
        cell = openpyxl.load_workbook(tmp_path / "x.xlsx")["members"]["A2"].value

        assert cell.startswith('{"country":"\U0001f600')
        assert len(cell) <= 32_767


class TestFile:
    """How the file comes about."""

    async def test_the_client_goes_away(self, api: Api, scratch: Path) -> None:
        """An export that nobody waits for any more leaves no file, no connection and no turn behind."""
        services: Services = api.app.state.services
        segment = (await api.create())["id"]
        await add_many(api.database, segment, 20_000)
        for at_once in (False, True):
            for _ in range(EXPORTS_AT_ONCE_MAX + 1):
                with pytest.raises(ClientDisconnect):
                    await self._left_alone(services, UUID(segment), at_once=at_once)

        assert api.database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]

    async def _left_alone(self, services: Services, segment: UUID, *, at_once: bool) -> None:
        """An export whose client goes while the file is made, or while it is sent."""

        async def receive() -> Any:
            await asyncio.sleep(0.05 if at_once else 3_600)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            assert not at_once, "nobody is there to be sent anything"
            if message.get("body"):
                raise OSError

        scope = {"type": "http", "asgi": {"spec_version": "2.4"}, "method": "GET", "headers": []}
        cells = Cells(EXPORT_FIELDS, can_read_pii=True)
        await WorkbookExport(services, Export(segment), cells)(scope, receive, send)

    async def test_others_are_answered_meanwhile(
        self, api: Api, scratch: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While a workbook is made, and however long that takes, other requests are answered."""
        segment = (await api.create())["id"]
        await add_many(api.database, segment, 100)
        is_adding, going_on, add = threading.Event(), threading.Event(), MembersWorkbook.add

        def slowly(book: MembersWorkbook, rows: Any) -> None:
            is_adding.set()
            assert going_on.wait(HANGS_SECONDS)
            add(book, rows)

        monkeypatch.setattr(MembersWorkbook, "add", slowly)
        making = asyncio.create_task(workbook_of(api, segment, "include_customer_details=true"))
        try:
            assert await asyncio.to_thread(is_adding.wait, HANGS_SECONDS)
            assert (await api.client.get("/livez")).status_code == 200
        finally:
            going_on.set()

        assert len(rows_of((await making)["members"])) == 101

    async def test_no_room(self, api: Api, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A disk that is full is a 503 with a sentence, and nothing stays behind."""

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(workbook._Sheet, "add_rows", full)
        monkeypatch.setattr(MembersWorkbook, "_begun", lambda *_: workbook._Sheet())
        segment = (await api.create())["id"]
        await add_many(api.database, segment, 10)
        response = await api.send("GET", f"/{segment}/export?format=xlsx")

        assert response.status_code == 503
        assert "room" in response.json()["message"]

    async def test_too_many_members(self, api: Api, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """More members than a workbook takes is a 422 that says to take CSV."""
        monkeypatch.setattr(exports, "ROWS_MAX", 9)
        segment = (await api.create())["id"]
        await add_many(api.database, segment, 10)
        response = await api.send("GET", f"/{segment}/export?format=xlsx")

        assert response.status_code == 422
        assert "csv" in response.json()["message"]
        assert (await api.send("GET", f"/{segment}/export")).text.count("\n") == 11
