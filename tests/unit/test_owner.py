"""Whom a record that is no event may be about."""

from __future__ import annotations

import pytest

from service.core.events.owner import owner_of
from service.core.identity import customer_uuid

UPPER = "0A000000-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("value", "key", "name"),
    [
        (b'{"data": {"customer_id" : "a", "currency": "XXX"}}', None, "a"),
        (b'{"data": {"customer_id": "a"', b"b", "a"),
        (b'{"customer_id": "\\u00e4\\"b"}', None, 'ä"b'),
        (b'{"customer_id": "%b"}' % UPPER.encode(), None, UPPER.lower()),
        (b"{broken", b"a", "a"),
        # A webhook of Shopify whose topic was not forwarded.
        (b'{"id": 1, "email": "a@b.c", "customer": {"email": "a@b.c", "id": 77}}', None, "77"),
        (b'{"type": "track", "userId": "a", "properties": {"n": "Ada"}}', None, "a"),
        (None, b"a", "a"),
        (b'{"customer_id": ""}', b"a", "a"),
        (b'{"customer_id": "%b"}' % (b"x" * 129), b"a", "a"),
        (b'{"customer_id": 5}', None, None),
        (b"\xff", b"", None),
        (None, None, None),
        (b'{"customer_id": "\\ud800"}', None, None),
    ],
)
def test_owner(value: bytes | None, key: bytes | None, name: str | None) -> None:
    """The id in the value, however broken the rest is, else the key."""
    assert owner_of(value, key) == (None if name is None else customer_uuid(name))


def test_key_that_is_no_text() -> None:
    """Bytes that are no UTF-8 name somebody whom nobody will erase."""
    assert owner_of(None, b"\xff\xfe") is not None
