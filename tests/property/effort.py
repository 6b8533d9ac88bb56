"""How much the property tests try: as much as fits a test run, or longer under `make fuzz`."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck

#: How many times as many examples as usual; `make fuzz` sets it.
FACTOR: Final = int(os.environ.get("SEGMENTS_FUZZ_FACTOR", "1"))
#: Of tests on a database: it serves all examples, which clear it or roll back, and these are large on purpose.
UNCHECKED: Final = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


def examples(usual: int) -> int:
    """So many examples, times the factor that the environment asks for."""
    return usual * FACTOR
