"""Header fields of a mail: folded, encoded where they are not ASCII, and nothing in them can begin another field."""

from __future__ import annotations

import re
from binascii import b2a_base64
from typing import Final

#: RFC 5322 section 2.1.1: lines should not be longer; the last is a must.
LINE_CHARS: Final = 78
LINE_CHARS_MAX: Final = 998
#: UTF-8 bytes of an encoded word, so that its line stays below the 76 characters of RFC 2047 behind any name of ours.
WORD_BYTES_MAX: Final = 39

#: All that any reader of mail may take for the end of a line, the other controls, and halves of characters.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
#: What may go out as it is: words of ASCII with one space between.
_PLAIN = re.compile(r"[!-~]{1,900}( [!-~]{1,900})*")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+( [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


def clean(text: str) -> str:
    """One line: controls and line ends become a space, halves of characters a question mark."""
    return _SURROGATES.sub("?", _CONTROLS.sub(" ", text)).strip()


def text_field(name: str, text: str) -> str:
    """A field of free text, such as Subject, with its line end."""
    text = clean(text)
    if _PLAIN.fullmatch(text) and "=?" not in text:
        return _folded(f"{name}: ", text.split(" "))
    return _folded(f"{name}: ", encoded_words(text))


def encoded_words(text: str) -> list[str]:
    """Encoded words (RFC 2047), each of whole characters; readers join them without the space between."""
    words, part, size = [], "", 0
    for character in text:
        width = len(character.encode())
        if size + width > WORD_BYTES_MAX:
            words.append(_word(part))
            part, size = "", 0
        part += character
        size += width
    return [*words, _word(part)] if part else words


def _word(text: str) -> str:
    return f"=?utf-8?b?{b2a_base64(text.encode(), newline=False).decode()}?="


def address_field(name: str, display: str, address: str) -> str:
    """A field with one address, and a name for people before it where there is one."""
    display = clean(display)
    if not display:
        return f"{name}: {address}\r\n"
    if _ATOMS.fullmatch(display) and "=?" not in display:
        words = display.split(" ")
    elif display.isascii() and "=?" not in display and len(display) < LINE_CHARS_MAX // 2:
        escaped = display.replace("\\", "\\\\").replace('"', '\\"')
        words = [f'"{escaped}"']
    else:
        words = encoded_words(display)
    return _folded(f"{name}: ", [*words, f"<{address}>"])


def _folded(start: str, words: list[str]) -> str:
    lines, line = [], start
    for word in words:
        if line is start:
            line = start + word
        elif len(line) + 1 + len(word) > LINE_CHARS:
            lines.append(line)
            line = " " + word
        else:
            line += " " + word
    return "\r\n".join([*lines, line]) + "\r\n"
