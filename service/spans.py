"""Spans as OpenTelemetry has them, sent by OTLP/HTTP from a thread of their own. Imported only where they are wanted.

The queue is bounded: while the receiver is away the oldest spans are dropped, and nothing waits. Names of attributes
follow the semantic conventions for messaging and HTTP; keys of messages are left out, for they are customers' ids.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from types import TracebackType
from typing import Any, Final, Self

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.tracing import MESSAGES_MAX, Attributes, Message

log = structlog.get_logger()

QUEUE_SPANS_MAX: Final = 4_096
SEND_MS: Final = 1_000
SEND_SECONDS_MAX: Final = 5
CLOSE_SECONDS_MAX: Final = 2.0
_KINDS: Final = {"process": SpanKind.CONSUMER, "send": SpanKind.PRODUCER}
_context_of: Final = TraceContextTextMapPropagator()


class OtlpSpans:
    """See tracing.Spans.

    Args:
        endpoint: the receiver's base address; spans go to /v1/traces below it.
        role: of this process.
    """

    def __init__(self, endpoint: str, role: str) -> None:
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # _Telling says it once, in our own form
        product = {"service.namespace": "customer-segments", "service.version": version("customer-segments")}
        resource = Resource.create({"service.name": f"segments-{role}", **product})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=SEND_SECONDS_MAX)
        self._provider.add_span_processor(
            BatchSpanProcessor(_Telling(exporter), max_queue_size=QUEUE_SPANS_MAX, schedule_delay_millis=SEND_MS)
        )
        self._tracer = self._provider.get_tracer("customer-segments")

    def request(self, traceparent: str | None, tracestate: str | None) -> tuple[_Span, str]:
        """See Spans."""
        span = self._tracer.start_span("request", _parent(traceparent, tracestate), SpanKind.SERVER)
        context = span.get_span_context()
        own = f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
        return _Span(span), own

    def batch(
        self, operation: str, topics: Sequence[str], messages: Sequence[Message], attributes: Attributes
    ) -> _Span:
        """See Spans."""
        # One name for all messages, as the conventions ask for, or none.
        said: dict[str, str | int] = {
            "messaging.system": "kafka",
            "messaging.operation.name": operation,
            "messaging.operation.type": operation,
        }
        if len(topics) == 1:
            said["messaging.destination.name"] = topics[0]
        name, kind = " ".join((operation, *topics[:1])) if len(topics) == 1 else operation, _KINDS[operation]
        some = [(_parent(traceparent), own) for traceparent, own in messages[:MESSAGES_MAX]]
        links = [Link(get_current_span(parent).get_span_context()) for parent, _ in some]
        span = self._tracer.start_span(name, Context(), kind, {**said, **attributes}, links)
        started = time.time_ns()

        def end(error_type: str) -> None:
            about = {**said, "error.type": error_type} if error_type else said
            link = [Link(span.get_span_context())]
            for parent, own in some:
                one = self._tracer.start_span(name, parent, kind, {**about, **own}, link, start_time=started)
                one.end()

        return _Span(span, end)

    def close(self) -> None:
        """See Spans."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS_MAX)


def _parent(traceparent: str | None, tracestate: str | None = None) -> Context:
    if traceparent is None:
        return Context()
    carrier = {"traceparent": traceparent} | ({"tracestate": tracestate} if tracestate else {})
    return _context_of.extract(carrier, Context())


class _Span:
    """See tracing.Span. Of an error only its kind is told: a database's words may quote a row."""

    def __init__(self, span: OtelSpan, end: Callable[[str], None] | None = None) -> None:
        self._span, self._end = span, end
        self._bound: Any = None

    def __enter__(self) -> Self:
        context = self._span.get_span_context()
        names = {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
        self._bound = structlog.contextvars.bind_contextvars(**names)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        structlog.contextvars.reset_contextvars(**self._bound)
        try:
            self._finish(kind.__name__ if kind is not None else "")
        except Exception as fault:  # what the block did is done, whether anybody is told of it or not
            log.warning("span not ended", error=type(fault).__name__)

    def _finish(self, error_type: str) -> None:
        if error_type:
            self._span.set_attribute("error.type", error_type)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()
        if self._end is not None:
            self._end(error_type)

    def note(self, **attributes: str | int) -> None:
        """See Span."""
        for name, value in attributes.items():
            self._span.set_attribute(name.replace("__", "."), value)

    def name(self, name: str) -> None:
        """See Span."""
        self._span.update_name(name)


class _Telling(SpanExporter):
    """Sends, and says once that the receiver is away, and once that it is back."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter, self._is_away = exporter, False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See SpanExporter."""
        done = self._exporter.export(spans)
        is_away = done is not SpanExportResult.SUCCESS
        if is_away is not self._is_away:
            self._is_away = is_away
            if is_away:
                log.warning("traces are lost: the OTLP receiver does not take them", spans=len(spans))
            else:
                log.info("traces are sent again")
        return done

    def shutdown(self) -> None:
        """See SpanExporter."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """See SpanExporter."""
        return self._exporter.force_flush(timeout_millis)
