"""Memory that is kept from batch to batch."""

from __future__ import annotations

import math
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

#: Larger arrays are made anew each time, so that one large batch does not hold its memory for good.
KEPT_BYTES_MAX: Final = 32 * 1_048_576

Scalar = TypeVar("Scalar", bound=np.generic)


class Scratch:
    """Arrays by name. Fresh pages of the system would cost several times what is done with them."""

    def __init__(self) -> None:
        self._kept: dict[str, NDArray[Any]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: type[Scalar]) -> NDArray[Scalar]:
        """An array whose content means nothing; the one that had this name before is void."""
        size = math.prod(shape)
        found = self._kept.get(name)
        if found is None or found.size < size:
            found = np.empty(size, dtype=dtype)
            if found.nbytes <= KEPT_BYTES_MAX:
                self._kept[name] = found
        return found[:size].reshape(shape)
