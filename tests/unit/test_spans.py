"""Spans: what they tell of a batch and of a failure, and what never."""

from __future__ import annotations

import pytest
import structlog

from service.core.events.envelope import read_traceparent
from service.settings import SettingsError, load_settings
from service.spans import OtlpSpans
from service.tracing import MESSAGES_MAX, Message, caused_by, current_cause, spans, tracing
from tests.otlp import receiving


def trace(number: int, flags: str = "01") -> str:
    """A traceparent."""
    return f"00-{number:032x}-{number:016x}-{flags}"


def test_a_large_batch_links_to_so_many() -> None:
    """Links and spans of single messages are bounded; those not sampled are linked to and have no span."""
    messages: list[Message] = [(trace(9, "00"), {"messaging.message.id": "quiet"})]
    messages += [(trace(number), {"messaging.message.id": str(number)}) for number in range(100, 400)]
    with receiving() as receiver:
        made = OtlpSpans(receiver.endpoint, "test")
        with made.batch("process", ["orders", "customers"], messages, {"messaging.batch.message_count": 500}) as span:
            span.note(segmentation__transitions=3)
            bound = structlog.contextvars.get_contextvars()
        made.close()
        (batch,) = [one for one in receiver.spans if "messaging.batch.message_count" in one.attributes]
        others = [one for one in receiver.spans if one is not batch]

    assert (batch.service, batch.name, batch.parent_id, batch.is_error) == ("segments-test", "process", "", False)
    assert "messaging.destination.name" not in batch.attributes
    assert batch.attributes["segmentation.transitions"] == 3
    assert len(batch.links) == MESSAGES_MAX
    assert len(others) == MESSAGES_MAX - 1
    assert {one.trace_id for one in others} == {f"{number:032x}" for number in range(100, 100 + MESSAGES_MAX - 1)}
    assert all(one.links == ((batch.trace_id, batch.span_id),) for one in others)
    assert (bound["trace_id"], bound["span_id"]) == (batch.trace_id, batch.span_id)
    assert "trace_id" not in structlog.contextvars.get_contextvars()


def test_a_failure_is_told_by_its_kind_alone() -> None:
    """What an error says may be a customer's, and is not sent; its kind is, in the batch and in each message."""
    with receiving() as receiver:
        made = OtlpSpans(receiver.endpoint + "/", "test")
        with pytest.raises(ValueError, match="Zaphod"), made.batch("send", ["out"], [(trace(5), {})], {}):
            raise ValueError("Zaphod")
        request, own = made.request(trace(7), "vendor=1")
        with request:
            request.name("GET /x")
        made.close()
        seen = {one.name: one for one in receiver.spans}
        failed = [one for one in receiver.spans if one.name == "send out"]

    assert [one.attributes["error.type"] for one in failed] == ["ValueError", "ValueError"]
    assert [one.is_error for one in failed].count(True) == 1
    assert "Zaphod" not in str(seen)
    assert own == f"00-{7:032x}-{seen['GET /x'].span_id}-01"
    assert seen["GET /x"].parent_id == f"{7:016x}"


def test_without_an_endpoint_there_are_none() -> None:
    """Within the block of an endpoint there are spans, and before and after there are none."""
    with tracing(None, "test"):
        assert spans() is None
    with receiving() as receiver, tracing(receiver.endpoint, "test"):
        assert spans() is not None
    assert spans() is None


@pytest.mark.parametrize("text", [None, 5, "", "garbage", trace(1)[:-1], trace(1) + "-x", trace(1).upper() + "Z"])
def test_what_is_no_traceparent(text: object) -> None:
    """Anything else is passed over."""
    assert read_traceparent(text) is None


def test_causes_end_with_their_block() -> None:
    """A cause holds within its block and nowhere else."""
    with caused_by(trace(1)):
        assert current_cause() == trace(1)
    assert current_cause() is None


@pytest.mark.parametrize("name", ["SEGMENTS_OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"])
def test_the_setting(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The endpoint is taken with or without the prefix; one that is no URL stops the start and is named."""
    monkeypatch.setenv(name, "http://collector:4318")
    assert load_settings().otel_exporter_otlp_endpoint == "http://collector:4318"
    monkeypatch.setenv(name, "collector:4318")

    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_ENDPOINT: must be the URL"):
        load_settings()
