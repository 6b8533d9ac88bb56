"""Keys, codes, links and hidden addresses: what only the secret can make."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.campaigns import links
from service.core.campaigns.codes import ALPHABET, generated_code, normalised_code
from service.core.campaigns.links import Link, Purpose
from service.core.campaigns.secrets import Purpose as KeyPurpose
from service.core.campaigns.secrets import address_hash, derived_key, normalised_address
from tests.unit.campaigns.support import CAMPAIGN, MESSAGE

SECRET = "not a secret, but a test"  # noqa: S105
KEY = derived_key(SECRET, KeyPurpose.LINKS)
KEYS = {links.KEY_ID: KEY}


def test_keys() -> None:
    """One for each purpose: HMAC-SHA256 of its name."""
    keys = {derived_key(SECRET, purpose) for purpose in KeyPurpose}

    assert len(keys) == len(KeyPurpose)
    assert hmac.new(SECRET.encode(), b"links", hashlib.sha256).digest() == KEY


def test_code() -> None:
    """The prefix and 10 of 29 characters; the same at every attempt, another for another counter, message or key."""
    code = generated_code(KEY, MESSAGE, "K7-")

    assert re.fullmatch(f"K7-[{ALPHABET}]{{10}}", code)
    assert len(set(ALPHABET)) == 29
    assert code == generated_code(KEY, MESSAGE, "K7-")
    others = {
        generated_code(KEY, MESSAGE, "K7-", 1),
        generated_code(KEY, MESSAGE, "K7-", 2),
        generated_code(KEY, CAMPAIGN, "K7-"),
        generated_code(KEY + b"1", MESSAGE, "K7-"),
        code,
    }
    assert len(others) == 5


def test_codes_are_spread() -> None:
    """Of 20,000 messages no two have the same, and every character is as frequent as the others."""
    codes = [generated_code(KEY, UUID(int=number)) for number in range(20_000)]
    counts = [sum(code.count(one) for code in codes) for one in ALPHABET]

    assert len(set(codes)) == len(codes)
    assert max(counts) < 1.1 * min(counts)


def test_codes_are_compared_trimmed_in_upper_case() -> None:
    """As people type them."""
    assert normalised_code("  k7-3fj9qwz2md\n") == "K7-3FJ9QWZ2MD"


@given(st.sampled_from(Purpose), st.uuids(), st.integers(0, 10_000))
def test_links_come_back(purpose: Purpose, message: UUID, index: int) -> None:
    """What was signed is read, by its own purpose and key only; it needs no escaping in a URL."""
    link = Link(purpose, message, index)
    token = links.sign(KEY, link)

    assert re.fullmatch(r"v1\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{22}", token)
    assert len(token) <= links.TOKEN_CHARACTERS_MAX
    assert links.read(KEYS, token, purpose) == link
    assert all(links.read(KEYS, token, other) is None for other in Purpose if other != purpose)
    assert links.read({links.KEY_ID: b"another"}, token, purpose) is None
    assert links.read({"2": KEY}, token, purpose) is None


def test_form_of_tokens() -> None:
    """v1, the payload kid|purpose|message_id|link_index, and 16 bytes of HMAC-SHA256 of all before."""
    version, payload, signature = links.sign(KEY, Link(Purpose.CLICK, MESSAGE, 3)).split(".")

    assert base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)) == f"1|c|{MESSAGE}|3".encode()
    expected = hmac.new(KEY, f"{version}.{payload}".encode(), hashlib.sha256).digest()[:16]
    assert base64.urlsafe_b64decode(signature + "==") == expected


@given(st.integers(0, 300), st.integers(1, 127))
def test_changed_tokens_are_none(place: int, shift: int) -> None:
    """One character changed anywhere, and the token says nothing, or by its last bits the same."""
    link = Link(Purpose.CLICK, MESSAGE, 3)
    token = links.sign(KEY, link)
    place %= len(token)
    changed = token[:place] + chr((ord(token[place]) + shift) % 128) + token[place + 1 :]

    found = links.read(KEYS, changed, Purpose.CLICK)
    # Six bits of the last character hold two of the signature.
    assert found is None or (found == link and place == len(token) - 1)


@given(
    st.one_of(st.text(max_size=80), st.from_regex(r"v1\.[A-Za-z0-9_=|-]{0,60}\.[A-Za-z0-9_-]{0,30}", fullmatch=True))
)
def test_strange_tokens_are_none(token: str) -> None:
    """Whatever somebody sends."""
    assert links.read(KEYS, token, Purpose.OPEN) is None


def test_long_tokens_are_none() -> None:
    """They are not even looked at."""
    assert links.read(KEYS, "v1." + "A" * 10_000_000 + ".B", Purpose.OPEN) is None


@pytest.mark.parametrize(
    ("channel", "address", "expected"),
    [
        ("email", " Ann@Example.ORG ", "ann@example.org"),
        ("sms", "+1 (202) 555-0123", "+12025550123"),
        ("sms", "12025550123", "+12025550123"),
        ("notification", " Token:X ", "Token:X"),
    ],
)
def test_addresses(channel: str, address: str, expected: str) -> None:
    """Spellings of one address are one, and hidden they are one as well."""
    assert normalised_address(channel, address) == expected  # type: ignore[arg-type]
    assert address_hash(KEY, channel, address) == address_hash(KEY, channel, expected)  # type: ignore[arg-type]


def test_hidden_addresses() -> None:
    """32 bytes that differ by address, channel and key."""
    hidden = {
        address_hash(KEY, "email", "ann@example.org"),
        address_hash(KEY, "email", "bob@example.org"),
        address_hash(KEY, "notification", "ann@example.org"),
        address_hash(KEY + b"1", "email", "ann@example.org"),
    }

    assert len(hidden) == 4
    assert {len(one) for one in hidden} == {32}
