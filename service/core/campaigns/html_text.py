"""HTML of an e-mail: its links replaced, and what it says in plain text. One pass, in time linear in its length.

It is no parser: it knows tags, comments, and what is never shown. What it does not understand stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape, unescape
from typing import Final

_TAG: Final = re.compile(r"<[a-zA-Z/!][^<>]*>")
#: Each piece begins where the one before ends, so that no character is looked at twice.
_PIECE: Final = re.compile(r"<!--|-->|<[^<>]*>|<|(?:[^<-]++|-(?!->))++")
#: A mail has hundreds; each costs some microseconds.
TAGS_MAX: Final = 3_000
_NAME: Final = re.compile(r"</?([a-zA-Z][a-zA-Z0-9]*)")
_HREF: Final = re.compile(r"""(\shref\s*=\s*)(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_ALT: Final = re.compile(r"""\salt\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_BLANKS: Final = re.compile(r"[ \t\r\n\f]+")
#: These stand on lines of their own.
_LINES: Final = frozenset(
    [
        "address",
        "article",
        "blockquote",
        "br",
        "center",
        "dd",
        "div",
        "dl",
        "dt",
        "footer",
        "header",
        "hr",
        "li",
        "main",
        "ol",
        "p",
        "pre",
    ]
)
_LINES_ALL: Final = _LINES | frozenset(
    ["section", "table", "tbody", "tfoot", "thead", "tr", "ul", "h1", "h2", "h3", "h4", "h5", "h6"]
)
_PARAGRAPHS: Final = frozenset(["p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "blockquote"])
_NEVER_SHOWN: Final = frozenset(["head", "script", "style", "template", "title"])
_PLAIN_LINK: Final = re.compile(r"https?://[^\s<>\"']+", re.IGNORECASE)
_AFTER_LINK: Final = ".,;:!?)]}*_"


def is_html(content: str) -> bool:
    """Whether a content has a tag or a comment; else it is plain text."""
    return _TAG.search(content) is not None


def rewrite_html(html: str, replace: Callable[[str], str]) -> tuple[str, str]:
    """The same HTML with the targets of its links replaced, and its plain text with the same targets.

    Args:
        html: rendered.
        replace: from the target of a link, whatever it is, to the one that takes its place.

    Raises:
        ValueError: more than TAGS_MAX tags.
    """
    if html.count("<") > TAGS_MAX:
        msg = f"has more than {TAGS_MAX:,} tags"
        raise ValueError(msg)
    out: list[str] = []
    text = _Text()
    is_comment, hidden = False, ""
    for match in _PIECE.finditer(html):
        piece = match[0]
        out.append(piece)
        if is_comment:
            is_comment = not piece.endswith("-->")
        elif piece == "<!--":
            is_comment = True
        elif not (named := _NAME.match(piece)):
            if not hidden and not piece.startswith("<!"):
                text.say(piece)
        else:
            name, is_end = named[1].lower(), piece.startswith("</")
            if hidden:
                hidden = "" if is_end and name == hidden else hidden
                continue
            if name in _NEVER_SHOWN and not is_end:
                hidden = name
            href = _HREF.search(piece) if name in ("a", "area") and not is_end else None
            target = None
            if href is not None:
                target = replace(unescape(href[href.lastindex or 0]).strip())
                out[-1] = f'{piece[: href.start()]}{href[1]}"{escape(target)}"{piece[href.end() :]}'
            text.tag(name, is_end, piece, target)
    return "".join(out), text.whole()


def rewrite_text(text: str, replace: Callable[[str], str]) -> str:
    """A plain text with the http and https links in it replaced; punctuation that follows a link is none of it."""

    def replaced(match: re.Match[str]) -> str:
        found = match[0]
        link = found.rstrip(_AFTER_LINK)
        return replace(link) + found[len(link) :]

    return _PLAIN_LINK.sub(replaced, text)


def add_before_end(html: str, more: str) -> str:
    """HTML with something more at the end of its body."""
    place = html.lower().rfind("</body>")
    return html + more if place < 0 else html[:place] + more + html[place:]


class _Text:
    """Plain text in the making."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._breaks = 2
        self._blank = ""
        self._targets: list[tuple[str | None, int]] = []

    def say(self, html: str) -> None:
        """Words; blanks and line breaks are one blank."""
        words = _BLANKS.sub(" ", unescape(html))
        if words == " ":
            self._blank = " "
            return
        if self._breaks or words.startswith(" "):
            words = words.removeprefix(" ") if self._breaks else words
            self._blank = ""
        self._parts.append(self._blank + words.removesuffix(" "))
        self._blank = " " if words.endswith(" ") else ""
        self._breaks = 0

    def tag(self, name: str, is_end: bool, piece: str, target: str | None) -> None:
        """What a tag means for the text."""
        if name in _LINES_ALL:
            self._break(2 if name in _PARAGRAPHS else 1)
        if name == "li" and not is_end:
            self.say("- ")
        elif name in ("td", "th"):
            self._blank = " "
        elif name == "img" and (alt := _ALT.search(piece)) is not None:
            self._blank = self._blank or " "
            self.say(alt[alt.lastindex or 0])
            self._blank = " "
        elif name == "a" and not is_end:
            self._targets.append((target, len(self._parts)))
        elif name == "a" and self._targets:
            self._end_link(*self._targets.pop())

    def _end_link(self, target: str | None, begin: int) -> None:
        if not target or target.startswith("#"):
            return
        label = "".join(self._parts[begin:]).strip()
        if label and label != target:
            self.say(f" ({escape(target)})")
        elif not label:
            self.say(f" {escape(target)}")

    def _break(self, lines: int) -> None:
        if self._parts and self._breaks < lines:
            self._parts.append("\n" * (lines - self._breaks))
            self._breaks = lines
        self._blank = ""

    def whole(self) -> str:
        """All of it."""
        return "".join(self._parts).strip()
