"""The shape of profiles as `catalogue.shape` keeps it."""

from __future__ import annotations

from typing import Any

from service.app import exact_json
from service.core.criteria.fields import Purchase, PurchaseKey
from service.core.criteria.model import AttributePredicate, SequencePredicate, Step, Stream
from service.core.profiles.shape import SeriesKept, SeriesKey, Shape


def shape_from_json(source: str) -> Shape:
    """The shape that `shape_to_json` wrote, or that the schema begins with."""
    stored = exact_json.stored(source)
    return Shape(
        stored["version"],
        tuple(PurchaseKey(Purchase(kind), name) for kind, name in stored["purchases"]),
        stored["window_max"],
        tuple(SeriesKept(SeriesKey(_stream(stream), name), *kept) for stream, name, *kept in stored.get("series", ())),
        tuple(
            SequencePredicate(tuple(Step(stream and _stream(stream), is_not) for stream, is_not in steps), within)
            for steps, within in stored.get("sequences", ())
        ),
    )


def shape_to_json(shape: Shape) -> str:
    """The shape as JSON; what a stream's tests compare with is exact to the last digit."""
    stored = {
        "version": shape.version,
        "purchases": [[str(kind), name] for kind, name in shape.purchases],
        "window_max": shape.window_max,
        "series": [[_plain(key.stream), key.property, *kept] for key, *kept in shape.series],
        "sequences": [
            [[[step.stream and _plain(step.stream), step.is_not] for step in one.steps], one.within]
            for one in shape.sequences
        ],
    }
    return exact_json.dumps(stored).decode()


def _plain(stream: Stream) -> list[Any]:
    return [stream.name, [[test.field, test.operator, test.value] for test in stream.where]]


def _stream(plain: list[Any]) -> Stream:
    name, where = plain
    tests = (AttributePredicate(field, operator, _value(value)) for field, operator, value in where)
    return Stream(name, tuple(tests))


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
