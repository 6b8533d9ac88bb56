"""A real OTLP/HTTP receiver: takes spans over a socket and decodes them with OpenTelemetry's own classes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Seen:
    """One span; ids in hexadecimal digits."""

    service: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[tuple[str, str], ...]
    attributes: dict[str, Any]
    is_error: bool


@dataclass
class Receiver:
    """What came so far.

    Attributes:
        endpoint: the base address.
    """

    endpoint: str
    spans: list[Seen] = field(default_factory=list)

    def until(self, condition: Callable[[list[Seen]], Any], seconds: float = 30) -> list[Seen]:
        """All spans once the condition holds of them."""
        deadline = time.monotonic() + seconds
        while not condition(list(self.spans)):
            assert time.monotonic() < deadline, self.spans
            time.sleep(0.05)
        return list(self.spans)

    def take(self, body: bytes) -> None:
        """Decodes a request."""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = next(one.value.string_value for one in resource.resource.attributes if one.key == "service.name")
            for scope in resource.scope_spans:
                self.spans += [_seen(service, one) for one in scope.spans]


def _seen(service: str, span: Any) -> Seen:
    attributes = {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}
    links = tuple((one.trace_id.hex(), one.span_id.hex()) for one in span.links)
    ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
    return Seen(service, span.name, span.kind, *ids, links, attributes, span.status.code == 2)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a port of its own."""
    found: Receiver

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            is_ours = self.path == "/v1/traces"
            if is_ours:
                found.take(body)
            self.send_response(200 if is_ours else 404)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Receiver(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
