"""Activities, sequences and other segments in criteria: read whole, or refused with every fault and its path."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from service.core import instants
from service.core.criteria.fields import Figure
from service.core.criteria.model import (
    ActivityPredicate,
    All,
    AttributePredicate,
    MemberPredicate,
    Not,
    SequencePredicate,
    Step,
    Stream,
)
from service.core.criteria.parse import CriteriaError, parse_criteria

ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
ONE = {"operator": "gte", "value": 1}
A: dict[str, Any] = {"activity": {"name": "a"}}
B: dict[str, Any] = {"activity": {"name": "b"}}
DAY = {"days": 1}


def faults(source: object) -> dict[str, str]:
    """Faults by path."""
    with pytest.raises(CriteriaError) as caught:
        parse_criteria(source)
    return {fault.path: fault.message for fault in caught.value.faults}


def activity(**parts: Any) -> dict[str, Any]:
    """Criteria on activities that are called a."""
    return {"activity": {"name": "a", **parts}}


def where(test: object) -> dict[str, Any]:
    """Criteria on activities whose price passes a test."""
    return activity(where={"price": test})


def sequence(*steps: object, within: object = DAY) -> dict[str, Any]:
    """Criteria on a sequence."""
    return {"sequence": {"steps": list(steps), "within": within}}


HERE = "criteria.activity"
WHERE = f"{HERE}.where"
PRICE = f"{WHERE}.price"
STEPS = "criteria.sequence.steps"
#: Criteria -> the paths of all their faults.
REFUSED: list[tuple[object, list[str]]] = [
    # activity
    ({"activity": "a"}, [HERE]),
    ({"activity": {}}, [f"{HERE}.name"]),
    ({"activity": {"name": ""}}, [f"{HERE}.name"]),
    ({"activity": {"name": None}}, [f"{HERE}.name"]),
    ({"activity": {"name": "a\0"}}, [f"{HERE}.name"]),
    ({"activity": {"name": "a\ud800"}}, [f"{HERE}.name"]),
    ({"activity": {"name": "x" * 1_001}}, [f"{HERE}.name"]),
    (activity(nmae="b"), [f"{HERE}.nmae"]),
    (activity(window="1d"), [f"{HERE}.window"]),
    (activity(window={}), [f"{HERE}.window"]),
    (activity(window={"days": 1, "hours": 1}), [f"{HERE}.window"]),
    (activity(window={"days": 0}), [f"{HERE}.window.days"]),
    (activity(window={"days": 36_501}), [f"{HERE}.window.days"]),
    (activity(window={"hours": 36_500 * 24 + 1}), [f"{HERE}.window.hours"]),
    (activity(window={"minutes": 1.5}), [f"{HERE}.window.minutes"]),
    (activity(window={"minutes": True}), [f"{HERE}.window.minutes"]),
    # figures
    (activity(count=1), [f"{HERE}.count"]),
    (activity(count=None), [f"{HERE}.count"]),
    (activity(count={}), [f"{HERE}.count.operator"]),
    (activity(count={"operator": "ne", "value": 1}), [f"{HERE}.count.operator"]),
    (activity(count={"operator": "gte"}), [f"{HERE}.count.value"]),
    (activity(count={"operator": "gte", "value": "many"}), [f"{HERE}.count.value"]),
    (activity(count={"operator": "gte", "value": True}), [f"{HERE}.count.value"]),
    (activity(count={"operator": "gte", "value": 10**12}), [f"{HERE}.count.value"]),
    (activity(count={**ONE, "property": "price"}), [f"{HERE}.count.property"]),
    (activity(count={**ONE, "window": DAY}), [f"{HERE}.count.window"]),
    (
        activity(count={"operator": "between", "value": 1}),
        [f"{HERE}.count.{x}" for x in ("value", "min_value", "max_value")],
    ),
    (activity(count={"operator": "between", "min_value": 2, "max_value": 1}), [f"{HERE}.count"]),
    *((activity(**{one: ONE}), [f"{HERE}.{one}.property"]) for one in ("sum", "avg", "min", "max", "distinct")),
    (activity(sum={**ONE, "property": 5}), [f"{HERE}.sum.property"]),
    (activity(sum={"operator": "gt", "value": 10**39, "property": "p"}), [f"{HERE}.sum.value"]),
    (activity(avg={"operator": "gt", "value": "", "property": "p"}), [f"{HERE}.avg.value"]),
    (activity(distinct={"operator": "gt", "value": "a", "property": "p"}), [f"{HERE}.distinct.value"]),
    (activity(count=ONE, distinct={**ONE, "property": "p"}), [HERE]),
    (
        activity(count={"operator": "x"}, sum=5, window={}),
        [f"{HERE}.window", f"{HERE}.count.operator", f"{HERE}.sum", HERE],
    ),
    # where
    (activity(where=[]), [WHERE]),
    (activity(where={}), [WHERE]),
    (activity(where={str(n): {"operator": "exists"} for n in range(21)}), [WHERE]),
    (activity(where={"": {"operator": "exists"}}), [f"{WHERE}."]),
    (where(5), [PRICE]),
    (where({}), [f"{PRICE}.operator"]),
    (where({"operator": ["eq"], "value": 1}), [f"{PRICE}.operator"]),
    (where({"operator": "eq"}), [f"{PRICE}.value"]),
    (where({"operator": "eq", "value": None}), [f"{PRICE}.value"]),
    (where({"operator": "eq", "value": [1]}), [f"{PRICE}.value"]),
    (where({"operator": "gt", "value": True}), [f"{PRICE}.value"]),
    (where({"operator": "gt", "value": float("inf")}), [f"{PRICE}.value"]),
    (where({"operator": "in", "value": 1}), [f"{PRICE}.value"]),
    (where({"operator": "in", "value": []}), [f"{PRICE}.value"]),
    (where({"operator": "in", "value": ["a", None, {}]}), [f"{PRICE}.value[1]", f"{PRICE}.value[2]"]),
    (where({"operator": "contains", "value": 1}), [f"{PRICE}.value"]),
    (where({"operator": "exists", "value": 1}), [f"{PRICE}.value"]),
    (where({"operator": "exists", "min_value": 1}), [f"{PRICE}.min_value"]),
    (where({"operator": "between", "min_value": 1}), [f"{PRICE}.max_value"]),
    (where({"operator": "between", "min_value": 1, "max_value": "2"}), [PRICE]),
    (where({"operator": "between", "min_value": True, "max_value": True}), [PRICE]),
    (where({"operator": "between", "min_value": "b", "max_value": "a"}), [PRICE]),
    # sequence
    ({"sequence": []}, ["criteria.sequence"]),
    ({"sequence": {}}, ["criteria.sequence.within", STEPS]),
    ({"sequence": {"steps": [A, B], "within": DAY, "window": DAY}}, ["criteria.sequence.window"]),
    (sequence(A, B, within=1), ["criteria.sequence.within"]),
    (sequence(A, B, within={}), ["criteria.sequence.within"]),
    (sequence(A, B, within={"weeks": 1}), ["criteria.sequence.within.weeks", "criteria.sequence.within"]),
    (sequence(A, B, within={"days": 0}), ["criteria.sequence.within.days"]),
    (sequence(A), [STEPS]),
    (sequence(*[A] * 11), [STEPS]),
    ({"sequence": {"steps": {"0": A, "1": B}, "within": DAY}}, [STEPS]),
    (sequence(A, 5), [f"{STEPS}[1]"]),
    (sequence(A, {}), [f"{STEPS}[1]"]),
    (sequence(A, {"not": True}), [f"{STEPS}[1]"]),
    (sequence(A, {**B, "order": {}}), [f"{STEPS}[1]"]),
    (sequence(A, {**B, "not": 1}), [f"{STEPS}[1].not"]),
    (sequence(A, {**B, "wait": DAY}), [f"{STEPS}[1].wait"]),
    (sequence(A, {"order": {"total": 5}}), [f"{STEPS}[1].order"]),
    (sequence(A, {"order": None}), [f"{STEPS}[1].order"]),
    (sequence(A, {"activity": "b"}), [f"{STEPS}[1].activity"]),
    (sequence(A, {"activity": {}}), [f"{STEPS}[1].activity.name"]),
    (sequence(A, {"activity": {"name": 5}}), [f"{STEPS}[1].activity.name"]),
    (sequence(A, {"activity": {"name": "b", "count": ONE}}), [f"{STEPS}[1].activity.count"]),
    (
        sequence(A, {"activity": {"name": "b", "where": {"price": {"operator": "gt", "value": []}}}}),
        [f"{STEPS}[1].activity.where.price.value"],
    ),
    (sequence({**A, "not": True}, B), [f"{STEPS}[0].not"]),
    (sequence({"activity": {}, "not": True}, B), [f"{STEPS}[0].activity.name", f"{STEPS}[0].not"]),
    # other segments
    *(
        ({key: value}, [f"criteria.{key}"])
        for key in ("member_of", "not_member_of")
        for value in ("x", 5, None, [ID], f"{{{ID}}}", ID + "0", ID.replace("-", ""))
    ),
    # all at once
    (
        {
            "all": [
                activity(where={"price": {"operator": "gt", "value": True}, "sku": {}}, count={"operator": "gte"}),
                sequence({**A, "not": True}, {"order": 1}, within={}),
            ],
            "not_member_of": "x",
        },
        [
            "criteria.all[0].activity.where.price.value",
            "criteria.all[0].activity.where.sku.operator",
            "criteria.all[0].activity.count.value",
            "criteria.all[1].sequence.within",
            "criteria.all[1].sequence.steps[1].order",
            "criteria.all[1].sequence.steps[0].not",
            "criteria.not_member_of",
        ],
    ),
]


@pytest.mark.parametrize(("source", "paths"), REFUSED)
def test_all_faults_have_their_paths(source: object, paths: list[str]) -> None:
    """Exactly these places are wrong, and each is told in words that say what must stand there."""
    found = faults(source)

    assert list(found) == paths
    assert all(len(message) > 5 for message in found.values())


PAID = AttributePredicate("price", "gt", Decimal(5))
#: Criteria -> what they mean.
READ: list[tuple[dict[str, Any], object]] = [
    (activity(), ActivityPredicate(Stream("a"), Figure.COUNT, None, "gte", Decimal(1))),
    (
        activity(count={"operator": "eq", "value": 0}),
        ActivityPredicate(Stream("a"), Figure.COUNT, None, "eq", Decimal(0)),
    ),
    (
        activity(
            where={"z": {"operator": "exists"}, "price": {"operator": "gt", "value": 5}},
            sum={"property": "price", "operator": "between", "min_value": "-0.5", "max_value": 10**37},
            window={"hours": 2.0},
        ),
        ActivityPredicate(
            Stream("a", (PAID, AttributePredicate("z", "exists", True))),
            Figure.SUM,
            "price",
            "between",
            Decimal("-0.5"),
            Decimal(10**37),
            2 * instants.HOUR,
        ),
    ),
    (
        sequence(
            {"order": {}},
            {**A, "not": False},
            {"activity": {"name": "b", "where": {"price": {"operator": "gt", "value": 5}}}, "not": True},
        ),
        SequencePredicate((Step(None), Step(Stream("a")), Step(Stream("b", (PAID,)), is_not=True)), instants.DAY),
    ),
    ({"member_of": ID.upper()}, MemberPredicate(UUID(ID))),
    ({"not_member_of": ID}, Not(MemberPredicate(UUID(ID)))),
    (
        {**activity(), "member_of": ID},
        All((ActivityPredicate(Stream("a"), Figure.COUNT, None, "gte", Decimal(1)), MemberPredicate(UUID(ID)))),
    ),
]


@pytest.mark.parametrize(("source", "meaning"), READ)
def test_what_is_right_is_read(source: dict[str, Any], meaning: object) -> None:
    """Criteria become the predicates that they stand for."""
    assert parse_criteria(source) == meaning


def test_the_order_of_where_does_not_matter() -> None:
    """Two ways to write the same tests are one stream, which segments share."""
    tests = {"a": {"operator": "exists"}, "b": ONE}

    assert parse_criteria(activity(where=tests)) == parse_criteria(activity(where=dict(reversed(tests.items()))))
