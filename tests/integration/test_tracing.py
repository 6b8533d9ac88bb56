"""Traces: a real receiver sees a request and an event from order to joined; without one nothing is traced, or lost."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2

from service.adapters.postgres.database import Database
from service.app.tokens import Permission
from service.stack.group import Servers
from tests import shop
from tests.api.support import BASE
from tests.integration.test_dead_letters import ORDER, cloud, encoded, send
from tests.otlp import receiving
from tests.topics import read_topics
from tests.world import COMMAND, World, create, members, until, world

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
BUYERS = {"buyers": {"total_orders": {"operator": "gte", "value": 1}}}


def placed(number: int, traceparent: str | None = None) -> tuple[bytes, bytes, list]:
    """An order, and where its sender stood in a trace."""
    headers = [("traceparent", traceparent.encode())] if traceparent else []
    value = encoded(cloud(id=f"e{number}", data={**ORDER, "customer_id": f"c{number}", "order_id": f"o{number}"}))
    return b"k", value, headers


async def headers_out(made: World) -> dict[str, dict[str, str]]:
    """The headers of joined/left on the topic, by external id."""
    return {
        json.loads(one.value)["external_id"]: {name: value.decode() for name, value in one.headers}
        for one in await read_topics(made.kafka, made.membership)
    }


@contextmanager
def serving(made: World) -> Iterator[httpx2.Client]:
    """The API as a process, and a client with all permissions."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    log = (made.folder / "serve-0.log").open("ab")
    process = subprocess.Popen([*COMMAND, "serve", "--port", str(port)], env=made.env, stdout=log, stderr=log)
    made.processes["serve-0"] = process
    token = made.run("token", "--sub", "t", "--name", "T", "--permissions", ",".join(Permission)).strip()
    with httpx2.Client(
        base_url=f"http://127.0.0.1:{port}", headers={"authorization": f"Bearer {token}"}, timeout=30
    ) as client:
        until(lambda: _lives(client))
        yield client


def _lives(client: httpx2.Client) -> bool:
    try:
        return client.get("/livez").status_code == 200
    except httpx2.TransportError:
        return False


async def test_from_order_to_joined(session_servers: Servers, database_url: str, database: Database) -> None:
    """One event is seen in its own trace at the consumer and the relay; joined carries its traceparent unchanged."""
    with (
        receiving() as receiver,
        world(
            session_servers.kafka_bootstrap, database_url, shop.CLOCK, otel_exporter_otlp_endpoint=receiver.endpoint
        ) as made,
    ):
        await create(database, BUYERS, shop.CLOCK)
        unsampled = f"00-{'a' * 32}-{'b' * 16}-00"
        await send(made, [placed(1, TRACEPARENT), placed(2), placed(3, unsampled), placed(4, "nonsense")])
        made.start_all()
        made.wait_idle()
        seen = receiver.until(lambda spans: len([one for one in spans if one.trace_id == TRACE]) >= 2)
        out = await headers_out(made)

    assert {name: headers.get("traceparent") for name, headers in out.items()} == {
        "c1": TRACEPARENT,
        "c2": None,
        "c3": unsampled,
        "c4": None,
    }
    process, sent = sorted((one for one in seen if one.trace_id == TRACE), key=lambda one: one.name)
    assert (process.service, process.name, process.kind) == ("segments-consume", f"process {made.orders}", 5)
    assert (sent.service, sent.name, sent.kind) == ("segments-relay", f"send {made.membership}", 4)
    assert process.parent_id == sent.parent_id == PARENT
    assert process.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": made.orders,
        "messaging.destination.partition.id": "0",
        "messaging.consumer.group.name": made.env["SEGMENTS_CONSUMER_GROUP"],
        "messaging.kafka.offset": 0,
    }
    assert sent.attributes["messaging.message.id"] == out["c1"]["ce_id"]
    batches = {one.span_id: one for one in seen if "messaging.batch.message_count" in one.attributes}
    for one in (process, sent):
        ((trace_id, span_id),) = one.links
        batch = batches[span_id]
        assert (batch.trace_id, batch.parent_id) == (trace_id, "")
        assert trace_id != TRACE
        assert (TRACE, PARENT) in batch.links
        assert batch.name == one.name
    assert not any(one.trace_id == "a" * 32 for one in seen)
    assert sum(one.attributes.get("messaging.batch.message_count", 0) for one in seen if one.kind == 5) == 4


