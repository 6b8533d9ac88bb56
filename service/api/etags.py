"""ETag and If-Match: a change that was made on a stale picture of the segment is refused."""

from __future__ import annotations

import re
from typing import Annotated, Final

from fastapi import Depends, Header, Request

from service.api.errors import ApiError, etag
from service.app.segments import Segment

#: RFC 9110, section 8.8.3: tags with commas between.
_TAG: Final = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS: Final = re.compile(rf"[ \t,]*{_TAG}(?:[ \t]*,[ \t,]*{_TAG})*[ \t,]*")
#: If-Match compares strongly, so a weak tag matches nothing.
_STRONG: Final = re.compile(r'(W/)?"([^"]*)"')


def etag_headers(segment: Segment) -> dict[str, str]:
    """The header that names the segment's present revision."""
    return {"etag": etag(segment.revision)}


def expected_revisions(
    request: Request,
    _: Annotated[
        str | None,
        Header(
            alias="if-match",
            description="The ETag of the segment as you know it; 412 if it has changed since",
            json_schema_extra={"pattern": r'^(\*|"[!#-~]*")$'},  # as it is answered; lists and weak ones are read, too
        ),
    ] = None,
) -> frozenset[str] | None:
    """The revisions that the caller would accept; None for any.

    Raises:
        ApiError: If-Match is neither * nor a list of entity tags.
    """
    lines = request.headers.getlist("if-match")
    text = ",".join(lines).strip(" \t")
    if not lines or text == "*":
        return None
    if not _TAGS.fullmatch(text):
        raise ApiError("invalid_header", 'If-Match must be an ETag as it was answered, such as "3", or *')
    return frozenset(tag for weak, tag in _STRONG.findall(text) if not weak)


#: For routes that change a segment; comes after the identity, so that who may not change anything learns nothing.
Expected = Annotated[frozenset[str] | None, Depends(expected_revisions)]
