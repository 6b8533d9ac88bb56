"""Kafka record batches written in whole: one join of bytes for all records, instead of a call for each.

The form is that of the protocol, https://kafka.apache.org/documentation/#recordbatch (magic 2). `RawBatch` stands in
for aiokafka's BatchBuilder in `AIOKafkaProducer.send_batch`, which asks no more of it than what is here; tests hold it
against the library's own builder, byte for byte.
"""

from __future__ import annotations

import struct
import time
from typing import Final

from aiokafka.record.util import calc_crc32c

#: offset, length, leader epoch, magic, checksum.
_FRAME: Final = struct.Struct(">qiibI")
#: attributes, last offset delta, first and last timestamp, producer id and epoch, first sequence, number of records.
_HEAD: Final = struct.Struct(">hiqqqhii")
_HEAD_BYTES: Final = _FRAME.size + _HEAD.size
#: What `length` does not count.
_UNCOUNTED_BYTES: Final = 12
_MAGIC: Final = 2
_TRANSACTIONAL: Final = 0x10
#: Of a record: its length, attributes, the deltas of timestamp and offset.
_RECORD_BYTES_MAX: Final = 5 + 1 + 1 + 5


def varint(number: int) -> bytes:
    """Zigzag, seven bits a byte, as Kafka writes lengths and deltas."""
    number = (number << 1) ^ (number >> 63)
    found = bytearray()
    while number & ~0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


#: The first numbers, which are nearly all there are.
VARINTS: Final = tuple(varint(number) for number in range(20_000))


def fast_varint(number: int) -> bytes:
    """As varint, looked up where it is small."""
    return VARINTS[number] if 0 <= number < len(VARINTS) else varint(number)


def sized(content: bytes) -> bytes:
    """Bytes behind their length."""
    return varint(len(content)) + content


def headers_of(headers: list[tuple[bytes, bytes]]) -> bytes:
    """A record's headers."""
    return varint(len(headers)) + b"".join(sized(name) + sized(value) for name, value in headers)


class RawBatch:
    """Records of one partition whose bodies are written already: key, value and headers, each with its length."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bodies: list[bytes] = []
        self._size = _HEAD_BYTES
        self._producer = (-1, -1, 0)
        self._timestamp_ms = time.time_ns() // 1_000_000
        self._is_closed = False
        self._built: bytes | None = None

    def add(self, body: bytes) -> bool:
        """Takes a record; False where the batch is full, which it never is for the first."""
        size = len(body) + _RECORD_BYTES_MAX
        if self._bodies and self._size + size > self._bytes_max:
            return False
        self._bodies.append(body)
        self._size += size
        return True

    # What the producer asks of a batch

    def close(self) -> None:
        """Nothing more is to come."""
        self._is_closed = True

    def closed(self) -> bool:
        """Whether nothing more is to come."""
        return self._is_closed

    def size(self) -> int:
        """Bytes, at most."""
        return self._size

    def record_count(self) -> int:
        """How many records."""
        return len(self._bodies)

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._producer = (producer_id, producer_epoch, base_sequence)

    def _build(self) -> bytes:
        self.close()
        if self._built is None:
            self._built = self._written()
        return self._built

    def _written(self) -> bytes:
        parts: list[bytes] = []
        for place, body in enumerate(self._bodies):
            offset = fast_varint(place)
            parts += (fast_varint(len(body) + 2 + len(offset)), b"\0\0", offset, body)
        records = b"".join(parts)
        count, at = len(self._bodies), self._timestamp_ms
        rest = _HEAD.pack(_TRANSACTIONAL, count - 1, at, at, *self._producer, count) + records
        length = _HEAD_BYTES - _HEAD.size + len(rest) - _UNCOUNTED_BYTES
        return _FRAME.pack(0, length, -1, _MAGIC, calc_crc32c(rest)) + rest
