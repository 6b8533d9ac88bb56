"""Mails as the standard library reads them: every field and every body comes out as it went in."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.adapters.mail.headers import clean
from service.adapters.mail.mailbox import AddressFault, read_mailbox, read_sender
from service.adapters.mail.message import MailWriter, MessageFault
from service.app.dispatch.transport import Outbound

ID = UUID("f1d4c431-da3d-5b76-879b-acb27b5ac45e")
WRITER = MailWriter("The shop <shop@example.com>")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


def outbound(**values: Any) -> Outbound:
    """A message to Ada, apart from what is given."""
    return Outbound(
        **{
            "message_id": ID,
            "attempt": 1,
            "channel": "email",
            "address": "ada@example.org",
            "subject": "Hello",
            "text": "Hello Ada",
            **values,
        }
    )


def written(message: Outbound, writer: MailWriter = WRITER) -> bytes:
    """The bytes, which hold what every mail must."""
    raw = writer.write(message, read_mailbox(message.address or ""))
    assert raw.endswith(b"\r\n")
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert b"\r" not in raw.replace(b"\r\n", b"")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    return raw


def parsed(message: Outbound, writer: MailWriter = WRITER) -> EmailMessage:
    """As the standard library reads it."""
    found = message_from_bytes(written(message, writer), policy=policy.default)
    assert not [part.defects for part in found.walk() if part.defects]
    return found


def lines(text: str) -> list[str]:
    """A body's lines, whichever way they end."""
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")


def body(part: Any) -> str:
    """A part's text."""
    return part.get_payload(decode=True).decode()


