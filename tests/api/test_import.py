"""Files of customers imported into segments."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx2
import pytest

from service.api import imports as routes
from service.api.imports import ImportedData
from service.api.schemas import Answer
from service.api.services import IMPORTS_AT_ONCE_MAX, Services
from service.app import imports, pins
from service.app.outgoing import decode_outbox
from service.app.tokens import Permission
from tests.api.people import People, uuid_of
from tests.api.support import BASE, Api, bearer, token


async def send(api: Api, segment: str, body: bytes | str, query: str = "", **options: Any) -> httpx2.Response:
    """POST /:id/import."""
    content = body.encode() if isinstance(body, str) else body
    headers = {"content-type": "text/csv", **options.pop("headers", {})}
    return await api.send("POST", f"/{segment}/import{query}", content=content, headers=headers, **options)


async def done(api: Api, segment: str, body: bytes | str, query: str = "", **options: Any) -> dict[str, Any]:
    """What became of the rows, where it is not nothing."""
    response = await send(api, segment, body, query, **options)
    assert response.status_code == 200, response.text
    found = Answer[ImportedData].model_validate(response.json()).data.model_dump()
    counts = ("added", "removed", "unchanged", "unknown", "erased", "ambiguous", "repeated", "faulty")
    assert found["rows"] == sum(found[name] for name in counts)
    return {name: value for name, value in found.items() if value and name != "by"}


@pytest.fixture
async def listed(api: Api) -> str:
    """A static segment without members."""
    return str((await api.create(segment_type="static", criteria={}))["id"])


@pytest.fixture
async def big(api: Api, people: People) -> str:
    """A dynamic segment with one member, rich, and one who is none, poor."""
    made = await api.create()
    await people.order("rich", 600)
    await people.order("poor", 10)
    return str(made["id"])


class TestSegments:
    """What an import does to segments."""

    async def test_static(self, api: Api, people: People, listed: str) -> None:
        """Ids nobody has heard of become members of a list and are published with the reason import; once."""
        body = "customer_id\nC-1\nC-2\nC-1\n"

        assert await done(api, listed, body) == {"rows": 3, "added": 2, "repeated": 1}
        assert await done(api, listed, body) == {"rows": 3, "unchanged": 2, "repeated": 1}
        assert await people.members(listed) == ["C-1", "C-2"]
        assert sorted(await people.changes("Big spenders")) == [
            ("C-1", "joined", "import"),
            ("C-2", "joined", "import"),
        ]
        page = (await api.send("GET", f"/{listed}/customers")).json()["data"]["customers"]
        assert {one["membership_source"] for one in page} == {"import"}

    async def test_removed_from_a_list(self, api: Api, people: People, listed: str) -> None:
        """Who is removed by a file leaves the list; who was not in it is unchanged, and who is not known is told."""
        await done(api, listed, "id\nC-1\nC-2\n")
        await people.order("C-3", 10)

        found = await done(api, listed, "id\nC-1\nC-3\nC-9\n", "?action=remove")
        assert found == {"rows": 3, "removed": 1, "unchanged": 1, "unknown": 1, "unknown_rows": ["C-9"]}
        assert await people.members(listed) == ["C-2"]
        assert (await people.changes("Big spenders"))[-1] == ("C-1", "left", "import")

    async def test_dynamic(self, api: Api, people: People, big: str) -> None:
        """On a segment with criteria they are pinned; unknown ones are told in the order of the file."""
        found = await done(api, big, "external_id\nnobody\npoor\nrich\nanother\n")

        assert found == {"rows": 4, "added": 2, "unknown": 2, "unknown_rows": ["nobody", "another"]}
        assert await people.members(big) == ["poor", "rich"]
        assert await people.pinned(big) == {"poor": "included", "rich": "included"}
        assert await people.changes("Big spenders") == [("rich", "joined", "event"), ("poor", "joined", "import")]
        listed = (await api.send("GET", f"/{big}/pins")).json()["data"]["pins"]
        assert {one["source"] for one in listed} == {"import"}

    async def test_excluded(self, api: Api, people: People, big: str) -> None:
        """Who is removed from a segment with criteria stays out whatever these say."""
        assert await done(api, big, "rich\npoor\n", "?action=remove") == {"rows": 2, "removed": 2}
        await people.order("poor", 900)

        assert await people.members(big) == []

    async def test_erased(self, api: Api, people: People, big: str, listed: str) -> None:
        """Who has been erased is told and stays erased, in lists too."""
        await people.event("customer.deleted", "rich")

        assert await done(api, big, "rich") == {"rows": 1, "erased": 1}
        assert await done(api, listed, "rich") == {"rows": 1, "erased": 1}

    async def test_uuids(self, api: Api, people: People, big: str) -> None:
        """The API's own ids of customers name them as well as the events' ids do."""
        assert await done(api, big, f"id\n{str(uuid_of('poor')).upper()}\npoor\n") == {
            "rows": 2,
            "added": 1,
            "repeated": 1,
        }

    async def test_cut_short(self, api: Api, people: People, listed: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """What was done before it was cut short stays, and the same file again does the rest, all published once."""
        monkeypatch.setattr(routes, "CUSTOMERS_AT_ONCE_MAX", 10)
        left, done_once = 3, imports.pin_some

        async def stopping(*arguments: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise pins.Contention
            return await done_once(*arguments)

        monkeypatch.setattr(imports, "pin_some", stopping)
        names = [f"C-{number:03}" for number in range(95)]
        refused = await send(api, listed, "\n".join(names))
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert len(await people.members(listed)) == 30

        monkeypatch.setattr(imports, "pin_some", done_once)
        assert await done(api, listed, "\n".join(names)) == {"rows": 95, "added": 65, "unchanged": 30}
        assert sorted(one[0] for one in await people.changes("Big spenders")) == names

    async def test_at_once(self, api: Api, people: People, listed: str) -> None:
        """The same file from two senders at once makes and publishes each customer once."""
        names = [f"C-{number}" for number in range(3_000)]
        found = await asyncio.gather(*(done(api, listed, "\n".join(order)) for order in (names, names[::-1])))

        assert sum(one.get("added", 0) for one in found) == 3_000
        assert sum(one.get("unchanged", 0) for one in found) == 3_000
        assert len(await _published(api)) == len(set(await _published(api))) == 3_000

    async def test_missing(self, shared: Api) -> None:
        """No segment: 404, whatever the file holds."""
        assert (await send(shared, "nonsense", "C-1")).status_code == 404
        assert (await send(shared, str(UUID(int=5)), b"\xff")).status_code == 404

    async def test_slow_senders_keep_nobody_waiting(self, api: Api, listed: str) -> None:
        """A turn begins when the file is there."""
        is_waiting, going_on = asyncio.Event(), asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            yield b"customer_id\n"
            is_waiting.set()
            await going_on.wait()
            yield b"C-2\n"

        headers = {**bearer(token(*Permission)), "content-type": "text/csv"}
        address = f"{BASE}/{listed}/import"
        slow = [
            asyncio.create_task(api.client.post(address, content=body(), headers=headers))
            for _ in range(IMPORTS_AT_ONCE_MAX)
        ]
        await is_waiting.wait()

        assert (await asyncio.wait_for(send(api, listed, "C-1"), 10)).status_code == 200
        going_on.set()
        assert [one.status_code for one in await asyncio.gather(*slow)] == [200] * IMPORTS_AT_ONCE_MAX

    async def test_too_many(self, api: Api, listed: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """An import waits for its turn, and is refused with 429 where that takes too long."""
        services: Services = api.app.state.services
        monkeypatch.setattr(routes, "IMPORT_WAIT_SECONDS_MAX", 0.05)
        for _ in range(IMPORTS_AT_ONCE_MAX):
            await services.imports.acquire()
        refused = await send(api, listed, "C-1")
        services.imports.release()

        assert refused.status_code == 429
        assert refused.headers["retry-after"]
        assert (await send(api, listed, "C-1")).status_code == 200


class TestEmails:
    """Customers named by their addresses."""

    async def test_by_email(self, api: Api, people: People, big: str) -> None:
        """Whatever its case an address stands for the customer who has it; nobody and several are told."""
        for name, email in (("poor", "Poor@Example.com"), ("a", "two@example.com"), ("b", "TWO@example.com")):
            await people.event("customer.updated", name, email=email)
        body = "name,E-Mail,email\nx,y,poor@EXAMPLE.com\n,,two@example.com\n,,none@example.com\n,,nonsense\n"

        assert await done(api, big, body) == {
            "rows": 4,
            "added": 1,
            "ambiguous": 1,
            "unknown": 1,
            "faulty": 1,
            "ambiguous_rows": ["two@example.com"],
            "unknown_rows": ["none@example.com"],
            "faults": [{"line": 5, "message": "must be an e-mail address of at most 320 characters"}],
        }
        assert await people.members(big) == ["poor", "rich"]

    async def test_unknown_addresses_make_nobody(self, api: Api, people: People, listed: str) -> None:
        """A list takes no customer of whom nothing but an address is known."""
        assert await done(api, listed, "email\nada@example.com\n") == {
            "rows": 1,
            "unknown": 1,
            "unknown_rows": ["ada@example.com"],
        }
        assert await people.members(listed) == []

    async def test_an_address_of_the_past(self, api: Api, people: People, big: str) -> None:
        """An address that the customer has no more finds nobody."""
        await people.event("customer.updated", "poor", email="old@example.com")
        await people.event("customer.updated", "poor", email="new@example.com")

        assert (await done(api, big, "email\nold@example.com\n"))["unknown"] == 1
        assert (await done(api, big, "email\nnew@example.com\n"))["added"] == 1

    async def test_two_addresses_in_case_only(self, api: Api, people: People, big: str) -> None:
        """The same address in two cases is one customer and a repeated row."""
        await people.event("customer.updated", "poor", email="\u00c4da@example.com")

        found = await done(api, big, "email\n\u00c4da@example.com\n\u00e4DA@EXAMPLE.COM\n")
        assert (found["rows"], found["added"], found["repeated"]) == (2, 1, 1)

    async def test_without_a_header(self, api: Api, people: People, big: str) -> None:
        """A first row that is an address makes it a file of addresses, unless the request says otherwise."""
        await people.event("customer.updated", "poor", email="poor@example.com")
        await people.order("id@example.com", 1)

        assert await done(api, big, "poor@example.com\n") == {"rows": 1, "added": 1}
        assert await done(api, big, "id@example.com\n", "?by=id") == {"rows": 1, "added": 1}

    @pytest.mark.parametrize("body", ["email\nada@example.com\n", "ada@example.com"])
    async def test_needs_its_permission(self, api: Api, listed: str, body: str) -> None:
        """Who may not read personal data cannot find out by an import whether somebody is a customer."""
        headers = bearer(token(Permission.UPDATE))
        refused = await send(api, listed, body, headers=headers)

        assert refused.status_code == 403
        assert Permission.READ_PII in refused.json()["message"]
        assert (await send(api, listed, "customer_id\nC-1\n", headers=headers)).status_code == 200

    async def test_the_index_finds_them(self, api: Api) -> None:
        """A look-up asks the index, not every customer."""
        statement = "EXPLAIN SELECT 1 FROM customers WHERE lower(email) = lower($1) AND email IS NOT NULL"
        async with api.database.session() as connection:
            await connection.execute("SET enable_seqscan = off")
            plan = await connection.fetch(statement, "a@example.com")
            await connection.execute("RESET enable_seqscan")

        assert any("customers_email_idx" in row[0] for row in plan)


class TestToken:
    """Who may import."""

    async def test_the_token_comes_first(self, shared: Api) -> None:
        """Who may not change segments learns nothing about the file."""
        response = await shared.client.post(
            f"{BASE}/{UUID(int=5)}/import", content=b"\xff", headers=bearer(token(Permission.READ))
        )

        assert response.status_code == 403


async def _published(api: Api) -> list[str]:
    async with api.database.session() as connection:
        rows = await connection.fetch("SELECT payload FROM outbox ORDER BY id")
    return [
        json.loads(value or b"")["external_id"]
        for (payload,) in rows
        for _, _, value, _ in decode_outbox(payload, "membership")
    ]
