"""What property tests share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.property.effort import FACTOR

CASES_MIN = 2_000 * FACTOR


@pytest.fixture
def compared(capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Iterator[Counter[str]]:
    """Counts the cases; tells their number at the end, and checks it where no test has failed."""
    found: Counter[str] = Counter()
    yield found
    with capsys.disabled():
        told = ", ".join(f"{count:,} {name}" for name, count in found.items())
        print(f"\n{told}")  # noqa: T201 - the number is what one wants to see
    assert request.session.testsfailed or found["cases compared"] >= CASES_MIN
