"""The inbox of `segments up`: a real SMTP server that shows what it got and trusts none of it."""

from __future__ import annotations

import http.client
import os
import re
import signal
import smtplib
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from service.stack.mailbox import MailSink
from service.stack.mailbox.inbox import Inbox
from service.stack.mailbox.reading import read_fields, read_mail
from service.stack.state import DataDir

MAIL = (
    b'From: The shop <shop@example.com>\r\nTo: ada@example.org\r\nSubject: <i>Hi</i> & "you"\r\n'
    b"List-Unsubscribe: <https://api.example.com/u/1>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/alternative; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello <script>alert(1)</script> Zo\xc3\xab\r\n"
    b"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    b"<h1>Hello</h1><script>alert(2)</script><img src='https://evil.example/pixel.gif'>"
    b"<a href='https://shop.example.org/?a=1&amp;b=2'>s</a><a href='javascript:alert(3)'>j</a>\r\n--b--\r\n"
)


class TestInbox:
    """The files."""

    def test_the_newest_stay(self, tmp_path: Path) -> None:
        """Beyond the count the oldest go, and numbers go on, also after a restart."""
        inbox = Inbox(tmp_path / "inbox", mails_max=3)
        assert [inbox.add(b"mail %d" % number) for number in range(5)] == [1, 2, 3, 4, 5]
        assert inbox.newest(10) == [5, 4, 3]
        assert inbox.newest(1, below=5) == [4]
        assert sorted(path.name for path in (tmp_path / "inbox").iterdir()) == [f"000000000{n}.eml" for n in (3, 4, 5)]

        again = Inbox(tmp_path / "inbox", mails_max=2)
        assert (again.newest(10), again.read(5), again.read(3)) == ([5, 4], b"mail 4", None)
        assert again.add(b"x") == 6

    def test_bytes_are_bounded(self, tmp_path: Path) -> None:
        """Beyond the bytes too, but the newest always stays."""
        inbox = Inbox(tmp_path, bytes_max=100)
        for _ in range(3):
            inbox.add(b"x" * 40)
        assert inbox.newest(10) == [3, 2]
        inbox.add(b"x" * 500)
        assert inbox.newest(10) == [4]

    def test_what_is_not_its_own(self, tmp_path: Path) -> None:
        """Other files are left alone; halves of mails, which a kill left, are not."""
        for name in ("notes.txt", "1.eml", ".7.tmp"):
            (tmp_path / name).write_bytes(b"x")
        inbox = Inbox(tmp_path, mails_max=1)
        inbox.add(b"a")
        inbox.add(b"b")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["0000000002.eml", "1.eml", "notes.txt"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n",
        b"no header at all",
        b"Subject: =?utf-8?b?!!!?= =?nope?q?x?=\r\n\r\nx",
        b"Subject: \xff\xfe\r\nContent-Type: text/plain; charset=nope\r\n\r\n\xff\xfe",
        b"Content-Type: text/plain; charset=idna\r\n\r\n\xff\xfe",
        b"Content-Type: text/html; charset=undefined\r\n\r\nx",
        b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n",
        b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!not base64",
        b'From: "\r\nTo: <<>>,,;:\r\nDate: never\r\nMessage-ID: <<\r\n\r\nx',
        b"Content-Type: ;;;=\r\nContent-Disposition: \x00\r\n\r\nx",
        b"From: " + b"<" * 5_000 + b"\r\n\r\nx",
    ],
)
def test_mails_that_are_none(raw: bytes) -> None:
    """Whatever comes can be shown."""
    read_mail(raw)
    read_fields(raw)


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[MailSink]:
    """The process, as the supervisor runs it."""
    data = DataDir.open(tmp_path / "data dir")
    made = MailSink.on(data)
    with process(made):
        yield made
    data.close()


@contextmanager
def process(sink: MailSink) -> Iterator[subprocess.Popen[bytes]]:
    """The process, once it answers."""
    running = subprocess.Popen(sink.command)
    try:
        deadline = time.monotonic() + 20
        while not sink.answers():
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield running
    finally:
        running.terminate()
        assert running.wait(10) in (0, -signal.SIGKILL)


def send(sink: MailSink, mail: bytes = MAIL, *recipients: str) -> None:
    """By the standard library's client."""
    with smtplib.SMTP("127.0.0.1", sink.smtp_port, timeout=10) as client:
        client.sendmail("shop@example.com", recipients or ["ada@example.org"], mail)


