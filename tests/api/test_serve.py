"""The API as a process, and the commands beside it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import httpx2
import openpyxl
import pytest
import typer
from sqlalchemy import text

from service.adapters.postgres.database import Database
from service.api.server import listen
from service.app.tokens import Permission
from service.cli.token import _ttl_seconds
from tests.api.support import BASE, BIG, SECRET, Api, add_many, add_members, bearer, customer, token

SECONDS_MAX = 30


def environment(database_url: str) -> dict[str, str]:
    """Settings of a process; no broker is there."""
    given = {"DATABASE_URL": database_url, "KAFKA_BOOTSTRAP": "127.0.0.1:1", "JWT_SECRET": SECRET}
    return {**os.environ, **{f"SEGMENTS_{name}": value for name, value in given.items()}}


async def start(database_url: str, module: str, *arguments: str, **changes: str) -> Process:
    """A command in a process of its own."""
    code = f"import typer, service.cli.{module} as m; typer.run(m.{module})"
    env = {**environment(database_url), **changes}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *arguments, env=env, stdout=PIPE, stderr=PIPE
    )


async def run(database_url: str, module: str, *arguments: str, **changes: str) -> tuple[int, str, str]:
    """A command's exit code, output and errors."""
    process = await start(database_url, module, *arguments, **changes)
    out, err = await asyncio.wait_for(process.communicate(), SECONDS_MAX)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def names_in(folder: Path) -> list[str]:
    """What lies in a folder."""
    return [path.name for path in folder.iterdir()]


