"""The OpenAPI document, and Swagger UI from this machine alone."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import swagger_ui_bundle
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse

from service.api.errors import PROBLEM_MEDIA_TYPE, STATUS, ApiError, problem
from service.api.schemas import Problem
from service.app.exact_json import dumps

router: Final = APIRouter(include_in_schema=False)

_ASSETS: Final = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>customer-segments API</title>
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
<link rel="icon" href="docs/assets/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/assets/swagger-ui-bundle.js"></script>
<script src="docs/assets/start.js"></script>
</body>
</html>
"""
# Without validatorUrl: null the page would ask validator.swagger.io about the document.
_START: Final = """SwaggerUIBundle({
  url: "docs/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  persistAuthorization: false
});
"""
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_DESCRIPTION: Final = """Segments of customers, kept while events come in.

Every answer is `{"success": true, "data": ..., "message": ...}`; every error is an RFC 9457 problem document with
`success: false`, a `message` and `errors`, each with path, message and code. Press Authorize and paste a token, such as
`segments token --sub me --name Me --permissions customer_segments:read` prints.
"""
#: What any route may answer, by code of STATUS; those with a body may answer more.
_COMMON: Final = ("unauthenticated", "forbidden", "invalid", "too_many", "internal", "unavailable")
_WITH_BODY: Final = ("invalid_json", "too_large", "unsupported_media_type")
#: What a route declares by itself.
_DECLARED: Final = ("invalid_header", "conflict", "precondition_failed")


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """The API in OpenAPI 3.1."""
    return Response(dumps(document(request.app)), media_type="application/json")


@router.get("/docs/openapi.json")
async def openapi_for_page(request: Request) -> Response:
    """The API in OpenAPI 3.0, all that this Swagger UI (4.15) can show."""
    found = as_3_0(document(request.app))
    return Response(dumps({**found, "openapi": "3.0.3"}), media_type="application/json")


@router.get("/docs")
async def page() -> Response:
    """Swagger UI."""
    return Response(_PAGE, headers={"content-security-policy": _POLICY}, media_type="text/html; charset=utf-8")


@router.get("/docs/assets/{name}")
async def asset(name: str) -> Response:
    """A file of Swagger UI."""
    headers = {"cache-control": "public, max-age=3600"}
    if name == "start.js":
        return Response(_START, headers=headers, media_type="text/javascript")
    if name not in _ASSETS:
        raise ApiError("not_found", "There is no such file")
    return FileResponse(Path(swagger_ui_bundle.swagger_ui_path) / name, headers=headers, media_type=_ASSETS[name])


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, made once."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes)
        _add_problems(made)
        app.openapi_schema = made
    return app.openapi_schema


def _add_problems(made: dict[str, Any]) -> None:
    """Writes down how each route may fail, in place of the framework's own form of a 422."""
    schemas = made["components"]["schemas"]
    schemas["Problem"], parts = _problem_schema()
    schemas.update(parts)
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path, operations in made["paths"].items():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            declared = operation["responses"]
            codes = list(_COMMON) if "security" in operation else ["unavailable"] * path.startswith("/readyz")
            codes += ["not_found"] * ("{" in path) + list(_WITH_BODY) * ("requestBody" in operation)
            codes += [code for code in _DECLARED if str(STATUS[code][0]) in declared]
            for code in sorted(codes, key=lambda one: STATUS[one][0]):
                status, failure = str(STATUS[code][0]), _failure(code, path)
                failure["content"] |= declared.get(status, {}).get("content", {})
                declared[status] = failure


def _failure(code: str, path: str) -> dict[str, Any]:
    example = problem(code, f"A sentence that says what is wrong ({STATUS[code][1]}) and how to mend it", path)
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": STATUS[code][1],
        "content": {PROBLEM_MEDIA_TYPE: {"schema": schema, "example": example}},
    }


@cache
def _problem_schema() -> tuple[dict[str, Any], dict[str, Any]]:
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    return schema, schema.pop("$defs", {})


def as_3_0(node: Any) -> Any:
    """What 3.1 says with null types, const and examples, in the words of 3.0."""
    if isinstance(node, list):
        return [as_3_0(part) for part in node]
    if not isinstance(node, dict):
        return node
    said = {key: as_3_0(value) for key, value in node.items()}
    if isinstance(said.get("anyOf"), list) and {"type": "null"} in said["anyOf"]:
        others = [one for one in said.pop("anyOf") if one != {"type": "null"}]
        said |= {"nullable": True, **(others[0] if len(others) == 1 and "$ref" not in others[0] else {"anyOf": others})}
    if "const" in said:
        said["enum"] = [said.pop("const")]
    if isinstance(said.get("examples"), list):
        said["example"] = said.pop("examples")[0]
    return said
