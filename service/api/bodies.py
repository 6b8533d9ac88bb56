"""Bodies in and out. Request bodies are read here and not by the framework: after the permission check, within a limit,
and with every kind of broken JSON answered by a sentence.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

from fastapi import Request, Response
from pydantic import BaseModel, ValidationError

from service.api.errors import ApiError, faults_of, refused
from service.app.exact_json import JsonError, dumps, loads

BODY_BYTES_MAX: Final = 1_048_576

Model = TypeVar("Model", bound=BaseModel)


def answer(data: Any, message: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A success."""
    return Response(dumps({"success": True, "data": data, "message": message}), status, headers, "application/json")


async def read_body(request: Request, model: type[Model]) -> Model:
    """The request's JSON body as this model.

    Raises:
        ApiError: too_large, invalid_json, or invalid with every fault.
    """
    raw = await _read_bytes(request)
    if not raw.strip():
        raise ApiError("invalid_json", "The request needs a body: a JSON object")
    try:
        source = loads(raw, allow_repeats=False)
    except JsonError as error:
        raise ApiError("invalid_json", str(error)) from None
    try:
        return model.model_validate(source)
    except ValidationError as error:
        raise refused(faults_of(error, known=tuple(model.model_fields))) from None


async def _read_bytes(request: Request) -> bytes:
    too_large = ApiError("too_large", f"The body must not be larger than {BODY_BYTES_MAX} bytes")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and len(announced) < 20 and int(announced) > BODY_BYTES_MAX:
        raise too_large
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise too_large
        chunks.append(chunk)
    return b"".join(chunks)


def body_docs(model: type[BaseModel], examples: dict[str, Any]) -> dict[str, Any]:
    """What OpenAPI says about a body that `read_body` reads."""
    schema = model.model_json_schema()
    named = {name.replace(" ", "_"): {"summary": name, "value": value} for name, value in examples.items()}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema, "examples": named}}}}
