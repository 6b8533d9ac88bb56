"""How files of an import come: in forms, and never compressed."""

from __future__ import annotations

import pytest

from tests.api.people import People
from tests.api.support import Api
from tests.api.test_import import send


class TestUploads:
    """Files in forms."""

    async def test_form(self, api: Api, people: People) -> None:
        """A form's field `file` holds the file, wherever among other fields it stands."""
        segment = (await api.create(segment_type="static", criteria={}))["id"]
        for number in range(3):
            body = f"id\r\nC-{number}\r\n".encode()
            files = [("note", ("", b"--x\r\n\r\n")), ("file", ("people.csv", body, "text/csv")), ("more", ("", b""))]
            response = await api.send("POST", f"/{segment}/import", files=files[number == 2 :])
            assert response.status_code == 200, response.text
            assert response.json()["data"]["added"] == 1

        assert await people.members(segment) == ["C-0", "C-1", "C-2"]

    async def test_two_files(self, shared: Api) -> None:
        """A form with two files is refused, not half of it imported."""
        segment = (await shared.create(segment_type="static", criteria={}))["id"]
        files = [
            ("file", ("a.csv", b"id\nC-1\n", "text/csv")),
            ("x", ("", b"1")),
            ("file", ("b.csv", b"C-2", "text/csv")),
        ]
        response = await shared.send("POST", f"/{segment}/import", files=files)

        assert response.status_code == 422, response.text
        assert [fault["path"] for fault in response.json()["errors"]] == ["file"]
        assert (await shared.send("GET", f"/{segment}/pins")).json()["data"]["total"] == 0

    async def test_compressed(self, shared: Api) -> None:
        """A compressed file is a 415 that says what to do."""
        segment = (await shared.create(segment_type="static", criteria={}))["id"]
        response = await send(shared, segment, b"C-1\n", headers={"content-encoding": "gzip"})

        assert response.status_code == 415
        assert response.headers["accept-encoding"] == "identity"

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            ("multipart/form-data", b"id\nC-1\n"),
            ("multipart/form-data; boundary=x", b""),
            ("multipart/form-data; boundary=x", b"id\nC-1\n"),
            ("multipart/form-data; boundary=x", b"--x--\r\n"),
            ("multipart/form-data; boundary=x", b'--x\r\ncontent-disposition: form-data; name="file"\r\n\r\nC-1'),
            ("multipart/form-data; boundary=x", b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\nC-1\r\n--x--'),
            ("multipart/form-data; boundary=x", b"--x\r\n" * 1_000),
            ("multipart/form-data; boundary=x", b"--x\r\n\r\n\r\n" * 1_000),
            ("multipart/form-data; boundary=\xff", b"--x\r\n"),
        ],
        ids=range(9),
    )
    async def test_broken_form(self, shared: Api, content_type: str, body: bytes) -> None:
        """A form without such a field, or none at all, is a 422 that says so."""
        segment = (await shared.create(segment_type="static", criteria={}))["id"]
        headers = {"content-type": content_type.encode("latin-1")}
        response = await shared.send("POST", f"/{segment}/import", content=body, headers=headers)

        assert response.status_code == 422
        assert "field file" in response.json()["message"]
