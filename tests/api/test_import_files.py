"""What files an import takes, and what it says of those that it does not."""

from __future__ import annotations

import codecs
import tracemalloc
from io import BytesIO
from typing import Any

import pytest

from service.app import import_file
from service.app.import_file import BY_EMAIL, BY_ID, FileRefused, ImportFile, repeats
from tests.api.people import People
from tests.api.support import Api
from tests.api.test_import import done, send

MB = 1_000_000


def read(body: bytes | str, by: str | None = None) -> ImportFile:
    """A file that was read through."""
    return ImportFile(BytesIO(body.encode() if isinstance(body, str) else body), by)


def values(file: ImportFile) -> list[str]:
    """What its rows hold."""
    return [value for portion in file.portions(2) for value in portion]


class TestForms:
    """The same customers, however a program writes them down."""

    @pytest.mark.parametrize(
        "body",
        [
            "C-1\nC-2\nC-3",
            "C-1\r\nC-2\r\nC-3\r\n",
            "C-1\rC-2\rC-3\r",
            "\n\nC-1\n\n\nC-2\r\n\nC-3\n\n",
            "customer_id\nC-1\nC-2\nC-3\n",
            "\ufeffcustomer_id\nC-1\nC-2\nC-3\n",
            "\ufeff\nCustomer_ID\nC-1\nC-2\nC-3\n",
            '"EXTERNAL_ID"\n"C-1"\n"C-2"\n"C-3"\n',
            'name,ID\nAda,C-1\n,C-2\n"Bo, jr",C-3\n',
            "name;id;city\nAda;C-1;a,b\nBob;C-2;c\nx;C-3\n",
            "name\tid\nAda\tC-1\nBob\tC-2\n\tC-3\n",
            "email,customer_id\na@b.c,C-1\nd@e.f,C-2\n,C-3\n",
            "id,customer_id\n1,C-1\n2,C-2\n3,C-3\n",
            "C-1,Ada\nC-2,Bob\nC-3,Cy\n",
            "C-1;Ada\nC-2;Bob\nC-3;Cy\n",
            "C-1\tAda\nC-2\tBob\nC-3\tCy\n",
            '"C-1",Ada\nC-2,"two\nlines"\nC-3,"a ""quoted"" one"\n',
            " C-1 \nC-2\t\n  C-3\n",
        ],
        ids=range(18),
    )
    def test_ids(self, body: str) -> None:
        """Header or none, mark at the start or none, any end of lines, quotes, blank lines, other columns."""
        file = read(body)

        assert (file.by, file.rows, file.faulty, file.repeated) == (BY_ID, 3, 0, 0)
        assert values(file) == ["C-1", "C-2", "C-3"]

    @pytest.mark.parametrize("name", ["Customer ID", "customer-id", "CustomerId", "EXTERNAL ID", " Id "])
    def test_headers_of_ids(self, name: str) -> None:
        """The names of columns of ids, however they are put together."""
        assert values(read(f"{name}\nC-1\n")) == ["C-1"]
        assert read(f"city;{name}\nx;C-1\n").by == BY_ID

    @pytest.mark.parametrize(
        "name", ["E-Mail", "EMail", "e mail", "email address", "E-Mail-Address", "Mail", '"Email"']
    )
    def test_headers_of_addresses(self, name: str) -> None:
        """The names of columns of e-mail addresses, however they are put together."""
        file = read(f"{name}\na@b.c\n")

        assert (file.by, values(file)) == (BY_EMAIL, ["a@b.c"])

    @pytest.mark.parametrize(
        "body", ["Kunde\nC-1\n", "Kunden Nummer\n17\n", "Adresse\na@b.c\n", "Wer,Wo\nx,a@b.c\n", '"Kontakt"\n"1"\n']
    )
    def test_unknown_headers(self, body: str) -> None:
        """What seems to name a column that nobody knows is no customer: the file is refused with what to do."""
        with pytest.raises(FileRefused, match="seems to name a column, and none that is known") as caught:
            read(body)

        assert "call the column customer_id, external_id, id or email" in str(caught.value)
        assert "?by=id" in str(caught.value)
        assert read(body, BY_ID).rows == 2

    @pytest.mark.parametrize("body", ["rich\npoor\n", "ada", "C-1\nada\n", "Ada,Rome\nBob,Oslo\n", "ada\n\nbob\n"])
    def test_ids_of_words(self, body: str) -> None:
        """Ids may be words like others."""
        assert read(body).by == BY_ID
        assert values(read(body))[0] == body.replace(",", "\n").splitlines()[0]

    def test_blanks_in_quotes(self) -> None:
        """Blanks around an id belong to it where it stands in quotes; else, and around addresses, they go."""
        assert values(read('id,x\n" C-1 ",1\n C-1 ,2\n"\tC-2",3\n" a ""b"" ",4\n')) == [
            " C-1 ",
            "C-1",
            "\tC-2",
            ' a "b" ',
        ]
        assert values(read('email\n" a@b.c "\n')) == ["a@b.c"]
        assert read('id\n"  "\nC-1\n').faults[0][0] == 2

    async def test_exported_ids_come_back(self, api: Api, people: People) -> None:
        """A file that was exported names the same customers when it is imported."""
        names = [" C-1", "C-1", "C-1 ", "\tC-2", 'a "b" ', "x,y", "two\nlines", "=1", "'q"]
        first, second = [(await api.create(segment_type="static", criteria={}))["id"] for _ in range(2)]
        await api.send("POST", f"/{first}/customers", json={"customer_ids": names})
        exported = await api.send("GET", f"/{first}/export")
        await done(api, second, exported.content)

        assert sorted(await people.members(second)) == sorted(names)

    def test_separators_within_ids(self) -> None:
        """What stands within quotes separates nothing."""
        assert values(read('id\n"a;b"\n"c,d"\n')) == ["a;b", "c,d"]
        assert values(read('"a;b"\n"c;d"\n')) == ["a;b", "c;d"]
        assert values(read("id\na;b\nc;d\n")) == ["a;b", "c;d"]

    def test_which_column(self) -> None:
        """Of several known columns the id is taken, or the address where the request says so."""
        body = "email,id\na@b.c,C-1\n"

        assert values(read(body)) == ["C-1"]
        assert values(read(body, BY_EMAIL)) == ["a@b.c"]
        with pytest.raises(FileRefused, match="line 1: has no column email; it has id"):
            read("id\nC-1\n", BY_EMAIL)

    def test_repeated(self) -> None:
        """Each customer comes once, where the file names them first, however it writes the id."""
        number = "3b1f2b1c-5f0e-4d6b-9f39-0d5a3a2b7c11"
        file = read(f"C-2\n{number}\nC-1\nC-2\n{number.upper()}\nc-2\n")

        assert (file.rows, file.repeated) == (6, 2)
        assert values(file) == ["C-2", number, "C-1", "c-2"]

    def test_repeats(self) -> None:
        """A key repeats where an earlier one has the same 16 bytes."""
        keys = [b"a" * 16, b"a" * 15 + b"b", b"a" * 16, b"b" + b"a" * 15, b"a" * 15 + b"b"]

        assert list(repeats(b"".join(keys))) == [False, False, True, False, True]
        assert list(repeats(b"")) == []


