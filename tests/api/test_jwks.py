"""Tokens of an identity provider: a real HTTP server with real keys, which it changes, hides and breaks."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from service.adapters import jwks
from service.adapters.jwks import KEYS_PAUSE_SECONDS, KEYS_SECONDS_MAX, KEYS_STALE_SECONDS_MAX, KeySet
from service.app.tokens import KeysUnavailable, TokenError, TokenRules
from service.settings import SettingsError, load_settings

CLAIMS = {"iss": "https://login.example.com", "aud": "segments", "sub": "u-1", "permissions": ["a:b"]}
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())


def public(key: Any, key_id: str | None, **changes: Any) -> dict[str, Any]:
    """The public half as a JWK."""
    algorithm = jwt.get_algorithm_by_name("RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256")
    source = json.loads(algorithm.to_jwk(key.public_key()))
    return source | ({"kid": key_id} if key_id else {}) | changes


def signed(key: Any, key_id: str | None, algorithm: str, **changes: Any) -> str:
    """A token by this key."""
    now = int(time.time())
    headers = {"kid": key_id} if key_id else {}
    return jwt.encode({**CLAIMS, "iat": now, "exp": now + 60, **changes}, key, algorithm, headers=headers)


class Provider:
    """An identity provider's key set."""

    def __init__(self) -> None:
        self.status, self.body, self.asked = 200, b"", 0
        self.missing_bytes = 0  # so many are announced and never come
        self.url = ""
        self.going_on = threading.Event()

    def show(self, *keys: dict[str, Any]) -> None:
        """Publishes these keys and no others."""
        self.status, self.body = 200, json.dumps({"keys": keys}).encode()


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A server of a key set on loopback."""
    made = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked += 1
            self.send_response(made.status)
            self.send_header("location", made.url + "/elsewhere")
            self.send_header("content-length", str(len(made.body) + made.missing_bytes))
            self.end_headers()
            self.wfile.write(made.body)
            if made.missing_bytes:
                self.wfile.flush()
                made.going_on.wait(5)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}/jwks.json"
    yield made
    made.going_on.set()
    server.shutdown()
    server.server_close()


class Rules:
    """Token rules on the provider's keys, and a clock to turn."""

    def __init__(self, provider: Provider, secret: Any = None) -> None:
        self.now = 1_000.0
        self.rules = TokenRules(secret, CLAIMS["iss"], CLAIMS["aud"], KeySet(provider.url, lambda: self.now))

    async def refuse(self, token: str) -> str:
        """Why it is not accepted."""
        with pytest.raises(TokenError) as caught:
            await self.rules.accept(token)
        return str(caught.value)


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (EC, "ES256")])
async def test_accepted(provider: Provider, key: Any, algorithm: str) -> None:
    """Both algorithms; `permissions` and `scope` together; one request for many tokens."""
    provider.show(public(RSA, "r"), public(EC, "e"), {"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "o"}, 5)
    rules = Rules(provider).rules
    key_id = algorithm[0].lower()

    for _ in range(3):
        identity = await rules.accept(signed(key, key_id, algorithm, scope="openid c:d", name="Ursula"))

    assert (identity.sub, identity.name) == ("u-1", "Ursula")
    assert identity.permissions == {"a:b", "openid", "c:d"}
    assert provider.asked == 1


async def test_without_key_id(provider: Provider) -> None:
    """A token may leave its kid out where one key fits; with two of them nobody can tell which."""
    provider.show(public(RSA, None), public(EC, "e"))
    rules = Rules(provider)
    assert (await rules.rules.accept(signed(RSA, None, "RS256"))).sub == "u-1"

    provider.show(public(RSA, "r1"), public(RSA, "r2"))
    rules.now += KEYS_SECONDS_MAX + 1

    assert "not among" in await rules.refuse(signed(RSA, None, "RS256"))


async def test_rotation(provider: Provider) -> None:
    """A new key is found at its first token, one that is gone is refused after some minutes."""
    other = rsa.generate_private_key(65537, 2048)
    provider.show(public(RSA, "old"))
    rules = Rules(provider)
    await rules.rules.accept(signed(RSA, "old", "RS256"))
    provider.show(public(other, "new"))
    rules.now += KEYS_PAUSE_SECONDS + 1

    await rules.rules.accept(signed(other, "new", "RS256"))

    assert provider.asked == 2
    rules.now += KEYS_SECONDS_MAX + 1
    assert "not among" in await rules.refuse(signed(RSA, "old", "RS256"))


async def test_unknown_keys_ask_seldom(provider: Provider) -> None:
    """Tokens with made-up key ids do not become requests to the provider."""
    provider.show(public(RSA, "r"))
    rules = Rules(provider)

    for number in range(50):
        await rules.refuse(signed(RSA, f"made-up-{number}", "RS256"))

    assert provider.asked == 1


async def test_provider_away(provider: Provider) -> None:
    """While the provider is away the keys it had go on to be good, but not for ever."""
    provider.show(public(RSA, "r"))
    rules = Rules(provider)
    token = signed(RSA, "r", "RS256")
    await rules.rules.accept(token)
    provider.status = 503
    rules.now += KEYS_STALE_SECONDS_MAX - 1
    await rules.rules.accept(token)
    rules.now += 2

    with pytest.raises(KeysUnavailable, match="try again"):
        await rules.rules.accept(token)

    provider.status = 200
    rules.now += KEYS_PAUSE_SECONDS + 1
    await rules.rules.accept(token)


async def test_provider_stalls(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that begins to answer and goes no further is away; the keys it had go on to be good."""
    provider.show(public(RSA, "r"))
    rules = Rules(provider)
    token = signed(RSA, "r", "RS256")
    await rules.rules.accept(token)
    monkeypatch.setattr(jwks, "FETCH_SECONDS_MAX", 0.3)
    provider.missing_bytes = 10
    rules.now += KEYS_SECONDS_MAX + 1

    assert (await rules.rules.accept(token)).sub == "u-1"


async def test_provider_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that takes connections and says nothing, from the start on: nobody waits for the others' turns."""
    monkeypatch.setattr(jwks, "FETCH_SECONDS_MAX", 1)
    monkeypatch.setattr(jwks, "KEYS_PAUSE_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        keys = KeySet(f"http://127.0.0.1:{silent.getsockname()[1]}/jwks.json")
        rules = TokenRules(None, CLAIMS["iss"], CLAIMS["aud"], keys)
        started = time.monotonic()
        asked = (rules.accept(signed(RSA, "r", "RS256")) for _ in range(10))
        found = await asyncio.gather(*asked, return_exceptions=True)

    assert {type(one) for one in found} == {KeysUnavailable}
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "body",
    [b"", b"no json", b"[]", b'{"keys": 5}', b"\xff", b'{"keys": [' + b"[" * 50_000, b" " * 2_000_000],
    ids=["empty", "no json", "array", "number", "no utf-8", "deep", "large"],
)
async def test_no_key_set(provider: Provider, body: bytes) -> None:
    """An answer that is no key set counts as none; so does a redirect, which could lead anywhere."""
    provider.show(public(RSA, "r"))
    shown = provider.body
    provider.body = body

    with pytest.raises(KeysUnavailable):
        await Rules(provider).rules.accept(signed(RSA, "r", "RS256"))

    provider.status, provider.body = 302, shown
    with pytest.raises(KeysUnavailable):
        await Rules(provider).rules.accept(signed(RSA, "r", "RS256"))


async def test_algorithm_confusion(provider: Provider) -> None:
    """Each key has one algorithm: a public key is no secret, whatever a token's header says."""
    modulus = public(RSA, "r")
    provider.show(modulus, public(EC, "e"), {"kty": "oct", "k": "AAAA" * 20, "kid": "s", "alg": "HS256"})
    rules = Rules(provider)
    header = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": "r"}).encode()).decode().rstrip("=")
    payload = signed(RSA, "r", "RS256").split(".")[1]

    assert "cannot be accepted" in await rules.refuse(f"{header}.{payload}.AAAA")
    assert "not among" in await rules.refuse(signed(EC, "r", "ES256"))
    assert "cannot be accepted" in await rules.refuse(signed(rsa.generate_private_key(65537, 2048), "r", "RS256"))
    assert "cannot be accepted" in await rules.refuse(signed(RSA, "r", "RS384"))
    hmac = jwt.encode({**CLAIMS, "iat": 1, "exp": 9e9}, "AAAA" * 20, "HS256", headers={"kid": "s"})
    assert "cannot be accepted" in await rules.refuse(hmac)


async def test_unfit_keys(provider: Provider) -> None:
    """Keys for encryption and keys too short sign nothing; so does one whose private half was published."""
    short = rsa.generate_private_key(65537, 1024)  # noqa: S505 - too short on purpose
    private = json.loads(jwt.get_algorithm_by_name("RS256").to_jwk(RSA))
    provider.show(public(short, "short"), public(RSA, "enc", use="enc"), private | {"kid": "private"})
    rules = Rules(provider)

    assert "cannot be accepted" in await rules.refuse(signed(short, "short", "RS256"))
    assert "not among" in await rules.refuse(signed(RSA, "enc", "RS256"))
    assert "not among" in await rules.refuse(signed(RSA, "private", "RS256"))


async def test_claims_are_checked(provider: Provider) -> None:
    """A good signature is not enough."""
    provider.show(public(RSA, "r"))
    rules = Rules(provider)

    assert "aud" in await rules.refuse(signed(RSA, "r", "RS256", aud="other"))
    assert "iss" in await rules.refuse(signed(RSA, "r", "RS256", iss="other"))
    assert "expired" in await rules.refuse(signed(RSA, "r", "RS256", exp=1))
    assert "scope" in await rules.refuse(signed(RSA, "r", "RS256", scope={"a": 1}))


async def test_without_keys_public_algorithms_are_refused() -> None:
    """Without a provider there is the secret alone."""
    rules = TokenRules(None, CLAIMS["iss"], CLAIMS["aud"])
    with pytest.raises(TokenError):
        await rules.accept(signed(RSA, "r", "RS256"))
    with pytest.raises(TokenError, match="SEGMENTS_JWT_SECRET"):
        rules.issue("u", "U", [], 1)


@pytest.mark.parametrize("url", ["login.example.com", "file:///etc/passwd", "https://", "https:// x"])
def test_setting(url: str) -> None:
    """An unusable address stops the start."""
    with pytest.raises(SettingsError, match="SEGMENTS_JWKS_URL"):
        load_settings(jwks_url=url)
