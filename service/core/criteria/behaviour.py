"""What criteria say about behaviour: activities and sequences of them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from service.core.criteria.fields import Figure
from service.core.criteria.model import ActivityPredicate, AttributePredicate, SequencePredicate, Step, Stream
from service.core.criteria.operators import NUMBER_OPERATORS
from service.core.criteria.values import Values

STEPS_MAX: Final = 10
WHERE_TESTS_MAX: Final = 20
#: What is asked of the count where no figure is named.
_AT_LEAST_ONE: Final = {"operator": "gte", "value": 1}


class BehaviourValues(Values):
    """Readers of `activity` and `sequence`."""

    def activity_predicate(self, value: object, path: str) -> ActivityPredicate | None:
        """One figure of a stream against its bounds; without a figure: at least once."""
        source = self.mapping(value, path, known=("name", "where", "window", *Figure))
        if source is None:
            return None
        stream = self._stream(source, path)
        window = self.window(source, path)
        figures = [Figure(name) for name in source if name in tuple(Figure)] or [Figure.COUNT]
        tests = [self._figure(one, source.get(one, _AT_LEAST_ONE), f"{path}.{one}") for one in figures]
        if len(figures) > 1:
            return self.fault(path, f"must have at most one of {', '.join(Figure)}")
        figure, test = figures[0], tests[0]
        if stream is None or test is None:
            return None
        name, operator, low, high = test
        return ActivityPredicate(stream, figure, name, operator, low, high, window)

    def _figure(
        self, figure: Figure, value: object, path: str
    ) -> tuple[str | None, str, Decimal, Decimal | None] | None:
        """(property, operator, low, high) of a figure's test."""
        operator = self.operator(value, path, NUMBER_OPERATORS)
        if operator is None:
            return None
        bounds = ("min_value", "max_value") if operator == "between" else ("value",)
        named = () if figure is Figure.COUNT else ("property",)
        source = self.mapping(value, path, known=("operator", *named, *bounds))
        if source is None:
            return None
        name = self.text(source.get("property"), f"{path}.property") if named else None
        read = self.whole if figure in (Figure.COUNT, Figure.DISTINCT) else self.exact
        found = [read(source.get(bound), f"{path}.{bound}") for bound in bounds]
        low, high = found[0], found[-1]
        if low is None or high is None or (named and name is None):
            return None
        if low > high:
            return self.fault(path, "min_value must not be greater than max_value")
        return name, operator, low, high if operator == "between" else None

    def _stream(self, source: dict[str, Any], path: str) -> Stream | None:
        name = self.text(source.get("name"), f"{path}.name")
        where: list[AttributePredicate] = []
        if "where" in source:
            here = f"{path}.where"
            tests = self.mapping(source["where"], here, known=None)
            if tests is None:
                return None
            if not 1 <= len(tests) <= WHERE_TESTS_MAX:
                return self.fault(here, f"must name 1 to {WHERE_TESTS_MAX} properties")
            for key, test in tests.items():
                found = self.attribute_test(key, test, f"{here}.{key[:100]}")
                if found is not None:
                    where.append(found)
        return None if name is None else Stream(name, tuple(sorted(where, key=_field)))

    def sequence_predicate(self, value: object, path: str) -> SequencePredicate | None:
        """Steps and the span that holds them."""
        source = self.mapping(value, path, known=("steps", "within"))
        if source is None:
            return None
        span = self.mapping(source.get("within"), f"{path}.within", known=tuple(self.SPAN_UNITS))
        within = None if span is None else self.span(span, f"{path}.within")
        listed = source.get("steps")
        here = f"{path}.steps"
        if not isinstance(listed, list) or not 2 <= len(listed) <= STEPS_MAX:
            return self.fault(here, f"must be a list of 2 to {STEPS_MAX} steps")
        steps = [self._step(step, f"{here}[{index}]") for index, step in enumerate(listed)]
        if isinstance(listed[0], dict) and listed[0].get("not") is True:
            return self.fault(f"{here}[0].not", "must not be true: the span begins with the first step")
        found = tuple(step for step in steps if step is not None)
        return SequencePredicate(found, within) if within and len(found) == len(steps) else None

    def _step(self, value: object, path: str) -> Step | None:
        source = self.mapping(value, path, known=("activity", "order", "not"))
        if source is None:
            return None
        is_not = source.get("not", False)
        if not isinstance(is_not, bool):
            return self.fault(f"{path}.not", "must be true or false")
        if ("activity" in source) == ("order" in source):
            return self.fault(path, "must have either activity or order")
        if "order" in source:
            return Step(None, is_not) if source["order"] == {} else self.fault(f"{path}.order", "must be {}")
        here = f"{path}.activity"
        activity = self.mapping(source["activity"], here, known=("name", "where"))
        stream = None if activity is None else self._stream(activity, here)
        return None if stream is None else Step(stream, is_not)


def _field(test: AttributePredicate) -> str:
    return test.field
