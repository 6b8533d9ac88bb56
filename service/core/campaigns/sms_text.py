"""How many segments a text message has: GSM-7 in 160 or 153 a segment, anything else in UCS-2, 70 or 67 (B2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

#: GSM 03.38: one septet each ...
_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
#: ... and two each, escape and character, which stay together.
_EXTENDED: Final = frozenset("\f^{}\\[~]|€")


class _Alphabet(NamedTuple):
    alone: int
    each: int


_GSM7: Final = _Alphabet(160, 153)
_UCS2: Final = _Alphabet(70, 67)


def is_gsm7(text: str) -> bool:
    """Whether every character has a place in the small alphabet."""
    return _BASIC.union(_EXTENDED).issuperset(text)


def segments(text: str) -> int:
    """Segments that a text is sent in; 0 for none. A character of two units is never cut in two."""
    if is_gsm7(text):
        return _count((2 if one in _EXTENDED else 1 for one in text), _GSM7)
    return _count((2 if ord(one) > 0xFFFF else 1 for one in text), _UCS2)


def _count(widths: Iterable[int], alphabet: _Alphabet) -> int:
    units, count, room = 0, 0, 0
    for width in widths:
        units += width
        if width > room:
            count, room = count + 1, alphabet.each
        room -= width
    return min(count, 1) if units <= alphabet.alone else count
