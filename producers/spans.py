"""What the relay sends as a span; none, and no look at any record, unless somebody wants traces."""

from __future__ import annotations

from collections.abc import Sequence

from service.app.changes import Changes
from service.app.outgoing import OutgoingRecord, change_records
from service.core.events.envelope import read_traceparent
from service.tracing import NO_SPAN, Message, Span, spans


def send_span(membership_topic: str, held: Sequence[Changes | list[OutgoingRecord]]) -> Span:
    """A span for one transaction's records. What leaves keeps the traceparent of the event that caused it."""
    made = spans()
    if made is None:
        return NO_SPAN
    records: list[OutgoingRecord] = []
    for one in held:
        records += change_records(membership_topic, one) if isinstance(one, Changes) else one
    messages: list[Message] = []
    for _, _, _, headers in records:
        named = dict(headers)
        traceparent = read_traceparent(named.get("traceparent", b"").decode(errors="replace"))
        if traceparent is not None:
            # Ids of dead letters are their senders', who may have put a customer's id into them.
            message_id = "" if "x-reason" in named else named.get("ce_id", b"").decode(errors="replace")
            messages.append((traceparent, {"messaging.message.id": message_id} if message_id else {}))
    topics = sorted({topic for topic, _, _, _ in records})
    return made.batch("send", topics, messages, {"messaging.batch.message_count": len(records)})
