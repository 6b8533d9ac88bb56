"""Ordinals: how many transitions a customer has had in each segment, four bytes a slot; an odd count means member."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

ORDINAL_BYTES: Final = 4


def ordinal_of(ordinals: bytes, slot: int) -> int:
    """How many transitions there were in this slot."""
    return int.from_bytes(ordinals[slot * ORDINAL_BYTES : (slot + 1) * ORDINAL_BYTES], "little")


def with_ordinal(ordinals: bytes, slot: int, ordinal: int) -> bytes:
    """The ordinals with one replaced."""
    start = slot * ORDINAL_BYTES
    padded = ordinals.ljust(start + ORDINAL_BYTES, b"\0")
    return padded[:start] + ordinal.to_bytes(ORDINAL_BYTES, "little") + padded[start + ORDINAL_BYTES :]


def members_of(ordinals: bytes, slots: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Membership by slot: an odd number of transitions means member."""
    if not len(slots):
        return np.zeros(0, dtype=np.bool_)
    counts = np.frombuffer(ordinals.ljust((int(slots[-1]) + 1) * ORDINAL_BYTES, b"\0"), dtype="<u4")
    return (counts[slots] & 1).astype(np.bool_)
