"""Errors as answers: the one table of status codes, and one body for all of them.

The body is an RFC 9457 problem document and at the same time the service's own {"success": false, ...}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from service.app.campaigns.campaigns import CampaignConflict, CampaignMissing, CampaignRefused
from service.app.exact_json import dumps
from service.app.segments import RevisionMismatch, SegmentConflict, SegmentMissing, SegmentRefused
from service.core.criteria.parse import CriteriaError

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
#: How many faults the message repeats; `errors` has them all.
FAULTS_IN_MESSAGE_MAX: Final = 3
TEXT_CHARACTERS_MAX: Final = 1_000

#: What went wrong -> status and title. Nowhere else does the API name a status of failure.
STATUS: Final[Mapping[str, tuple[int, str]]] = {
    "invalid_json": (400, "Bad Request"),
    "invalid_header": (400, "Bad Request"),
    "unauthenticated": (401, "Unauthorized"),
    "forbidden": (403, "Forbidden"),
    "not_found": (404, "Not Found"),
    "method_not_allowed": (405, "Method Not Allowed"),
    "conflict": (409, "Conflict"),
    "precondition_failed": (412, "Precondition Failed"),
    "too_large": (413, "Content Too Large"),
    "unsupported_media_type": (415, "Unsupported Media Type"),
    "invalid": (422, "Unprocessable Content"),
    "too_many": (429, "Too Many Requests"),
    "internal": (500, "Internal Server Error"),
    "unavailable": (503, "Service Unavailable"),
}
_CODE_OF_STATUS: Final = {status: code for code, (status, _) in STATUS.items()}

#: Better sentences than pydantic's own, by its type of fault.
_SENTENCES: Final = {
    "missing": "is required",
    "string_type": "must be a text",
    "string_unicode": "must not hold half a surrogate pair",
    "bool_parsing": "must be true or false",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of a sensible size",
    "dict_type": "must be an object",
    "model_type": "must be a JSON object",
}


#: What routes refuse a request with, before anything was done; each has its answer below.
REFUSALS: Final = (
    SegmentMissing,
    SegmentConflict,
    RevisionMismatch,
    SegmentRefused,
    CriteriaError,
    CampaignMissing,
    CampaignConflict,
    CampaignRefused,
    RequestValidationError,
    HTTPException,
)


class Fault(NamedTuple):
    """One thing that is wrong with a request: where, what and how to mend it."""

    path: str
    message: str
    code: str


class ApiError(Exception):
    """A request that cannot be answered as asked; `code` is a key of STATUS."""

    def __init__(
        self, code: str, message: str, faults: Sequence[Fault] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.faults, self.headers = code, message, faults, dict(headers or {})


def refused(faults: Sequence[Fault]) -> ApiError:
    """The request is understood but wrong in these places; the message repeats the first of them."""
    said = "; ".join(f"{fault.path}: {fault.message}" for fault in faults[:FAULTS_IN_MESSAGE_MAX])
    more = len(faults) - FAULTS_IN_MESSAGE_MAX
    return ApiError("invalid", f"{said}; and {more} more" if more > 0 else said, faults)


def problem(code: str, message: str, path: str, faults: Sequence[Fault] = ()) -> dict[str, Any]:
    """The body of an error."""
    status, title = STATUS[code]
    said = printable(message)
    return {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": said,
        "instance": quote(path, errors="replace"),
        "success": False,
        "message": said,
        "request_id": structlog.contextvars.get_contextvars().get("request_id"),
        "errors": [
            {"path": printable(fault.path), "message": printable(fault.message), "code": fault.code} for fault in faults
        ],
    }


def problem_response(error: ApiError, path: str) -> Response:
    """The answer to a request that failed."""
    body = problem(error.code, error.message, path, error.faults)
    return Response(dumps(body), body["status"], error.headers, PROBLEM_MEDIA_TYPE)


def printable(text: str) -> str:
    """The text in a form that can be sent: callers' keys and values may hold half surrogate pairs."""
    return text[:TEXT_CHARACTERS_MAX].encode("utf-8", "backslashreplace").decode()


