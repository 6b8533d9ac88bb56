"""Whom a record that is no event may be about: as good a guess as its bytes allow, so that erasure finds it."""

from __future__ import annotations

import json
import re
from typing import Final
from uuid import UUID

from service.core import identity
from service.core.events.check import Fault
from service.core.events.envelope import Headers
from service.core.events.upstream.fields import ShopFields
from service.core.events.upstream.shopify import TOPIC_HEADER, body_of, customer_of_key, topic_of

_TEXT: Final = rb'"(?:[^"\\]|\\.){1,1000}"'
#: Also where the JSON around it is broken or cut off; userId is what calls after Segment's specification name.
_NAMED: Final = re.compile(rb'"customer_id"\s*:\s*(%b)|"userId"\s*:\s*(%b|\d{1,128})' % (_TEXT, _TEXT))
#: The customer of a Shopify order whose JSON is broken or cut off: the object's own id, before any inner object.
_SHOPIFY: Final = re.compile(rb'"customer"\s*:\s*\{[^{}]*?"id"\s*:\s*(%b|\d{1,128})' % _TEXT)


def owner_of(value: bytes | None, key: bytes | None, headers: Headers = ()) -> UUID | None:
    """The customer that a record's value names first, else the one whose id is its key; None where there is none."""
    raw = value or b""
    webhook = _of_webhook(raw, key, headers)
    if webhook is not None:
        return _customer(json.dumps(webhook))
    named = _NAMED.search(raw)
    found = (named and (named[1] or named[2])) or _shopify_customer(raw)
    return (_customer(found) if found else None) or _customer(json.dumps((key or b"").decode(errors="replace")))


def _of_webhook(raw: bytes, key: bytes | None, headers: Headers) -> str | None:
    """The id of the customer that a Shopify webhook is about; None for all other records."""
    topic = next((text for name, text in headers if name.lower() == TOPIC_HEADER and text), None)
    if topic is None and b'"payload"' not in raw:
        return None
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError):
        found = _shopify_customer(raw)
        return found.strip(b'"').decode(errors="replace") if found else None
    kind = topic_of(record, {} if topic is None else {TOPIC_HEADER: topic.decode(errors="replace")})
    if kind is None:
        return None
    try:
        body = ShopFields(body_of(record))
        if kind.startswith("customers/") and kind != "customers/redact":
            return body.id("id", "admin_graphql_api_id")
        return body.part("customer").id("id", "admin_graphql_api_id") or customer_of_key(key)
    except Fault:
        return None


def _shopify_customer(raw: bytes) -> bytes | None:
    """Also of a webhook whose topic was not forwarded, so that nothing knows it as one."""
    found = _SHOPIFY.search(raw)
    return found[1] if found else None


def _customer(text: bytes | str) -> UUID | None:
    try:
        found = json.loads(text)
        return identity.customer_uuid(str(found) if isinstance(found, int) else found)
    except ValueError:
        return None
