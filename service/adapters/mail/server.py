"""Which SMTP server, and how to reach it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

Security = Literal["none", "tls", "starttls"]

_SCHEMES: Final[dict[str, tuple[Security, int]]] = {
    "smtp": ("none", 25),
    "smtps": ("tls", 465),
    "smtp+starttls": ("starttls", 587),
}


@dataclass(frozen=True)
class SmtpServer:
    """One SMTP server.

    Attributes:
        security: none, TLS from the first byte on, or TLS that the server must offer (STARTTLS).
        user, password: of AUTH; no AUTH where there is no user.
    """

    host: str
    port: int
    security: Security = "none"
    user: str | None = None
    password: str = field(default="", repr=False)


def read_smtp_url(url: str) -> SmtpServer:
    """The server that a URL of the settings names; user and password may be percent-encoded.

    Raises:
        ValueError: it is no such URL; the message names the setting, and not the URL, which has a password.
    """
    try:
        parts = urlsplit(url)
        security, port = _SCHEMES[parts.scheme]
        if not parts.hostname:
            raise KeyError
        return SmtpServer(
            parts.hostname,
            parts.port or port,
            security,
            unquote(parts.username) if parts.username else None,
            unquote(parts.password or ""),
        )
    except (KeyError, ValueError):
        msg = "SEGMENTS_SMTP_URL: must be smtp://[user:password@]host[:port], smtps://... or smtp+starttls://..."
        raise ValueError(msg) from None