class TestFaults:
    """Rows that cannot be read are left out, and told."""

    async def test_lines(self, api: Api, people: People) -> None:
        """Each fault comes with the line that it is in; the other rows are imported."""
        segment = (await api.create(segment_type="static", criteria={}))["id"]
        long, guests = "x" * 129, "00000000-0000-0000-0000-000000000000"
        body = f'name,customer_id\n"two\nlines",C-1\n,\n"x"y,C-2\nonly\n,a\0b\n,{long}\n,{guests}\n,C-3\n'
        found = await done(api, segment, body)

        assert (found["rows"], found["added"], found["faulty"]) == (8, 2, 6)
        assert [(fault["line"], fault["message"].split(";")[0]) for fault in found["faults"]] == [
            (4, "names no customer"),
            (5, "quotes must go round a whole cell, and a quote within it is written twice"),
            (6, "names no customer"),
            (7, "must not hold U+0000 or half a surrogate pair"),
            (8, "must be a text of 1 to 128 characters"),
            (9, "must not be the UUID of zeros, which stands for guests"),
        ]
        assert await people.members(segment) == ["C-1", "C-3"]

    def test_at_most_a_hundred(self) -> None:
        """All faults are counted, the first hundred told."""
        file = read("id,x\n" + ",1\n" * 5_000)

        assert (file.rows, file.faulty, len(file.faults)) == (5_000, 5_000, 100)


