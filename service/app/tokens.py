"""Access tokens: JWT as RFC 7519, checked as RFC 8725 asks; HS256 alone, so that no token chooses its algorithm."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import jwt
from pydantic import SecretStr

ALGORITHM: Final = "HS256"
LEEWAY_SECONDS: Final = 30
TEXT_CHARACTERS_MAX: Final = 255


class Permission(StrEnum):
    """What a token may allow."""

    CREATE = "customer_segments:create"
    READ = "customer_segments:read"
    UPDATE = "customer_segments:update"
    DELETE = "customer_segments:delete"
    READ_PII = "customers:read_pii"


class TokenError(Exception):
    """The token is not accepted; the message is a sentence that says why and holds nothing of the token."""


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
    """What every token must agree with."""

    secret: SecretStr
    issuer: str
    audience: str

    def issue(self, sub: str, name: str, permissions: Iterable[str], ttl_seconds: int) -> str:
        """A signed token that holds from now on; tokens keep real time whatever SEGMENTS_CLOCK says."""
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
        return jwt.encode(claims, self.secret.get_secret_value(), algorithm=ALGORITHM)

    def accept(self, token: str) -> Identity:
        """The identity behind a token.

        Raises:
            TokenError: wrong signature, algorithm, issuer or audience; expired; a required claim missing or unusable.
        """
        try:
            claims = jwt.decode(
                token,
                self.secret.get_secret_value(),
                algorithms=[ALGORITHM],
                audience=self.audience,
                issuer=self.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "iss", "aud", "sub"], "enforce_minimum_key_length": True},
            )
        except jwt.ExpiredSignatureError:
            msg = "The token has expired; get a new one"
            raise TokenError(msg) from None
        except jwt.ImmatureSignatureError:
            msg = "The token does not hold yet; its iat or nbf lies ahead"
            raise TokenError(msg) from None
        except jwt.MissingRequiredClaimError as error:
            msg = f"The token lacks the claim {error.claim}"
            raise TokenError(msg) from None
        except jwt.InvalidAudienceError:
            msg = f"The token is not for this service; its aud must be {self.audience}"
            raise TokenError(msg) from None
        except jwt.InvalidIssuerError:
            msg = f"The token is not from a known issuer; its iss must be {self.issuer}"
            raise TokenError(msg) from None
        # The header is read before the signature is checked, so anyone can put anything in it.
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            msg = "The token cannot be accepted; it must be an unaltered JWT signed with HS256 by the configured secret"
            raise TokenError(msg) from None
        return _identity(claims)


def _identity(claims: dict[str, Any]) -> Identity:
    sub = _text(claims["sub"], "sub")
    name = _text(claims.get("name") or sub, "name")
    permissions = claims.get("permissions", [])
    if isinstance(permissions, str):
        permissions = permissions.split()
    if not isinstance(permissions, list) or not all(isinstance(one, str) for one in permissions):
        msg = "The token's claim permissions must be a list of texts or one text with spaces between"
        raise TokenError(msg)
    return Identity(sub, name, frozenset(permissions))


def _text(value: object, claim: str) -> str:
    usable = isinstance(value, str) and 1 <= len(value) <= TEXT_CHARACTERS_MAX and "\0" not in value
    if not usable or any("\ud800" <= character <= "\udfff" for character in str(value)):
        msg = f"The token's claim {claim} must be a text of 1 to {TEXT_CHARACTERS_MAX} characters"
        raise TokenError(msg)
    return str(value)