def faults_of(error: ValidationError | RequestValidationError, known: Sequence[str] = ()) -> list[Fault]:
    """Pydantic's faults as ours.

    Args:
        error: of a body, or of the parameters of a request.
        known: the fields there are, to name them where one is unknown.
    """
    faults = []
    for one in error.errors():
        place = one["loc"][1:] if isinstance(error, RequestValidationError) else one["loc"]
        path = path_text(place) or "body"
        if one["type"] == "extra_forbidden":
            message = f"is not known here; use {', '.join(known)}"
        elif one["type"] == "value_error":
            message = str(one["ctx"]["error"])
        else:
            message = _SENTENCES.get(one["type"]) or str(one["msg"]).replace("Input should", "must").replace(
                "String should", "must"
            )
        faults.append(Fault(path, message, one["type"]))
    return faults


def path_text(place: Sequence[str | int]) -> str:
    """Where something stands, as all errors write it: `criteria.all[1].total_spent`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def etag(revision: int) -> str:
    """The entity tag of a segment or campaign (RFC 9110, section 8.8.3)."""
    return f'"{revision}"'


def methods_of(request: Request) -> list[str]:
    """All methods that the request's address takes, of the routes that name it most exactly."""
    found: dict[int, set[str]] = {}
    for route in iter_route_contexts(request.app.routes):
        pattern, _, parameters = compile_path(route.path or "")
        if pattern.match(request.url.path):
            found.setdefault(len(parameters), set()).update(route.methods or ())
    methods = found[min(found)] if found else set()
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))


def add_error_handlers(app: FastAPI) -> None:
    """Every exception that a request may end with, but for what nobody foresaw (see guard)."""

    async def own(request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)  # noqa: S101 - registered for it below
        return problem_response(error, request.url.path)

    async def missing(request: Request, error: Exception) -> Response:
        return problem_response(ApiError("not_found", str(error)), request.url.path)

    async def conflict(request: Request, error: Exception) -> Response:
        return problem_response(ApiError("conflict", str(error)), request.url.path)

    async def changed(request: Request, error: Exception) -> Response:
        assert isinstance(error, RevisionMismatch)  # noqa: S101 - registered for it below
        headers = {"etag": etag(error.revision)}
        return problem_response(ApiError("precondition_failed", str(error), headers=headers), request.url.path)

    async def unfit(request: Request, error: Exception) -> Response:
        assert isinstance(error, SegmentRefused)  # noqa: S101 - registered for it below
        return problem_response(refused([Fault(error.path, str(error), "value_error")]), request.url.path)

    async def faulty(request: Request, error: Exception) -> Response:
        assert isinstance(error, CriteriaError | CampaignRefused)  # noqa: S101 - registered for them below
        return problem_response(refused([Fault(*fault) for fault in error.faults]), request.url.path)

    async def parameters(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it below
        return problem_response(refused(faults_of(error)), request.url.path)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for it below
        code = _CODE_OF_STATUS.get(error.status_code, "internal")
        message = {
            "not_found": "There is nothing at this address; /docs lists what there is",
            "method_not_allowed": f"{request.method} is not possible here; /docs lists what is",
        }.get(code, str(error.detail))
        headers = {name.lower(): value for name, value in (error.headers or {}).items()}
        if code == "method_not_allowed":
            headers["allow"] = ", ".join(methods_of(request))
        return problem_response(ApiError(code, message, headers=headers), request.url.path)

    app.add_exception_handler(ApiError, own)
    app.add_exception_handler(SegmentMissing, missing)
    app.add_exception_handler(SegmentConflict, conflict)
    app.add_exception_handler(RevisionMismatch, changed)
    app.add_exception_handler(SegmentRefused, unfit)
    app.add_exception_handler(CriteriaError, faulty)
    app.add_exception_handler(CampaignMissing, missing)
    app.add_exception_handler(CampaignConflict, conflict)
    app.add_exception_handler(CampaignRefused, faulty)
    app.add_exception_handler(RequestValidationError, parameters)
    app.add_exception_handler(HTTPException, http)