class TestRefused:
    """Files that change nothing."""

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (b"", "holds no rows"),
            (b"\xef\xbb\xbf\r\n\n", "holds no rows"),
            (b"id\nC-1\nJos\xe9\n", "line 3: is no UTF-8"),
            (codecs.BOM_UTF16_LE + "id\nC-1\n".encode("utf-16-le"), "line 1: is no UTF-8"),
            (b"\x1f\x8b\x08\x00", "line 1: is no UTF-8"),
            (b"PK\x03\x04\x14\xff\xfe", "line 1: is no UTF-8"),
            (b'id\nC-1\n"C-2\nC-3\nC-4\n', "line 3: a quote that is opened there is never closed"),
            (b'id\nC-1\n"' + b"C-2\n" * 50_000, "line 3: has more than 65536 characters"),
            (b"C" * 10 * MB, "line 1: has more than 65536 characters"),
            (b"id\n" + b"\0" * 10 * MB, "line 2: has more than 65536 characters"),
            (b"a," * MB, "line 1: has more than 65536 characters"),
            (b"id\nC-1\n" + b"," * MB, "line 3: has more than 65536 characters"),
        ],
        ids=range(12),
    )
    async def test_unreadable(self, shared: Api, body: bytes, said: str) -> None:
        """A file that is no CSV in UTF-8 is a 422 that says where and why, and changes nothing."""
        segment = (await shared.create(segment_type="static", criteria={}))["id"]
        response = await send(shared, segment, body)

        assert response.status_code == 422, response.text
        assert said in response.json()["message"]
        assert (await shared.send("GET", f"/{segment}/pins")).json()["data"]["total"] == 0

    async def test_too_large(self, shared: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file beyond the limit of bytes is a 413, whether its size was announced or not."""
        monkeypatch.setattr("service.api.imports.BODY_BYTES_MAX", 1_000)
        segment = (await shared.create(segment_type="static", criteria={}))["id"]

        async def unannounced() -> Any:
            for _ in range(300):
                yield b"C-1\n"

        for content in (b"C-1\n" * 300, unannounced()):
            response = await shared.send("POST", f"/{segment}/import", content=content)

            assert response.status_code == 413
            assert "1000 bytes" in response.json()["message"]

    def test_too_many_rows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file beyond the limit of rows is refused before anything of it is imported."""
        monkeypatch.setattr(import_file, "ROWS_MAX", 3)

        assert read("id\na\nb\nc\n").rows == 3
        with pytest.raises(FileRefused, match="more than 3 rows"):
            read("a\nb\nc\nd\n")

    @pytest.mark.parametrize(
        ("query", "path"), [("?action=replace", "action"), ("?by=phone", "by"), ("?dry_run=true", "dry_run")]
    )
    async def test_parameters(self, shared: Api, query: str, path: str) -> None:
        """What a request may not say is a 422 that names it."""
        segment = (await shared.create(segment_type="static", criteria={}))["id"]
        response = await send(shared, segment, "C-1", query)

        assert response.status_code == 422
        assert response.json()["errors"][0]["path"] == path

    async def test_json(self, shared: Api) -> None:
        """JSON is refused rather than read as a list of one strange id."""
        segment = (await shared.create(segment_type="static", criteria={}))["id"]
        response = await shared.send("POST", f"/{segment}/import", json={"customer_ids": ["C-1"]})

        assert response.status_code == 422
        assert "text/csv" in response.json()["message"]


def test_memory_does_not_grow() -> None:
    """Of 50,000 rows some at a time are held, and 17 bytes of each."""
    body = BytesIO(b"".join(b"customer-number-%d,some,more,columns\n" % number for number in range(50_000)))
    tracemalloc.start()
    count = sum(len(portion) for portion in ImportFile(body).portions(1_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert count == 50_000
    assert peak < 8 * MB
