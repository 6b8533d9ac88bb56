"""Parameters of the query, of every route there is: none is taken silently that nobody can have meant."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from service.api.auth import PUBLIC_PATHS
from service.app.tokens import Permission
from tests.api.support import Api, bearer, token

SOME = str(uuid4())


def routes_with_parameters(api: Api) -> Iterator[tuple[str, str, str]]:
    """(method, address, parameter) of every route that takes any."""
    document = api.app.openapi()
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            for one in route.get("parameters", ()):
                if one["in"] == "query" and path not in PUBLIC_PATHS:
                    yield method.upper(), path, one["name"]


def address(path: str) -> str:
    """The address with an id for each name in it."""
    return "/".join(SOME if part.startswith("{") else part for part in path.split("/"))


async def test_repeated(api: Api) -> None:
    """A parameter that comes twice is a 422 that names it, on every route; neither of them counts."""
    asked = list(routes_with_parameters(api))
    assert len(asked) > 30
    for method, path, name in asked:
        query = f"{name}=1&{name}=2"
        response = await api.client.request(method, f"{address(path)}?{query}", headers=bearer(token(*Permission)))

        assert response.status_code == 422, (method, path, name)
        assert response.json()["errors"] == [
            {"path": name, "message": "is given 2 times; give it once", "code": "repeated_parameter"}
        ]


async def test_null_character(api: Api) -> None:
    """U+0000 in a parameter is a 422 that names it, on every route."""
    segment = (await api.create())["id"]
    for method, path, name in routes_with_parameters(api):
        at = address(path).replace(SOME, segment)
        response = await api.client.request(method, f"{at}?{name}=%00", headers=bearer(token(*Permission)))

        faults = [fault["path"] for fault in response.json()["errors"]]
        assert response.status_code == 422, (method, path, name, response.text)
        assert name in faults or path.endswith("/overlap"), (  # which first of all needs segments
            method,
            path,
            name,
            faults,
        )


@pytest.mark.parametrize("path", ["/analytics", "/flows", "/cohorts"])
async def test_empty_zone(api: Api, path: str) -> None:
    """An empty tz is not the default."""
    segment = (await api.create())["id"]
    response = await api.send("GET", f"/{segment}{path}?tz=")

    assert response.status_code == 422, response.text
    assert response.json()["errors"][0]["path"] == "tz"
