"""Access tokens: JWT as RFC 7519, checked as RFC 8725 asks.

HS256 goes with the secret of the settings and with nothing else, RS256 and ES256 with the public keys of an identity
provider: each key has exactly one algorithm, so that no token chooses how it is checked.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

import jwt
from pydantic import SecretStr

SECRET_ALGORITHM: Final = "HS256"  # noqa: S105 - no secret
PUBLIC_ALGORITHMS: Final = ("RS256", "ES256")
LEEWAY_SECONDS: Final = 30
TEXT_CHARACTERS_MAX: Final = 255
#: What reading and checking a token may end with, whatever was sent.
_UNUSABLE: Final = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)


class Permission(StrEnum):
    """What a token may allow."""

    CREATE = "customer_segments:create"
    READ = "customer_segments:read"
    UPDATE = "customer_segments:update"
    DELETE = "customer_segments:delete"
    READ_PII = "customers:read_pii"
    WRITE_EVENTS = "events:write"
    SEND = "campaigns:send"
    SEND_TRANSACTIONAL = "campaigns:send_transactional"


class TokenError(Exception):
    """The token is not accepted; the message is a sentence that says why and holds nothing of the token."""


class KeysUnavailable(Exception):
    """The public keys cannot be read at present, so that nobody can tell whether the token is good."""


class PublicKeys(Protocol):
    """The public keys of an identity provider."""

    async def find(self, key_id: str | None, algorithm: str) -> Any | None:
        """The key of this id, or the only one there is where the token names none; None if there is no such key.

        Args:
            key_id: the `kid` of the token's header, which anyone can write.
            algorithm: one of PUBLIC_ALGORITHMS; a key of another algorithm is not found.

        Raises:
            KeysUnavailable: the keys cannot be read.
        """
        ...


@dataclass(frozen=True)
class Identity:
    """Who speaks, as an accepted token says."""

    sub: str
    name: str
    permissions: frozenset[str]

    def can(self, permission: str) -> bool:
        """Whether the token carries this permission."""
        return permission in self.permissions


@dataclass(frozen=True)
class TokenRules:
    """What every token must agree with; at least one of `secret` and `keys` is there."""

    secret: SecretStr | None
    issuer: str
    audience: str
    keys: PublicKeys | None = None

    def issue(self, sub: str, name: str, permissions: Iterable[str], ttl_seconds: int) -> str:
        """A token signed with the secret that holds from now on; tokens keep real time whatever SEGMENTS_CLOCK says.

        Raises:
            TokenError: there is no secret to sign with.
        """
        if self.secret is None:
            msg = "Tokens cannot be signed without SEGMENTS_JWT_SECRET"
            raise TokenError(msg)
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": sub,
            "name": name,
            "permissions": sorted(set(permissions)),
            "iat": now,
            "exp": now + ttl_seconds,
        }
        return jwt.encode(claims, self.secret.get_secret_value(), algorithm=SECRET_ALGORITHM)

    async def accept(self, token: str) -> Identity:
        """The identity behind a token.

        Raises:
            TokenError: wrong signature, algorithm, issuer or audience; expired; a required claim missing or unusable.
            KeysUnavailable: the public keys cannot be read.
        """
        algorithm, key = await self._key_for(token)
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self.audience,
                issuer=self.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "iss", "aud", "sub"], "enforce_minimum_key_length": True},
            )
        except _UNUSABLE as error:
            raise TokenError(self._sentence(error)) from None
        return _identity(claims)

    async def _key_for(self, token: str) -> tuple[str, Any]:
        """The algorithm that the token may be checked with, and its key."""
        try:
            header = jwt.get_unverified_header(token)
        # The header is read before the signature is checked, so anyone can put anything in it.
        except _UNUSABLE as error:
            raise TokenError(self._sentence(error)) from None
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm == SECRET_ALGORITHM and self.secret is not None:
            return SECRET_ALGORITHM, self.secret.get_secret_value()
        if algorithm in PUBLIC_ALGORITHMS and self.keys is not None:
            key = await self.keys.find(key_id if isinstance(key_id, str) else None, algorithm)
            if key is None:
                msg = "The token's key is not among the public keys of the identity provider; get a new token"
                raise TokenError(msg)
            return algorithm, key
        raise TokenError(self._unacceptable())

    def _unacceptable(self) -> str:
        how = [f"with {SECRET_ALGORITHM} by the configured secret"] * (self.secret is not None)
        how += [f"with {' or '.join(PUBLIC_ALGORITHMS)} by the identity provider"] * (self.keys is not None)
        return f"The token cannot be accepted; it must be an unaltered JWT signed {', or '.join(how)}"

    def _sentence(self, error: Exception) -> str:
        if isinstance(error, jwt.ExpiredSignatureError):
            return "The token has expired; get a new one"
        if isinstance(error, jwt.ImmatureSignatureError):
            return "The token does not hold yet; its iat or nbf lies ahead"
        if isinstance(error, jwt.MissingRequiredClaimError):
            return f"The token lacks the claim {error.claim}"
        if isinstance(error, jwt.InvalidAudienceError):
            return f"The token is not for this service; its aud must be {self.audience}"
        if isinstance(error, jwt.InvalidIssuerError):
            return f"The token is not from a known issuer; its iss must be {self.issuer}"
        return self._unacceptable()


def _identity(claims: dict[str, Any]) -> Identity:
    sub = _text(claims["sub"], "sub")
    name = _text(claims.get("name") or sub, "name")
    return Identity(sub, name, _permissions(claims, "permissions") | _permissions(claims, "scope"))


def _permissions(claims: dict[str, Any], claim: str) -> frozenset[str]:
    """`scope` is where OAuth 2 has them (RFC 8693, section 4.2), `permissions` where several providers put them."""
    found = claims.get(claim, [])
    if isinstance(found, str):
        found = found.split()
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        msg = f"The token's claim {claim} must be a list of texts or one text with spaces between"
        raise TokenError(msg)
    return frozenset(found)


def _text(value: object, claim: str) -> str:
    usable = isinstance(value, str) and 1 <= len(value) <= TEXT_CHARACTERS_MAX and "\0" not in value
    if not usable or any("\ud800" <= character <= "\udfff" for character in str(value)):
        msg = f"The token's claim {claim} must be a text of 1 to {TEXT_CHARACTERS_MAX} characters"
        raise TokenError(msg)
    return str(value)
