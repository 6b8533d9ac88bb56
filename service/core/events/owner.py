"""Whom a record that is no event may be about: as good a guess as its bytes allow, so that erasure finds it."""

from __future__ import annotations

import json
import re
from typing import Final
from uuid import UUID

from service.core import identity

#: Also where the JSON around it is broken or cut off; userId is what calls after Segment's specification name.
_NAMED: Final = re.compile(rb'"(?:customer_id|userId)"\s*:\s*("(?:[^"\\]|\\.){1,1000}")')


def owner_of(value: bytes | None, key: bytes | None) -> UUID | None:
    """The customer that a record's value names first, else the one whose id is its key; None where there is none."""
    named = _NAMED.search(value or b"")
    return (_customer(named[1]) if named else None) or _customer(json.dumps((key or b"").decode(errors="replace")))


def _customer(text: bytes | str) -> UUID | None:
    try:
        return identity.customer_uuid(json.loads(text))
    except ValueError:
        return None