def free_port() -> int:
    """A port that was free just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@asynccontextmanager
async def serving(database_url: str, **changes: str) -> AsyncIterator[tuple[Process, httpx2.AsyncClient]]:
    """A server that answers, and a client on it."""
    port = free_port()
    process = await start(database_url, "serve", "--port", str(port), **changes)
    headers = bearer(token(*Permission))
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
            async with asyncio.timeout(SECONDS_MAX):
                while not await _answers(client):  # noqa: ASYNC110 - it is another process
                    await asyncio.sleep(0.1)
            yield process, client
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _answers(client: httpx2.AsyncClient) -> bool:
    try:
        return (await client.get("/livez")).status_code == 200
    except httpx2.TransportError:
        return False


class TestServe:
    """segments serve."""

    async def test_serves_and_stops(self, database_url: str) -> None:
        """It answers over a real socket, and SIGTERM ends it with 0; nothing secret or personal is in its log."""
        async with serving(database_url) as (process, client):
            created = await client.post(BASE, json={"segment_name": "Secret name", "criteria": BIG})
            ready = await client.get("/readyz")
            await client.get(BASE, params={"search": "Secret"})
            await client.get(f"{BASE}/Secret")
            process.send_signal(signal.SIGTERM)
            out, err = await asyncio.wait_for(process.communicate(), SECONDS_MAX)

        assert created.status_code == 201
        assert "server" not in created.headers
        assert [fault["path"] for fault in ready.json()["errors"]] == ["broker"]
        assert process.returncode == 0, err
        log = (out + err).decode()
        assert '"route": "/api/customer-segments/{segment}"' in log
        for hidden in ("Secret", SECRET, token().split(".", 1)[0], "Ursula"):
            assert hidden not in log

    async def test_what_is_under_way_is_finished(self, database: Database, database_url: str) -> None:
        """An export that runs when SIGTERM comes is sent to its end."""
        segment = str(uuid4())
        async with serving(database_url) as (process, client):
            segment = (await client.post(BASE, json={"segment_name": "x", "criteria": {}})).json()["data"]["id"]
            await add_many(database, segment, 20_000)
            query = "fields=id,external_id,membership_date"
            async with client.stream("GET", f"{BASE}/{segment}/export?{query}") as response:
                parts = response.aiter_text()
                received = await anext(parts)
                process.send_signal(signal.SIGTERM)
                received += "".join([part async for part in parts])

            assert received.count("\n") == 20_001
            assert await asyncio.wait_for(process.wait(), SECONDS_MAX) == 0

    async def test_a_broken_export_is_seen_as_broken(self, database: Database, database_url: str) -> None:
        """An export that loses the database ends without the mark of its end, so that no client takes it for whole."""
        async with serving(database_url) as (_, client):
            segment = (await client.post(BASE, json={"segment_name": "x", "criteria": {}})).json()["data"]["id"]
            await add_many(database, segment, 60_000)
            address = f"{BASE}/{segment}/export?include_customer_details=true"
            with pytest.raises(httpx2.RemoteProtocolError):
                await _read_while_the_database_goes(client, database, address)

            assert (await client.get(BASE)).status_code in (200, 503)
            assert (await client.get(BASE)).status_code == 200

    def test_answers_are_sent_at_once(self) -> None:
        """No answer's body waits for the acknowledgement of its headers."""
        with listen("127.0.0.1", 0, 5) as listener, socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    async def test_port_taken(self, database_url: str) -> None:
        """A port that somebody else has is one sentence and exit code 1."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            code, _, err = await run(database_url, "serve", "--port", str(listener.getsockname()[1]))

        assert code == 1
        assert "Traceback" not in err

    async def test_no_secret(self, database_url: str) -> None:
        """Without a secret it does not start, and the sentence names the variable."""
        code, _, err = await run(database_url, "serve", SEGMENTS_JWT_SECRET="")

        assert code == 1
        assert err.strip().startswith("SEGMENTS_JWT_SECRET")


async def _read_while_the_database_goes(client: httpx2.AsyncClient, database: Database, address: str) -> None:
    plain = {"accept-encoding": "identity"}  # compressed, all of it would fit into the buffers
    async with client.stream("GET", address, headers=plain) as response:
        parts = response.aiter_text()
        await anext(parts)
        await asyncio.sleep(0.5)  # by then all buffers between are full, and the export waits
        async with database.transaction() as connection:
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            await connection.execute(text(f"{ended} AND application_name = 'segments-serve'"))
        async for _ in parts:
            pass


class TestToken:
    """segments token."""

    async def test_token_is_accepted(self, api: Api, database_url: str) -> None:
        """What it prints opens what its permissions say, and nothing else."""
        arguments = (
            "--sub",
            "u-9",
            "--name",
            "Nina",
            "--permissions",
            "customer_segments:create, customer_segments:read",
        )
        code, out, _ = await run(database_url, "token", *arguments, "--ttl", "5m")
        headers = bearer(out.strip())
        created = await api.client.post(BASE, json={"segment_name": "x", "criteria": {}}, headers=headers)
        deleted = await api.client.delete(f"{BASE}/{created.json()['data']['id']}", headers=headers)

        assert code == 0
        assert created.json()["data"]["creator_name"] == "Nina"
        assert deleted.status_code == 403

    @pytest.mark.parametrize("ttl", ["", "0s", "1", "h", "1w", "-1h", "367d", "99999999999s", "\u0661h"])
    def test_ttl(self, ttl: str, capsys: pytest.CaptureFixture[str]) -> None:
        """A time to live that cannot be used is one sentence and exit code 1."""
        with pytest.raises(typer.Exit) as ended:
            _ttl_seconds(ttl)

        assert ended.value.exit_code == 1
        assert capsys.readouterr().err.startswith("--ttl must be")


class TestExport:
    """segments export."""

    async def test_by_name_and_id(self, api: Api, database_url: str, tmp_path: Path) -> None:
        """A segment is named by its id or exact name; the file has what the API exports, unmasked."""
        segment = (await api.create(segment_name="Big, and late"))["id"]
        await add_members(api.database, segment, [customer(UUID(int=1), "C-1", email="ada@example.com")])
        target = tmp_path / "out.csv"
        code, out, err = await run(
            database_url,
            "export",
            "Big, and late",
            "--format",
            "csv",
            "--fields",
            "external_id,email",
            "-o",
            str(target),
        )
        second = await run(database_url, "export", segment, "-o", "-")

        assert (code, out, err) == (0, "", "exported 1 customers\n")
        assert target.read_text() == "external_id,email\nC-1,ada@example.com\n"
        assert names_in(tmp_path) == ["out.csv"]
        assert second[:2] == (0, "external_id\nC-1\n")

    async def test_workbook(self, api: Api, database_url: str, tmp_path: Path) -> None:
        """A workbook takes the place of a file of that name when it is whole, and nothing else stays behind."""
        segment = (await api.create(segment_name="Big, and late"))["id"]
        await add_many(api.database, segment, 2_500)
        target = tmp_path / "out.xlsx"
        target.write_text("older")
        fields = ("--fields", "external_id,total_spent")
        found = await run(database_url, "export", segment, "--format", "xlsx", *fields, "-o", str(target))
        book = openpyxl.load_workbook(target)

        assert found == (0, "", "exported 2500 customers\n")
        assert names_in(tmp_path) == ["out.xlsx"]
        assert book.sheetnames == ["members", "about"]
        rows = list(book["members"].iter_rows(values_only=True))
        assert (len(rows), rows[0], rows[1][1]) == (2_501, ("external_id", "total_spent"), 49.99)
        assert dict(book["about"].iter_rows(values_only=True))["segment"] == "Big, and late"

    async def test_faults(self, api: Api, database_url: str, tmp_path: Path) -> None:
        """What cannot be exported is one sentence and exit code 1, and leaves no file."""
        for _ in range(2):
            twin = (await api.create(segment_name="Twin"))["id"]
        good = str(tmp_path / "x.csv")
        cases = [
            (["Nobody", "-o", good], "no segment"),
            ([str(uuid4()), "-o", good], "no segment"),
            (["Twin", "-o", good], twin),
            ([twin, "-o", good, "--fields", "shoe_size"], "shoe_size"),
            ([twin, "-o", good, "--format", "pdf"], "csv"),
            ([twin, "-o", str(tmp_path)], "cannot be written"),
            ([twin, "-o", str(tmp_path / "no" / "x.csv")], "cannot be written"),
        ]
        answers = await asyncio.gather(*(run(database_url, "export", *arguments) for arguments, _ in cases))

        for (code, _, err), (_, said) in zip(answers, cases, strict=True):
            assert code == 1
            assert said in err
            assert len(err.splitlines()) == 1
        assert names_in(tmp_path) == []

    async def test_faults_of_workbooks(self, api: Api, database_url: str, tmp_path: Path) -> None:
        """A workbook that has no place to go to is one sentence and exit code 1, and leaves no file."""
        segment = (await api.create())["id"]
        cases = [
            ("-", "stdout"),
            (str(tmp_path), "cannot be written"),
            (str(tmp_path / "no" / "x"), "cannot be written"),
        ]
        for target, said in cases:
            code, out, err = await run(database_url, "export", segment, "--format", "xlsx", "-o", target)

            assert (code, out, len(err.splitlines())) == (1, "", 1)
            assert said in err
        assert names_in(tmp_path) == []
