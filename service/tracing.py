"""Traces: where a unit of work stands in one, and spans about it. Without an endpoint there are none, and nothing is
imported for them; like a crash point, each place that could make a span then costs one look at a variable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Final, Protocol, Self

#: The attributes of a span, as OpenTelemetry names them.
Attributes = Mapping[str, str | int]
#: The W3C traceparent of a message, and what is to be said of it alone.
Message = tuple[str, Attributes]

#: So many messages of a batch are linked to, and have spans of their own.
MESSAGES_MAX: Final = 128


class Span(Protocol):
    """One unit of work; ends with its block, with `error.type` where that raised."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def note(self, **attributes: str | int) -> None:
        """Attributes; two underscores in a name stand for a dot."""
        ...

    def name(self, name: str) -> None:
        """Names the span anew."""
        ...


class Spans(Protocol):
    """Makes spans and sends them away."""

    def request(self, traceparent: str | None, tracestate: str | None) -> tuple[Span, str]:
        """A span for an HTTP request, and its own traceparent."""
        ...

    def batch(self, operation: str, topics: Sequence[str], messages: Sequence[Message], attributes: Attributes) -> Span:
        """A span for a batch of messages.

        It begins a trace and links to those of the first MESSAGES_MAX messages; in each of these stands a span that
        lasts as long, so that a message can be followed in its own trace.

        Args:
            operation: process or send.
            topics: where they came from or go to.
            messages: those with a traceparent.
            attributes: of the batch.
        """
        ...

    def close(self) -> None:
        """Sends what there is, and waits for that a moment at most."""
        ...


class NoSpan:
    """Stands where a span would, and does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def note(self, **attributes: str | int) -> None:
        """See Span."""

    def name(self, name: str) -> None:
        """See Span."""


NO_SPAN: Final = NoSpan()
_spans: Spans | None = None
#: The traceparent of the request that this task works for.
_cause: ContextVar[str | None] = ContextVar("cause", default=None)


@contextmanager
def tracing(endpoint: str | None, role: str) -> Iterator[None]:
    """Within the block spans go to this OTLP/HTTP receiver; to none where there is no endpoint."""
    global _spans  # one process, one receiver, as with logs
    if endpoint is None:
        yield
        return
    from service.spans import OtlpSpans

    _spans = OtlpSpans(endpoint, role)
    try:
        yield
    finally:
        spans, _spans = _spans, None
        spans.close()


def spans() -> Spans | None:
    """Who makes spans; None where nobody wants any."""
    return _spans


@contextmanager
def caused_by(traceparent: str | None) -> Iterator[None]:
    """What this task does within the block was caused by a request that stands there in a trace."""
    token = _cause.set(traceparent)
    try:
        yield
    finally:
        _cause.reset(token)


def current_cause() -> str | None:
    """The traceparent of the request that this task works for."""
    return _cause.get()
