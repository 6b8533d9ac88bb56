"""Opens and clicks as they come over HTTP: many at once become one transaction, and repeats none.

Whoever opens or clicks waits until their touch is committed, some milliseconds. A storm costs the database a few
transactions a second, whatever its size: touches that were noted in the same hour are known in memory, and so are the
messages they are of.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Generic, Literal, NamedTuple, Protocol, TypeVar
from uuid import UUID

import structlog

from service.app.engagement.told import told_record
from service.app.outgoing import OutgoingRecord
from service.core.instants import HOUR

#: How long the first touch of a transaction waits for others.
GATHER_SECONDS: Final = 0.01
#: Touches of one transaction.
TOUCHES_MAX: Final = 2_000
#: Touches that wait; who comes then is not noted.
WAITING_MAX: Final = 20_000
#: Touches and messages that one process remembers.
REMEMBERED_MAX: Final = 100_000

log = structlog.get_logger()
Key = TypeVar("Key")
Value = TypeVar("Value")


class Touch(NamedTuple):
    """Somebody, or something, opened a message or followed one of its links, by its place; `at` in microseconds."""

    kind: Literal["opened", "clicked"]
    message_id: UUID
    link: int
    is_machine: bool
    at: int

    @property
    def suffix(self) -> str:
        """Of the event's id: a repeat within the hour is the same event."""
        link = f":{self.link}" if self.kind == "clicked" else ""
        return f"{link}:{self.at // HOUR}" + (":machine" if self.is_machine else "")

    @property
    def name(self) -> tuple[UUID, str]:
        """The same for repeats."""
        return self.message_id, self.kind + self.suffix


class Message(NamedTuple):
    """What is asked of a message."""

    customer_id: UUID
    channel: str
    links: Sequence[str]


class TooManyTouches(Exception):
    """More wait than the database takes."""


class TouchStore(Protocol):
    """One transaction a call."""

    async def note(
        self, message_ids: Collection[UUID], topic: str, touches: Sequence[Touch], known: Mapping[UUID, Message]
    ) -> Mapping[UUID, Message]:
        """Reads these messages and has the touches of all that there are told; gives the messages."""
        ...


class Remembered(Generic[Key, Value]):
    """The latest of some values, so many at most."""

    def __init__(self, entries_max: int) -> None:
        self._max = entries_max
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        """The value, which is now the latest; None where it is not known any more."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: Key, value: Value) -> None:
        """Remembers; forgets the oldest."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._max:
            self._values.popitem(last=False)


class TouchDesk:
    """Of one process."""

    def __init__(self, store: TouchStore, topic: str, remembered_max: int = REMEMBERED_MAX) -> None:
        self._store, self._topic = store, topic
        self._noted: Remembered[tuple[UUID, str], bool] = Remembered(remembered_max)
        self._messages: Remembered[UUID, Message] = Remembered(remembered_max)
        self._waiting: dict[tuple[UUID, str], tuple[Touch, asyncio.Future[Message | None]]] = {}
        self._flushing: asyncio.Task[None] | None = None

    def message(self, message_id: UUID) -> Message | None:
        """What is known of a message without a question."""
        return self._messages.get(message_id)

    async def note(self, touch: Touch) -> Message | None:
        """Returns once the touch is committed, or was before; None if there is no such message.

        Raises:
            TooManyTouches: it is not noted.
            Exception: whatever the database says; it is not noted.
        """
        known = self._messages.get(touch.message_id)
        if known is not None and self._noted.get(touch.name):
            return known
        entry = self._waiting.get(touch.name)
        if entry is None:
            if len(self._waiting) >= WAITING_MAX:
                raise TooManyTouches
            entry = self._waiting[touch.name] = (touch, asyncio.get_running_loop().create_future())
            if self._flushing is None or self._flushing.done():
                self._flushing = asyncio.create_task(self._flush())
        return await asyncio.shield(entry[1])

    async def _flush(self) -> None:
        while self._waiting:
            await asyncio.sleep(GATHER_SECONDS)
            names = list(self._waiting)[:TOUCHES_MAX]
            some = {name: self._waiting.pop(name) for name in names}
            await self._write(some)

    async def _write(self, some: Mapping[tuple[UUID, str], tuple[Touch, asyncio.Future[Message | None]]]) -> None:
        touches = [touch for touch, _ in some.values()]
        ids = {one.message_id for one in touches}
        known = {one: found for one in ids if (found := self._messages.get(one)) is not None}
        try:
            messages = {**known, **await self._store.note(ids - known.keys(), self._topic, touches, known)}
        except Exception as error:
            log.warning("touches not noted", count=len(touches), error=type(error).__name__)
            for _, waiting in some.values():
                waiting.set_exception(error)
                waiting.exception()  # whoever has gone does not ask for it
            return
        for message_id, message in messages.items():
            self._messages.put(message_id, message)
        for name, (touch, waiting) in some.items():
            found = messages.get(touch.message_id)
            if found is not None:
                self._noted.put(name, True)
            waiting.set_result(found)


def touch_records(topic: str, touches: Sequence[Touch], messages: Mapping[UUID, Message]) -> list[OutgoingRecord]:
    """The events of touches of messages that there are; a link must be one of its message's."""
    records = []
    for one in touches:
        message = messages.get(one.message_id)
        if message is None or (one.kind == "clicked" and one.link >= len(message.links)):
            continue
        details: dict[str, object] = {"is_machine": True} if one.is_machine else {}
        if one.kind == "clicked":
            details["link_index"] = one.link
        record = told_record(
            topic,
            one.kind,
            one.message_id,
            message.customer_id,
            one.at,
            channel=message.channel,
            details=details,
            suffix=one.suffix,
        )
        records.append(record)
    return records
