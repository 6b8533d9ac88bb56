"""How much the property tests try: as much as fits a test run, or longer under `make fuzz`."""

from __future__ import annotations

import os
from typing import Final

#: How many times as many examples as usual; `make fuzz` sets it.
FACTOR: Final = int(os.environ.get("SEGMENTS_FUZZ_FACTOR", "1"))


def examples(usual: int) -> int:
    """So many examples, times the factor that the environment asks for."""
    return usual * FACTOR
