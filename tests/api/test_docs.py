"""Documentation and health."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

from aiokafka.errors import KafkaConnectionError

from service.api import health
from service.api.schemas import NewSegmentBody, Problem, SegmentChangeBody
from service.api.segments import _CHANGE_EXAMPLES, _CREATE_EXAMPLES
from service.app.pins import read_ids
from service.core.criteria.parse import parse_criteria
from tests.api.support import Api


def references(node: Any) -> set[str]:
    """All $ref of a document."""
    if isinstance(node, list):
        return set().union(*map(references, node)) if node else set()
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*map(references, node.values()))
    return set()


class TestDocs:
    """/docs and /openapi.json."""

    async def test_nothing_foreign(self, shared: Api) -> None:
        """The page and all that it loads come from this service; the policy forbids the rest."""
        page = await shared.client.get("/docs")
        addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)

        assert len(addresses) == 4
        assert "//" not in page.text.replace("<!DOCTYPE html>", "")
        for address in [*addresses, "docs/openapi.json"]:
            assert (await shared.client.get(f"/{address}")).status_code == 200, address
        start = (await shared.client.get("/docs/assets/start.js")).text
        assert "//" not in start
        assert "validatorUrl: null" in start
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "http" not in policy
        styles = (await shared.client.get("/docs/assets/swagger-ui.css")).text
        assert not re.findall(r"url\(\s*[\"']?(?:https?:)?//", styles)
        assert "@import" not in styles

    async def test_openapi_3_1(self, shared: Api) -> None:
        """The document is OpenAPI 3.1, whole in itself, with examples and the form of errors on each route."""
        document = (await shared.client.get("/openapi.json")).json()

        assert document["openapi"].startswith("3.1")
        for reference in references(document):
            assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]
        assert "HTTPValidationError" not in json.dumps(document)
        operations = document["paths"]["/api/customer-segments"]
        assert set(operations) == {"get", "post"}
        post = operations["post"]
        assert post["security"] == [{"HTTPBearer": []}]
        assert set(post["responses"]) == {"201", "400", "401", "403", "409", "413", "415", "422", "429", "500", "503"}
        failure = post["responses"]["422"]["content"]["application/problem+json"]
        assert failure["schema"] == {"$ref": "#/components/schemas/Problem"}
        Problem.model_validate(failure["example"])
        assert "security" not in document["paths"]["/livez"]["get"]
        assert "429" in document["paths"]["/api/customer-segments/{segment}/export"]["get"]["responses"]

    async def test_version_for_the_page(self, shared: Api) -> None:
        """The page's own document has nothing that OpenAPI 3.0 does not know."""
        raw = (await shared.client.get("/docs/openapi.json")).text

        assert json.loads(raw)["openapi"] == "3.0.3"
        assert '"type":"null"' not in raw
        assert '"const":' not in raw
        assert '"nullable":true' in raw

    def test_examples_hold(self) -> None:
        """The examples of bodies are bodies that the service takes."""
        for example in _CREATE_EXAMPLES.values():
            body = NewSegmentBody.model_validate(example)
            if body.segment_type == "static":
                assert read_ids(body.customer_ids)
            else:
                parse_criteria(body.criteria)
        for example in _CHANGE_EXAMPLES.values():
            SegmentChangeBody.model_validate(example)
            parse_criteria(example.get("criteria", {}))


class TestHealth:
    """/livez and /readyz."""

    async def test_ready(self, api: Api) -> None:
        """Ready means that database, schema and broker all do."""
        response = await api.client.get("/readyz")

        assert response.status_code == 200
        assert response.json()["data"]["checks"] == {"database": "ok", "schema": "ok", "broker": "ok"}

    async def test_broker_away(self, api: Api) -> None:
        """Without the broker the service is alive but not ready, and says which part is missing."""
        api.broker.error = KafkaConnectionError("secret-host:9092")
        response = await api.client.get("/readyz")

        assert response.status_code == 503
        assert [fault["path"] for fault in response.json()["errors"]] == ["broker"]
        assert "secret-host" not in response.text
        assert (await api.client.get("/livez")).status_code == 200

    async def test_broker_hangs(self, api: Api, monkeypatch: Any) -> None:
        """A check that does not come back counts as failed."""
        monkeypatch.setattr(health, "CHECK_SECONDS_MAX", 0.5)

        async def never() -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(type(api.broker), "__call__", lambda _: never())
        response = await api.client.get("/readyz")

        assert response.status_code == 503

    async def test_schema(self, api: Api) -> None:
        """An old or missing schema is not ready and says what to do; a newer one is, for releases overlap."""
        await api.run("UPDATE alembic_version SET version_num = '0000'")
        old = await api.client.get("/readyz")
        await api.run("UPDATE alembic_version SET version_num = '9999'")
        newer = await api.client.get("/readyz")
        await api.run("DROP TABLE alembic_version")
        none = await api.client.get("/readyz")

        assert (old.status_code, newer.status_code, none.status_code) == (503, 200, 503)
        assert "segments migrate" in old.json()["message"]