class TestFields:
    """What stands above the bodies."""

    def test_of_a_marketing_mail(self) -> None:
        """It names sender, recipient, message and list, and how to leave by one click."""
        mail = parsed(outbound(unsubscribe_url="https://api.example.com/u/v1.abc.def"))

        assert mail["From"] == "The shop <shop@example.com>"
        assert mail["To"] == "ada@example.org"
        assert mail["Subject"] == "Hello"
        assert mail["Message-ID"] == f"<{ID}@example.com>"
        assert mail["List-Unsubscribe"] == "<https://api.example.com/u/v1.abc.def>"
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert mail["List-Id"] == "<campaigns.example.com>"
        assert mail["Precedence"] == "bulk"
        assert mail["Auto-Submitted"] == "auto-generated"
        assert mail["MIME-Version"] == "1.0"
        assert parsedate_to_datetime(mail["Date"]).tzinfo is not None
        assert len(set(mail.keys())) == len(mail.keys())

    def test_of_a_transactional_mail(self) -> None:
        """It belongs to no list."""
        mail = parsed(outbound())
        assert not [name for name in mail if name.startswith("List-") or name == "Precedence"]

    @pytest.mark.parametrize(
        "subject",
        [
            "15 % off",
            "Fünfzehn Prozent für Zoë \U0001f389",
            "=?utf-8?q?not_encoded?=",
            "two  spaces",
            "word " * 80 + "end",
            "ж" * 250,
            "x" * 500,
            "\u65e5\u672c\u8a9e" * 60,
            "",
        ],
    )
    def test_subject(self, subject: str) -> None:
        """A subject comes out as it went in, of whatever characters and length, on lines within the limits."""
        mail = parsed(outbound(subject=subject))
        assert mail["Subject"] == subject
        assert all(
            len(line) <= 78 or b" " not in line[10:] for line in written(outbound(subject=subject)).split(b"\r\n")
        )

    @given(TEXTS)
    def test_any_subject(self, subject: str) -> None:
        """Whatever stands in a subject, it is one field, and nothing of it becomes another."""
        mail = parsed(outbound(subject=subject))
        assert mail["Subject"] == clean(subject)
        assert mail.keys() == parsed(outbound()).keys()

    @pytest.mark.parametrize("breaker", ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\r\n\r\n"])
    def test_nothing_is_injected(self, breaker: str) -> None:
        """A line end of any kind in a subject or in the sender's name becomes a space."""
        writer = MailWriter('"Shop" <shop@example.com>')
        mail = parsed(outbound(subject=f"Hi{breaker}Bcc: eve@example.net"), writer)
        assert mail["Subject"] == "Hi Bcc: eve@example.net"
        assert mail["Bcc"] is None

    @pytest.mark.parametrize(
        "url", ["https://a.example/u/1\r\nBcc: eve@example.net", "javascript:1", "https://a/ b", "https://a/>b"]
    )
    def test_a_url_that_would_break_out(self, url: str) -> None:
        """A URL that is none, or has what ends it, is refused."""
        with pytest.raises(MessageFault):
            WRITER.write(outbound(unsubscribe_url=url), read_mailbox("ada@example.org"))

    @pytest.mark.parametrize(
        ("mail_from", "name"),
        [
            ("shop@example.com", ""),
            ("The shop <shop@example.com>", "The shop"),
            ('"Shop, Inc. \\"A\\"" <shop@example.com>', 'Shop, Inc. "A"'),
            ("Bücher & Co. <shop@example.com>", "Bücher & Co."),
        ],
    )
    def test_sender(self, mail_from: str, name: str) -> None:
        """The name before the sender's address is quoted or encoded where it must be."""
        [found] = parsed(outbound(), MailWriter(mail_from))["From"].addresses
        assert (found.display_name, found.addr_spec) == (name, "shop@example.com")

    @pytest.mark.parametrize("mail_from", ["", "shop", "The shop", "<>", "a b@example.com", "jürgen@example.com"])
    def test_a_sender_that_is_none(self, mail_from: str) -> None:
        """A sender without an address is refused with a sentence that names the setting."""
        with pytest.raises(AddressFault, match="SEGMENTS_MAIL_FROM"):
            read_sender(mail_from)


class TestBodies:
    """Text and HTML."""

    def test_text_alone(self) -> None:
        """Without HTML the mail is its text."""
        mail = parsed(outbound(text="Hello\nAda"))
        assert mail.get_content_type() == "text/plain"
        assert mail.get_content_charset() == "utf-8"
        assert body(mail) == "Hello\r\nAda\r\n"

    def test_both(self) -> None:
        """With HTML it is both, the text first."""
        mail = parsed(outbound(text="Hello Zoë", html="<p>Hello <b>Zoë</b></p>"))
        assert mail.get_content_type() == "multipart/alternative"
        assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
        assert [body(part).strip() for part in mail.iter_parts()] == ["Hello Zoë", "<p>Hello <b>Zoë</b></p>"]

    @pytest.mark.parametrize(
        ("text", "encoding"),
        [
            ("plain\n.\n..\nFrom me\n", "7bit"),
            ("Zoë and friends, and much ASCII beside", "quoted-printable"),
            ("\u65e5\u672c\u8a9e" * 1_000, "base64"),
            ("x" * 5_000, "quoted-printable"),
            ("nul \0 within", "quoted-printable"),
            ("trailing blanks é  \n next", "quoted-printable"),
        ],
    )
    def test_encodings(self, text: str, encoding: str) -> None:
        """The shortest encoding that passes unchanged through any server."""
        mail = parsed(outbound(text=text))
        assert mail["Content-Transfer-Encoding"] == encoding
        assert lines(body(mail)) == lines(text)

    @given(TEXTS, TEXTS)
    def test_any(self, text: str, html: str) -> None:
        """Whatever is in them, both come out as they went in, lines apart in how they end."""
        first, second = parsed(outbound(text=text, html=html)).iter_parts()
        assert lines(body(first)) == lines(text)
        assert lines(body(second)) == lines(html)

    def test_a_text_that_knows_the_boundary(self) -> None:
        """A text with the boundary in it does not end its part."""
        text = f"--=_{ID.hex}--\n--=_{ID.hex}\nContent-Type: text/html\n\n<b>mine</b>"
        first, second = parsed(outbound(text=text, html="<i>ours</i>")).iter_parts()
        assert (lines(body(first)), lines(body(second))) == (lines(text), ["<i>ours</i>"])

    def test_half_a_character(self) -> None:
        """Half of a surrogate pair does not stop the mail."""
        mail = parsed(outbound(text="a\ud800b", subject="a\ud800b"))
        assert (body(mail), mail["Subject"]) == ("a?b\r\n", "a?b")


class TestAddresses:
    """Where mails go."""

    @pytest.mark.parametrize(
        ("address", "text", "needs_utf8"),
        [
            ("ada@example.org", "ada@example.org", False),
            (" a.b+c@sub.example.org ", "a.b+c@sub.example.org", False),
            ("Ada@localhost", "Ada@localhost", False),
            ("ada@b\u00fccher.example", "ada@xn--bcher-kva.example", False),
            ("zo\u00eb@example.org", "zo\u00eb@example.org", True),
        ],
    )
    def test_taken(self, address: str, text: str, needs_utf8: bool) -> None:
        """Domains go out in ASCII; a name beyond ASCII asks for SMTPUTF8."""
        found = read_mailbox(address)
        assert (found.text, found.needs_utf8) == (text, needs_utf8)

    @pytest.mark.parametrize(
        "address",
        [
            "",
            "ada",
            "@example.org",
            "ada@",
            "ada@@example.org",
            "ada@exa mple.org",
            "ada example@example.org",
            "ada@example.org\r\nRCPT TO:<eve@example.net>",
            "ada@example.org> SIZE=1",
            "<ada@example.org>",
            '"a b"@example.org',
            "a..b@example.org",
            ".a@example.org",
            "ada@[127.0.0.1]",
            "ada@-example.org",
            "ada@example..org",
            "ada@fa\u00df.example",
            "a\u200db@example.org",
            "a\u2028b@example.org",
            "a\ud800@example.org",
            "a" * 65 + "@example.org",
            "a@" + "b" * 64 + ".org",
            "a@" + ".".join(["b" * 50] * 6),
            "ada,eve@example.org",
        ],
    )
    def test_refused(self, address: str) -> None:
        """What is no address, or could be read as more than one, is refused without being repeated."""
        with pytest.raises(AddressFault) as refused:
            read_mailbox(address)
        assert str(refused.value).startswith("The ")
        assert not address or address not in str(refused.value)
