"""A mail as a person reads it. It may be anything: whatever cannot be read is shown as missing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from html.parser import HTMLParser

LINKS_MAX = 100
SHOWN = ("From", "To", "Delivered-To", "Subject", "Date", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post")
_URL = re.compile(r"https?://[^\s<>\"']+")


@dataclass(frozen=True)
class Read:
    """A mail's parts; None where there is none, and links of http and https alone."""

    fields: dict[str, str]
    text: str | None
    html: str | None
    links: list[str]


def read_mail(raw: bytes) -> Read:
    """All that is shown of a mail."""
    mail = message_from_bytes(raw, policy=policy.default)
    text, html = _body(mail, "plain"), _body(mail, "html")
    fields = _fields(mail)
    found = _URL.findall(fields.get("List-Unsubscribe", ""))
    found += _hrefs(html) if html is not None else _URL.findall(text or "")
    return Read(fields, text, html, list(dict.fromkeys(found))[:LINKS_MAX])


def read_fields(raw: bytes) -> dict[str, str]:
    """The fields that a list shows, without a look at the bodies."""
    head, _, _ = raw.partition(b"\r\n\r\n")
    return _fields(message_from_bytes(head + b"\r\n\r\n", policy=policy.default))


def _fields(mail: Message) -> dict[str, str]:
    found = {}
    for name in SHOWN:
        try:
            value = mail.get(name)
        except (ValueError, TypeError, IndexError, AttributeError, LookupError):  # the parser of fields gave up
            continue
        if value is not None:
            found[name] = str(value)
    return found


def _body(mail: EmailMessage, subtype: str) -> str | None:
    for part in mail.walk():
        if part.get_content_type() == f"text/{subtype}" and not part.is_multipart():
            payload = part.get_payload(decode=True)
            if not isinstance(payload, bytes):
                continue
            try:
                return payload.decode(part.get_content_charset() or "utf-8", errors="replace")
            except (LookupError, UnicodeError):  # no such charset; one that cannot replace what it does not know
                return payload.decode("utf-8", errors="replace")
    return None


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if tag == "a" and name == "href" and value and _URL.fullmatch(value.strip()):
                self.found.append(value.strip())


def _hrefs(html: str) -> list[str]:
    links = _Links()
    links.feed(html)
    return links.found
