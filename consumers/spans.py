"""A batch as a span; none, and no look at any event, unless somebody wants traces."""

from __future__ import annotations

from service.app.ingest import Decoded
from service.tracing import NO_SPAN, Message, Span, spans


def batch_span(decoded: Decoded, group: str) -> Span:
    """A span for what one transaction applies."""
    made = spans()
    if made is None:
        return NO_SPAN
    messages: list[Message] = []
    for some in decoded.events.values():
        for event in some:
            if event.trace is not None:
                place = decoded.places[id(event)]
                # Without the event's id, which is the sender's and may name the customer.
                about: dict[str, str | int] = {
                    "messaging.destination.partition.id": str(place.partition),
                    "messaging.kafka.offset": place.offset,
                    "messaging.consumer.group.name": group,
                }
                messages.append((event.trace, about))
    topics = sorted({offset.topic for offset in decoded.offsets})
    count = len(decoded.places) + len(decoded.letters)
    attributes: dict[str, str | int] = {
        "messaging.batch.message_count": count,
        "messaging.consumer.group.name": group,
    }
    partitions = {(offset.topic, offset.partition) for offset in decoded.offsets}
    if len(partitions) == 1:
        attributes["messaging.destination.partition.id"] = str(next(iter(partitions))[1])
    return made.batch("process", topics, messages, attributes)
