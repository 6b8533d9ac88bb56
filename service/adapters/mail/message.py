"""A rendered message as the bytes of a mail (RFC 5322, MIME), by hand: the standard library takes much longer."""

from __future__ import annotations

import re
import time
from binascii import b2a_base64, b2a_qp
from email.utils import formatdate
from typing import Final

from service.adapters.mail.headers import LINE_CHARS_MAX, address_field, text_field
from service.adapters.mail.mailbox import Mailbox, read_sender
from service.app.dispatch.transport import Outbound

BASE64_CHARS: Final = 76
_BREAKS = re.compile(rb"\r\n|\r|\n")
_URL = re.compile(r"https?://[!-;=?-~]{1,900}")


class MessageFault(Exception):
    """The message cannot be written as a mail; the message is a sentence."""


class MailWriter:
    """Writes mails from one sender."""

    def __init__(self, mail_from: str) -> None:
        """Reads the sender.

        Args:
            mail_from: an address, with a name before it or not; it names the domain of Message-ID and List-Id, too.

        Raises:
            AddressFault: the sender is no address.
        """
        name, self.sender = read_sender(mail_from)
        self._from = address_field("From", name, self.sender.text)
        self._list_id = f"List-Id: <campaigns.{self.sender.domain}>\r\n"
        self._date = (0, "")

    def write(self, message: Outbound, to: Mailbox) -> bytes:
        """The whole mail: lines of ASCII (the address of the recipient apart) that end with CRLF, none above 998 bytes.

        Args:
            message: what to send; the text is always there, HTML where it is given.
            to: where it goes.

        Raises:
            MessageFault: the unsubscribe URL is none that can stand in a header.
        """
        head = "".join((self._from, f"To: {to.text}\r\n", self._fields(message)))
        return head.encode() + _body(message)

    def _fields(self, message: Outbound) -> str:
        fields = [
            text_field("Subject", message.subject or ""),
            f"Date: {self._now()}\r\nMessage-ID: <{message.message_id}@{self.sender.domain}>\r\n",
            # No answers from those who are on holiday (RFC 3834).
            "Auto-Submitted: auto-generated\r\n",
        ]
        if message.unsubscribe_url is not None:
            if not _URL.fullmatch(message.unsubscribe_url):
                msg = "The unsubscribe URL is none that can stand in a header."
                raise MessageFault(msg)
            fields += [
                f"{self._list_id}Precedence: bulk\r\n",
                f"List-Unsubscribe: <{message.unsubscribe_url}>\r\n",
                "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
            ]
        fields.append("MIME-Version: 1.0\r\n")
        return "".join(fields)

    def _now(self) -> str:
        """The Date field, made once a second."""
        second = int(time.time())
        if self._date[0] != second:
            self._date = (second, formatdate(second).replace("-0000", "+0000"))  # UTC, and not "unknown"
        return self._date[1]


def _body(message: Outbound) -> bytes:
    text = _part(b"plain", message.text)
    if message.html is None:
        return text
    html = _part(b"html", message.html)
    # Neither base64 nor quoted-printable has "=_"; plain text may, if somebody wants to.
    boundary = b"=_" + message.message_id.hex.encode()
    while boundary in text or boundary in html:
        boundary += b"_"
    between = b"--" + boundary
    head = b'Content-Type: multipart/alternative; boundary="' + boundary + b'"\r\n\r\n'
    # The last line end before a boundary belongs to the boundary.
    return b"".join((head, between, b"\r\n", text, b"\r\n", between, b"\r\n", html, b"\r\n", between, b"--\r\n"))


def _part(subtype: bytes, text: str) -> bytes:
    """One part with its fields, in the shortest of three encodings that any server passes on unchanged."""
    raw = text.encode(errors="replace")
    raw = _BREAKS.sub(b"\r\n", raw) if b"\r" in raw else raw.replace(b"\n", b"\r\n")
    if not raw.endswith(b"\r\n"):
        raw += b"\r\n"
    if raw.isascii() and b"\0" not in raw and max(map(len, raw.split(b"\r\n"))) <= LINE_CHARS_MAX:
        encoding, body = b"7bit", raw
    else:
        encoding, body = b"quoted-printable", b2a_qp(raw)
        if len(body) * 3 > len(raw) * 4:
            encoding, body = b"base64", _base64(raw)
    return (
        b"Content-Type: text/"
        + subtype
        + b"; charset=utf-8\r\nContent-Transfer-Encoding: "
        + encoding
        + b"\r\n\r\n"
        + body
    )


def _base64(raw: bytes) -> bytes:
    line = b2a_base64(raw, newline=False)
    return b"".join(line[at : at + BASE64_CHARS] + b"\r\n" for at in range(0, len(line), BASE64_CHARS))
