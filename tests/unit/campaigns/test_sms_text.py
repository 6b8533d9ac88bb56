"""Segments of text messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.campaigns.sms_text import is_gsm7, segments

EMOJI = "\U0001f600"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("a" * 1_530, 10),
        ("a" * 1_531, 11),
        # Two septets each, and never cut in two: 76 of them in a segment of 153.
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("€" * 152, 2),
        ("€" * 153, 3),
        ("a" * 158 + "€", 1),
        ("a" * 159 + "€", 2),
        ("a" * 152 + "€" + "a" * 152, 3),
        # Another alphabet, and two units for what lies beyond it.
        ("я" * 70, 1),
        ("я" * 71, 2),
        ("я" * 134, 2),
        ("я" * 135, 3),
        ("a" * 70 + "я", 2),
        (EMOJI * 35, 1),
        (EMOJI * 36, 2),
        (EMOJI * 66, 2),
        (EMOJI * 67, 3),
    ],
)
def test_segments(text: str, expected: int) -> None:
    """160 or 153 septets, else 70 or 67 units."""
    assert segments(text) == expected


def test_alphabet() -> None:
    """The small alphabet has 127 characters (and the escape), and 10 more of two septets."""
    basic = [chr(code) for code in range(0x10000) if is_gsm7(chr(code)) and segments(chr(code) * 160) == 1]
    extended = [chr(code) for code in range(0x10000) if is_gsm7(chr(code)) and segments(chr(code) * 160) > 1]

    assert len(basic) == 127
    assert "".join(sorted(extended)) == "".join(sorted("\f^{}\\[~]|€"))
    assert not is_gsm7("ç")


@given(st.text(st.sampled_from(f"aé€я{EMOJI}"), max_size=500), st.text(st.sampled_from("a€"), max_size=20))
def test_longer_texts_have_no_fewer_segments(text: str, more: str) -> None:
    """And as many as fit, within one of what the units alone would need."""
    units = sum((2 if one == "€" else 1) if is_gsm7(text) else len(one.encode("utf-16-le")) // 2 for one in text)
    each = 153 if is_gsm7(text) else 67

    assert segments(text + more) >= segments(text)
    assert -(-units // (each + 7)) <= segments(text) <= -(-units // (each - 1))
