"""Attribute values as numbers: what all attribute tests say of a combination of values, found out once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from service.core.criteria.model import AttributePredicate
from service.core.criteria.operators import attribute_holds
from service.core.criteria.thresholds import Bits, Columns

#: Different attribute values that are remembered from batch to batch.
ATTRIBUTE_KEYS_MAX: Final = 100_000


class AttributeKeys:
    """Numbers that stand for attribute values in rows; valid as long as somebody holds this object."""

    def __init__(self, tests: Sequence[Sequence[AttributePredicate]]) -> None:
        """Takes the tests of each attribute, in the order of needs.attributes."""
        self.tests = tests
        self._numbers: dict[tuple[object, ...], int] = {}
        self._table: list[bytes] = []
        self._answers: dict[tuple[object, ...], bytes] = {}

    @property
    def is_full(self) -> bool:
        """Whether it is time for a new one."""
        return len(self._table) > ATTRIBUTE_KEYS_MAX

    def number(self, values: tuple[object, ...]) -> int:
        """The number that stands for these values, in the order of needs.attributes."""
        # True == 1 in Python, so the types are part of the key.
        key = (*values, *map(type, values))
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._table)
            numbered = zip(range(len(self.tests)), values, strict=True)
            self._table.append(b"".join([self._answer(attribute, value) for attribute, value in numbered]))
        return number

    def _answer(self, attribute: int, value: object) -> bytes:
        """What the tests of one attribute say of a value."""
        key = (attribute, value, type(value))
        answer = self._answers.get(key)
        if answer is None:
            answer = bytes(attribute_holds(test.operator, value, test.value) for test in self.tests[attribute])
            self._answers[key] = answer
        return answer

    def tested(self, numbers: Columns) -> Bits:
        """Attribute tests x rows."""
        answers = b"".join([self._table[number] for number in numbers.tolist()])
        return np.frombuffer(answers, dtype=np.bool_).reshape(len(numbers), -1).T
