"""The public keys of an identity provider, read from its JWK set (RFC 7517) and kept for a while.

Keys rotate: a provider publishes a new one before it signs with it. So an unknown key id is looked up again at once,
but not more often than KEYS_PAUSE_SECONDS, for anyone can send a token with any key id.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import jwt
import requests
import structlog
from urllib3.exceptions import HTTPError

from service.app.exact_json import JsonError, loads
from service.app.tokens import PUBLIC_ALGORITHMS, KeysUnavailable

KEYS_SECONDS_MAX: Final = 300
#: Keys of a provider that does not answer go on to be good for this long; beyond it nobody gets in.
KEYS_STALE_SECONDS_MAX: Final = 3_600
KEYS_PAUSE_SECONDS: Final = 2
KEYS_BYTES_MAX: Final = 1_048_576
KEYS_MAX: Final = 100
FETCH_SECONDS_MAX: Final = 5

_log = structlog.get_logger(__name__)


class KeySet:
    """See app.tokens.PublicKeys."""

    def __init__(self, url: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._url, self._monotonic = url, monotonic
        self._keys: Sequence[jwt.PyJWK] = ()
        self._read_at = self._tried_at = float("-inf")
        self._lock = asyncio.Lock()

    async def find(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        """See PublicKeys."""
        await self._refresh(KEYS_SECONDS_MAX)
        found = self._pick(key_id, algorithm)
        if found is None:
            await self._refresh(0)
            found = self._pick(key_id, algorithm)
        if self._age() > KEYS_STALE_SECONDS_MAX:
            msg = "The public keys of the identity provider cannot be read at present; try again in a few seconds"
            raise KeysUnavailable(msg)
        return found

    def _pick(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        fit = [one for one in self._keys if one.algorithm_name == algorithm]
        if key_id is not None:
            fit = [one for one in fit if one.key_id == key_id]
        return fit[0] if len(fit) == 1 else None

    def _age(self) -> float:
        return self._monotonic() - self._read_at

    async def _refresh(self, age_max: float) -> None:
        """Reads the keys again if they are older than that and were not asked for just now; one request at a time."""
        if self._age() <= age_max:
            return
        async with self._lock:
            now = self._monotonic()
            if self._age() <= age_max or now - self._tried_at < KEYS_PAUSE_SECONDS:
                return
            try:
                self._keys = await asyncio.to_thread(_fetch, self._url)
            except (requests.RequestException, HTTPError, JsonError, jwt.PyJWTError, ValueError) as error:
                _log.warning("public keys cannot be read", error=type(error).__name__)
                return
            finally:
                # After it, however long it took: who waited meanwhile must not wait for a try of their own.
                self._tried_at = self._monotonic()
            self._read_at = now
            _log.info("public keys read", keys=len(self._keys))


def _fetch(url: str) -> list[jwt.PyJWK]:
    """The usable keys of the set.

    Raises:
        requests.RequestException: no answer, or not 200.
        JsonError, ValueError: the answer is no JWK set, or too large.
    """
    with requests.get(url, timeout=FETCH_SECONDS_MAX, stream=True, allow_redirects=False) as response:
        response.raise_for_status()
        if response.status_code != requests.codes.ok:
            msg = "the answer is not 200"
            raise ValueError(msg)
        raw = _body(response)
    source = loads(raw, allow_repeats=False)
    keys = source.get("keys") if isinstance(source, dict) else None
    if not isinstance(keys, list):
        msg = "the answer has no list of keys"
        raise ValueError(msg)
    return [key for one in keys[:KEYS_MAX] if (key := _usable(one)) is not None]


def _body(response: requests.Response) -> bytes:
    """The answer's body. Read as it comes, for a provider that drips must not hold the thread for ever."""
    raw, until = b"", time.monotonic() + FETCH_SECONDS_MAX
    while part := response.raw.read1(KEYS_BYTES_MAX, decode_content=True):
        raw += part
        if len(raw) > KEYS_BYTES_MAX or time.monotonic() > until:
            msg = "the answer is larger than KEYS_BYTES_MAX, or takes longer than FETCH_SECONDS_MAX"
            raise ValueError(msg)
    return raw


def _usable(source: Any) -> jwt.PyJWK | None:
    """A public key that signs with one of our algorithms; a set may hold others, for encryption or of other kinds."""
    if not isinstance(source, dict) or source.get("kty") not in ("RSA", "EC") or source.get("use", "sig") != "sig":
        return None
    try:
        key = jwt.PyJWK(source)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    is_fit = key.algorithm_name in PUBLIC_ALGORITHMS and not hasattr(key.key, "private_numbers")
    # Tokens of a key too short are refused by app.tokens (enforce_minimum_key_length).
    return key if is_fit else None