def get(sink: MailSink, path: str, host: str | None = None) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of one page."""
    client = http.client.HTTPConnection("127.0.0.1", sink.http_port, timeout=10)
    client.request("GET", path, headers={"Host": host} if host else {})
    answer = client.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
    client.close()
    return found


class TestPages:
    """What a browser gets."""

    def test_the_list(self, sink: MailSink) -> None:
        """Nothing yet, then the newest mail first, every value escaped, a hundred a page."""
        assert "No mail yet" in get(sink, "/")[2]
        send(sink)
        status, headers, page = get(sink, "/")
        assert status == 200
        assert "&lt;i&gt;Hi&lt;/i&gt; &amp; &quot;you&quot;" in page
        assert "<i>" not in page
        assert "ada@example.org" in page
        assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
        for _ in range(101):
            send(sink)
        first = get(sink, "/")[2]
        assert len(re.findall(r'href="/mails/\d+"', first)) == 100
        [older] = re.findall(r'href="(/\?before=\d+)"', first)
        assert re.findall(r'href="/mails/(\d+)"', get(sink, older)[2]) == ["2", "1"]

    def test_a_mail(self, sink: MailSink) -> None:
        """Fields and text escaped, HTML in a frame that may do nothing, links of http alone, no scripts of anybody."""
        send(sink)
        status, headers, page = get(sink, "/mails/1")
        assert status == 200
        assert "Hello &lt;script&gt;alert(1)&lt;/script&gt; Zoë" in page
        assert '<iframe sandbox="" src="/mails/1/html"' in page
        assert re.findall(r'href="(http[^"]*)"', page) == [
            "https://api.example.com/u/1",
            "https://shop.example.org/?a=1&amp;b=2",
        ]
        assert "<script" not in page
        assert "javascript:" not in page
        assert "script-src" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        for name in ("html", "text", "links"):
            assert f'href="#{name}"' in page
            assert f'id="{name}"' in page

    def test_its_html(self, sink: MailSink) -> None:
        """The HTML as it came, under a policy by which it loads and runs nothing."""
        send(sink)
        status, headers, page = get(sink, "/mails/1/html")
        assert status == 200
        assert "<script>alert(2)</script>" in page
        policies = [one.strip() for one in headers["content-security-policy"].split(";")]
        assert {"sandbox", "default-src 'none'", "img-src data:", "form-action 'none'"} <= set(policies)
        assert not [one for one in policies if "allow-" in one or "http" in one]

    def test_its_bytes(self, sink: MailSink) -> None:
        """The mail as text, with the envelope's addresses above it; and the same in its file."""
        send(sink, MAIL, "ada@example.org", "eve@example.org")
        status, headers, _ = get(sink, "/mails/1/raw")
        assert status == 200
        assert headers["content-type"] == "text/plain; charset=utf-8"
        raw = (sink.folder / "0000000001.eml").read_bytes()
        found = message_from_bytes(raw, policy=policy.default)
        assert found["Return-Path"] == "<shop@example.com>"
        assert found.get_all("Delivered-To") == ["ada@example.org", "eve@example.org"]
        assert raw.endswith(MAIL)

    @pytest.mark.parametrize("path", ["/mails/7", "/mails/7/html", "/mails/7/raw", "/mails/../jwt-secret", "/x"])
    def test_not_there(self, sink: MailSink, path: str) -> None:
        """404, whatever is asked for."""
        assert get(sink, path)[0] == 404

    def test_under_another_name(self, sink: MailSink) -> None:
        """A web site that has its own name lead here learns nothing."""
        send(sink)
        for host in (f"evil.example:{sink.http_port}", "evil.example", ""):
            assert get(sink, "/mails/1", host or "x")[0] == 403
        assert get(sink, "/mails/1", f"localhost:{sink.http_port}")[0] == 200

    def test_a_large_mail_is_refused(self, sink: MailSink) -> None:
        """Beyond the limit the sender is told so."""
        with pytest.raises(smtplib.SMTPResponseException) as refused:
            send(sink, MAIL + b"x" * 75 + b"\r\n" + (b"y" * 75 + b"\r\n") * 140_000)
        assert refused.value.smtp_code == 552


class TestProcess:
    """Kept by the supervisor."""

    def test_killed_and_started_again(self, tmp_path: Path) -> None:
        """On the same ports, with the mails of before."""
        data = DataDir.open(tmp_path)
        sink = MailSink.on(data)
        with process(sink) as running:
            send(sink)
            os.kill(running.pid, signal.SIGKILL)
            running.wait(10)
        with process(sink):
            send(sink)
            assert re.findall(r'href="/mails/(\d+)"', get(sink, "/")[2]) == ["2", "1"]
        assert MailSink.on(data) == sink
        data.close()
