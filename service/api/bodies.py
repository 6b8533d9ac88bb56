"""Bodies in and out. Request bodies are read here and not by the framework: after the permission check, within a limit,
and with every kind of broken JSON answered by a sentence.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

from fastapi import Request, Response
from pydantic import BaseModel, ValidationError

from service.api.errors import ApiError, Fault, faults_of, refused
from service.app.exact_json import JsonError, dumps, loads

BODY_BYTES_MAX: Final = 1_048_576
#: No body has nearly as many; each unknown one would be a fault of its own.
BODY_FIELDS_MAX: Final = 100

Model = TypeVar("Model", bound=BaseModel)


def answer(data: Any, message: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A success."""
    return Response(dumps({"success": True, "data": data, "message": message}), status, headers, "application/json")


async def read_body(request: Request, model: type[Model], bytes_max: int = BODY_BYTES_MAX) -> Model:
    """The request's JSON body as this model.

    Raises:
        ApiError: too_large, invalid_json, or invalid with every fault.
    """
    body = await read_body_if_any(request, model, bytes_max)
    if body is None:
        raise no_body(model)
    return body


def no_body(model: type[BaseModel]) -> ApiError:
    """What is said where a body is missing that a route needs."""
    names = {one.alias or name: one.is_required() for name, one in model.model_fields.items()}
    needed = [name for name, is_required in names.items() if is_required] or list(names)
    message = f"is missing; send a JSON object with {', '.join(needed)}"
    return ApiError("invalid_json", f"body: {message}", [Fault("body", message, "missing")])


async def read_body_if_any(request: Request, model: type[Model], bytes_max: int = BODY_BYTES_MAX) -> Model | None:
    """As `read_body`; None where there is no body, which whoever needs none may leave out."""
    raw = await read_bytes(request, bytes_max)
    if not raw.strip():
        return None
    try:
        source = loads(raw, allow_repeats=False)
    except JsonError as error:
        raise ApiError("invalid_json", str(error)) from None
    if isinstance(source, dict) and len(source) > BODY_FIELDS_MAX:
        message = f"has {len(source)} fields; at most {BODY_FIELDS_MAX} are read"
        raise refused([Fault("body", message, "too_many_fields")])
    try:
        return model.model_validate(source)
    except ValidationError as error:
        known = tuple(one.alias or name for name, one in model.model_fields.items())
        raise refused(faults_of(error, known=known)) from None


async def read_bytes(request: Request, bytes_max: int) -> bytes:
    """The request's body as it came.

    Raises:
        ApiError: too_large, or unsupported_media_type: it is compressed.
    """
    refuse_compressed(request)
    too_large = ApiError("too_large", f"The body must not be larger than {bytes_max} bytes")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and len(announced) < 20 and int(announced) > bytes_max:
        raise too_large
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > bytes_max:
            raise too_large
        chunks.append(chunk)
    return b"".join(chunks)


def is_body_announced(request: Request) -> bool:
    """Whether the request says that a body comes, be it empty in the end."""
    length = request.headers.get("content-length", "0")
    return "transfer-encoding" in request.headers or length != "0"


def refuse_compressed(request: Request) -> None:
    """Bodies are read as they come: a small one that becomes a large one would pass every limit.

    Raises:
        ApiError: unsupported_media_type.
    """
    coding = ", ".join(request.headers.getlist("content-encoding")).strip().lower()
    if coding not in ("", "identity"):
        message = "must not be there: compressed bodies are not read; send the body as it is"
        fault = Fault("content-encoding", message, "unsupported_media_type")
        said = f"{fault.path}: {message}"
        raise ApiError("unsupported_media_type", said, [fault], {"accept-encoding": "identity"})


def body_docs(model: type[BaseModel], examples: dict[str, Any], *, is_required: bool = True) -> dict[str, Any]:
    """What OpenAPI says about a body that `read_body` reads."""
    schema = model.model_json_schema()
    schema = _inlined(schema, schema.pop("$defs", {}))
    named = {name.replace(" ", "_"): {"summary": name, "value": value} for name, value in examples.items()}
    return {
        "requestBody": {
            "required": is_required,
            "content": {"application/json": {"schema": schema, "examples": named}},
        }
    }


def _inlined(schema: Any, known: dict[str, Any]) -> Any:
    """The schema with the models inside it written out: what they refer to is not among OpenAPI's components."""
    if isinstance(schema, list):
        return [_inlined(one, known) for one in schema]
    if not isinstance(schema, dict):
        return schema
    whole = {name: _inlined(one, known) for name, one in schema.items() if name != "$ref"}
    if "$ref" not in schema:
        return whole
    return {**_inlined(known[schema["$ref"].removeprefix("#/$defs/")], known), **whole}
