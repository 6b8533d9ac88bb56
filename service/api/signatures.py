"""Signed requests: HMAC-SHA256 over the raw body, as Standard Webhooks writes it or as one header."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

from pydantic import SecretStr

#: How far the sender's clock may be from ours.
TIMESTAMP_SECONDS_MAX: Final = 300
#: While a secret is replaced, senders sign with both.
SIGNATURES_MAX: Final = 10
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the beginning of every such secret

STANDARD: Final = "webhook-signature"
PLAIN: Final = ("x-signature-256", "x-hub-signature-256")


class SignatureError(Exception):
    """The signature is not accepted; the message is a sentence that says why."""


def is_signed(headers: Mapping[str, str]) -> bool:
    """Whether a request carries a signature in any form."""
    return any(name in headers for name in (STANDARD, *PLAIN))


@dataclass(frozen=True)
class Signatures:
    """The keys that requests may be signed with, all made of one secret."""

    keys: tuple[bytes, ...]

    @classmethod
    def of(cls, secret: SecretStr | None) -> Self | None:
        """None where there is no secret, and then no signature is accepted."""
        if secret is None:
            return None
        text = secret.get_secret_value()
        keys = [text.encode()]
        if text.startswith(SECRET_PREFIX):
            keys.append(b64decode(text.removeprefix(SECRET_PREFIX)))
        return cls(tuple(keys))

    def check_headers(self, headers: Mapping[str, str], now: float) -> None:
        """What can be said before the body is read.

        Args:
            headers: the request's.
            now: real time, seconds since the epoch.

        Raises:
            SignatureError: a header is missing, or the timestamp is too far away.
        """
        if STANDARD not in headers:
            return
        if not headers.get("webhook-id"):
            msg = "The header webhook-id is missing; Standard Webhooks signs it with the body"
            raise SignatureError(msg)
        sent = headers.get("webhook-timestamp", "")
        if not (sent.isascii() and sent.isdecimal() and len(sent) < 16):
            msg = "The header webhook-timestamp must be the seconds since 1970"
            raise SignatureError(msg)
        if abs(now - int(sent)) > TIMESTAMP_SECONDS_MAX:
            msg = f"The header webhook-timestamp is more than {TIMESTAMP_SECONDS_MAX} s from this service's clock"
            raise SignatureError(msg)

    def check(self, headers: Mapping[str, str], body: bytes, now: float) -> None:
        """Whether one of the signatures is right.

        Raises:
            SignatureError: none is.
        """
        self.check_headers(headers, now)
        if STANDARD in headers:
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            given = [one.removeprefix("v1,") for one in headers[STANDARD].split(" ") if one.startswith("v1,")]
            wanted = [b64encode(_digest(key, signed)) for key in self.keys]
        else:
            said = ",".join(headers[name] for name in PLAIN if name in headers)
            parts = (one.strip() for one in said.replace(" ", ",").split(","))
            given = [one.removeprefix("sha256=").lower() for one in parts if one.startswith("sha256=")]
            wanted = [_digest(key, body).hex().encode() for key in self.keys]
        sent = [one.encode(errors="replace") for one in given[:SIGNATURES_MAX]]
        # No short cut: how long it takes says nothing.
        if sum(hmac.compare_digest(one, right) for one in sent for right in wanted) == 0:
            msg = "No signature fits the body and the secret; sign the bytes exactly as they are sent"
            raise SignatureError(msg)


def _digest(key: bytes, signed: bytes) -> bytes:
    return hmac.new(key, signed, sha256).digest()
