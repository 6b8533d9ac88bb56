"""HTML of e-mails: links replaced, plain text made."""

from __future__ import annotations

from html import escape
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.campaigns.html_text import TAGS_MAX, add_before_end, is_html, rewrite_html, rewrite_text

PIECES = st.sampled_from(
    [
        "<",
        ">",
        "<!--",
        "-->",
        "-",
        "&amp;",
        "&",
        '"',
        "'",
        " ",
        "\n",
        "a",
        "p",
        "href",
        "=",
        "/",
        "<a href='x'>",
        "</a>",
    ]
    + ["<p>", "<style>", "</style>", "<br/>", "<li>", "<img alt=x>", '<a href="', "<td>", "text", "<title>"]
)


def same(target: str) -> str:
    """Leaves links alone."""
    return target


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>Hello   Ann</p><p>Bye\n now</p>", "Hello Ann\n\nBye now"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("<h1>Title</h1>text", "Title\n\ntext"),
        ("<ul><li>One</li><li>Two <b>bold</b>er</li></ul>", "- One\n- Two bolder"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("<a href='https://x.example/?a=1&amp;b=2'>here</a>!", "here (https://x.example/?a=1&b=2)!"),
        ("<a href=https://x.example/>here</a>", "here (https://x.example/)"),
        ("<a href='https://x.example'>https://x.example</a>", "https://x.example"),
        ("see <a href='https://x.example'><img src='x' alt='our shop'></a>", "see our shop (https://x.example)"),
        ("see <a href='https://x.example'><img src='x'></a>", "see https://x.example"),
        ("<a href='#top'>up</a> <a name='top'>x</a>", "up x"),
        ("<head><title>T</title><style>p{}</style></head>a<script>b()</script>c", "ac"),
        ("<!DOCTYPE html>a<!-- <p>no</p> -->b<!--[if mso]><table><![endif]-->c", "abc"),
        ("1 &lt; 2 &amp; 3 < 4 - 5 -- 6", "1 < 2 & 3 < 4 - 5 -- 6"),
        ("a <b>b</b> <i>c</i>d", "a b cd"),
        ("", ""),
    ],
)
def test_text(html: str, expected: str) -> None:
    """What a reader without HTML is told."""
    assert rewrite_html(html, same)[1] == expected


def test_links_are_replaced() -> None:
    """The target and nothing else; what stands in a comment or a script is none."""
    html = (
        '<p><A class="b" HREF="https://a.example/?x=1&amp;y" id=z>a</A> <!-- <a href="https://n.example">n</a> --></p>'
    )

    found, text = rewrite_html(html, lambda target: f"https://t.example/?{len(target)}&<")

    expected = html.replace('"https://a.example/?x=1&amp;y"', '"https://t.example/?24&amp;&lt;"')
    assert found == expected
    assert text == "a (https://t.example/?24&<)"


@given(st.lists(PIECES, max_size=40).map("".join))
def test_broken_html_is_left_alone(html: str) -> None:
    """Whatever it is, only targets of links change; the text holds no tag that has a name."""
    found, _ = rewrite_html(html, same)

    assert rewrite_html(found, same)[0] == found
    if "href" not in html:
        assert found == html


@given(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=100))
def test_words_come_back(word: str) -> None:
    """What has no blanks is told as it is, whatever its characters."""
    assert rewrite_html(f"<p>{escape(word)}</p>", same)[1] == word


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "See https://a.example/x?y=1, or (http://b.example).",
            "See [https://a.example/x?y=1], or ([http://b.example]).",
        ),
        ("HTTPS://A.example!", "[HTTPS://A.example]!"),
        ("ftp://a.example mailto:x@y a.example", "ftp://a.example mailto:x@y a.example"),
        ('"https://a.example"', '"[https://a.example]"'),
    ],
)
def test_plain_links(text: str, expected: str) -> None:
    """Links in plain text end before punctuation that is the sentence's."""
    assert rewrite_text(text, lambda target: f"[{target}]") == expected


def test_kinds() -> None:
    """A tag makes HTML; comparisons and hearts do not."""
    assert is_html("<p>Hi</p>")
    assert is_html("Hi<br/>there")
    assert is_html("<!-- x -->")
    assert not is_html("1 < 2 and 3 > 2, <3 you")
    assert not is_html("Hello {{ customer.first_name }}")


def test_end() -> None:
    """The end of the body, or of everything."""
    assert add_before_end("<BODY>a</BODY></html>", "!") == "<BODY>a!</BODY></html>"
    assert add_before_end("<p>a</p>", "!") == "<p>a</p>!"


def test_tags_are_counted() -> None:
    """As many as may be, and not one more."""
    assert rewrite_html("<b>" * TAGS_MAX, same)[1] == ""
    with pytest.raises(ValueError, match="has more than"):
        rewrite_html("<b>" * (TAGS_MAX + 1), same)


@pytest.mark.parametrize(
    "piece",
    [
        "<",
        "<a ",
        '<a href="',
        "<!--",
        "<a>",
        "-",
        "--",
        '<a href="x">b</a>',
        "&amp;",
        "&",
        "<a href",
        "<style>",
        "http://",
        "-->",
    ],
)
def test_hostile_html_takes_linear_time(piece: str) -> None:
    """200 kB of whatever it is: far below a second, where a quadratic search would take minutes."""
    html = (piece * 200_000)[:200_000]
    before = process_time()
    try:
        rewrite_html(html, same)
    except ValueError as error:
        assert f"{TAGS_MAX:,} tags" in str(error)  # noqa: PT017 - not all of them are refused
    rewrite_text(html, same)
    is_html(html)

    assert process_time() - before < 1
