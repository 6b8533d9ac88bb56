"""Record batches written by hand are those of the library, byte for byte."""

from __future__ import annotations

from random import Random

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch

from service.adapters.kafka.change_bodies import change_bodies
from service.adapters.kafka.raw_batch import RawBatch, headers_of, sized, varint
from service.app.changes import pack_changes
from service.app.outgoing import change_records
from service.core import instants
from service.core.events.model import Event, LoggedIn
from service.core.segments.walk import Transition
from tests.unit.test_outgoing import AT, CUSTOMER, transition

TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


def test_numbers_are_zigzag_varints() -> None:
    """As the protocol has them."""
    assert [varint(number) for number in (0, 1, 63, 64, 8191, 8192)] == [
        b"\0", b"\x02", b"\x7e", b"\x80\x01", b"\xfe\x7f", b"\x80\x80\x01",
    ]  # fmt: skip


def test_a_batch_is_the_librarys() -> None:
    """Keys, values and headers of all lengths, with the producer's id and sequence."""
    random = Random(7)
    records = [
        (
            random.randbytes(random.choice((0, 1, 36, 200))),
            random.randbytes(random.choice((0, 63, 64, 9_000, 30_000))),
            [
                ("h" * random.randrange(1, 90), random.randbytes(random.randrange(150)))
                for _ in range(random.randrange(9))
            ],
        )
        for _ in range(300)
    ]
    raw, builder = RawBatch(2**30), BatchBuilder(2**30, 0, is_transactional=1)
    at = raw._timestamp_ms
    for key, value, headers in records:
        body = sized(key) + sized(value) + headers_of([(name.encode(), content) for name, content in headers])
        assert raw.add(body)
        assert builder.append(key=key, value=value, timestamp=at, headers=headers)
    for one in (raw, builder):
        one._set_producer_state(123_456_789, 7, 4_242)

    assert bytes(raw._build()) == bytes(builder._build())
    assert raw.record_count() == builder.record_count() == 300


def test_a_full_batch_takes_no_more() -> None:
    """But the first record always fits, and the size is never told too small."""
    batch = RawBatch(1_000)
    assert batch.add(b"x" * 5_000)
    assert not batch.add(b"x")
    batch = RawBatch(1_000)
    while batch.add(b"x" * 90):
        pass
    assert len(batch._build()) <= batch.size() <= 1_000


def test_changes_are_the_records_they_stand_for() -> None:
    """Joins and leaves, by events and by time, with and without a trace, names and ids of any letters."""
    event = Event("customer.logged_in", 'e"1ü', AT, None, CUSTOMER, "x", LoggedIn("x"), trace=TRACE)
    silent = Event("customer.logged_in", "e2", AT, None, CUSTOMER, "x", LoggedIn("x"))
    one = transition()
    told = [
        one,
        one._replace(ordinal=8, has_joined=False, reason="event", event=event, effective_at=AT + 1),
        one._replace(ordinal=9, reason="event", event=silent),
        one._replace(ordinal=2**40, has_joined=False, reason="definition"),
    ]
    for cause in (None, TRACE):
        packed = pack_changes(told, AT, cause)
        assert packed.joined == 2
        wanted = _batch(told, cause)
        raw = RawBatch(2**20)
        for customer, key, body in change_bodies(packed):
            assert (customer, key) == (0, str(CUSTOMER).encode())
            raw.add(body)
        found = list(DefaultRecordBatch(raw._build()))
        assert [(one.key, one.value, list(one.headers)) for one in found] == wanted


def _batch(told: list[Transition], cause: str | None) -> list[tuple]:
    packed = pack_changes(told, AT, cause)
    assert instants.to_text(AT) == packed.recorded_at
    return [(key, value, headers) for _, key, value, headers in change_records("t", packed)]