async def test_a_request_and_what_it_causes(session_servers: Servers, database_url: str, database: Database) -> None:
    """A request goes on with its caller's trace; joined by hand carries the request's span; the log names the trace."""
    with (
        receiving() as receiver,
        world(
            session_servers.kafka_bootstrap, database_url, shop.CLOCK, otel_exporter_otlp_endpoint=receiver.endpoint
        ) as made,
        serving(made) as client,
    ):
        body = {"segment_name": "VIP", "segment_type": "static", "customer_ids": []}
        segment = client.post(BASE, json=body).json()["data"]["id"]
        added = client.post(
            f"{BASE}/{segment}/customers", json={"customer_ids": ["by-hand"]}, headers={"traceparent": TRACEPARENT}
        )
        assert added.status_code == 200, added.text
        client.get("/Secret-address?token=Secret")
        made.start("relay")
        made.start("consume")
        made.start("timers")
        made.wait_idle()
        names = {f"POST {BASE}/{{segment}}/customers", f"send {made.membership}", "GET"}
        seen = receiver.until(lambda spans: names <= {one.name for one in spans})
        out = await headers_out(made)
        assert made.stop("serve") == 0
        log = (made.folder / "serve-0.log").read_text()

    (request,) = [one for one in seen if one.name == f"POST {BASE}/{{segment}}/customers"]
    assert (request.service, request.kind, request.trace_id, request.parent_id) == (
        "segments-serve",
        2,
        TRACE,
        PARENT,
    )
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": f"{BASE}/{{segment}}/customers",
        "http.response.status_code": 200,
    }
    assert out["by-hand"]["traceparent"] == f"00-{TRACE}-{request.span_id}-01"
    assert any(one.service == "segments-relay" and one.trace_id == TRACE for one in seen)
    (line,) = [one for one in map(json.loads, log.splitlines()) if one.get("trace_id") == TRACE]
    assert (line["event"], line["span_id"]) == ("request", request.span_id)
    assert "Secret" not in str(seen)
    assert not any("livez" in one.name for one in seen)


async def test_the_receiver_is_away(session_servers: Servers, database_url: str, database: Database) -> None:
    """Nobody takes the spans: the product goes on, says it once, and stops in time."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,  # takes connections and never answers
        world(
            session_servers.kafka_bootstrap,
            database_url,
            shop.CLOCK,
            otel_exporter_otlp_endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}",
        ) as made,
    ):
        await create(database, BUYERS, shop.CLOCK)
        await send(made, [placed(number, TRACEPARENT) for number in range(50)])
        made.start_all()
        made.wait_idle()
        found = await members(database)
        until(lambda: "traces are lost" in (made.folder / "consume-0.log").read_text())
        started = time.monotonic()
        codes = [made.stop(role) for role in ("consume", "relay", "timers")]
        taken = time.monotonic() - started

    assert found == {"buyers": {f"c{number}" for number in range(50)}}
    assert codes == [0, 0, 0]
    assert taken < 15
    assert (made.folder / "consume-0.log").read_text().count("traces are lost") == 1


def test_nothing_is_imported_without_an_endpoint() -> None:
    """Roles that trace nothing load nothing of OpenTelemetry."""
    code = """
import sys
import consumers.events, producers.relay, producers.timers, service.cli.roles, service.cli.serve, service.api.app
from service.tracing import spans, tracing
with tracing(None, "test"):
    assert spans() is None
found = [name for name in sys.modules if name.split(".")[0] == "opentelemetry" and "sdk" in name or "otlp" in name]
assert not found, found
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


async def test_without_an_endpoint_a_cause_is_carried(session_servers: Servers, database_url: str) -> None:
    """Without tracing a request's own traceparent is what joined by hand carries; garbage is not carried."""
    with world(session_servers.kafka_bootstrap, database_url, shop.CLOCK) as made, serving(made) as client:
        body = {"segment_name": "VIP", "segment_type": "static", "customer_ids": []}
        segment = client.post(BASE, json=body).json()["data"]["id"]
        for name, traceparent in (("a", TRACEPARENT), ("b", "garbage")):
            client.post(
                f"{BASE}/{segment}/customers", json={"customer_ids": [name]}, headers={"traceparent": traceparent}
            )
        made.start_all()
        made.wait_idle()
        out = await headers_out(made)

    assert out["a"]["traceparent"] == TRACEPARENT
    assert "traceparent" not in out["b"]
