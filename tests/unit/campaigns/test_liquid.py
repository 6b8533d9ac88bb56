"""Templates: what they may name, what comes of them, and that nobody breaks out."""

from __future__ import annotations

import pytest

from service.adapters.liquid import LINKS_MAX
from service.app.campaigns.templates import VARIABLES, Rendered, RenderError
from tests.unit.campaigns.rendering import TEMPLATES, URL, VALUES, rendered
from tests.unit.campaigns.support import campaign


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("Hello {{ customer.first_name }}!", "Hello Ann!"),
        ("{{ customer.city | default: 'there' }}", "there"),
        ("{% if customer.city %}in {{ customer.city }}{% else %}somewhere{% endif %}", "somewhere"),
        ("{% if customer.city == blank %}none{% endif %}{% unless customer.city %}!{% endunless %}", "none!"),
        ("{% if empty != customer.city %}x{% endif %}{% if customer.city == nil %}nil{% endif %}", "nil"),
        ("{% if customer.first_name != blank and customer.first_name != customer.city %}x{% endif %}", "x"),
        ("{% if segment.joined_at %}a{% elsif customer.total_orders > 2 %}b{% endif %}", "b"),
        ("{{ customer.total_spent }} {% if customer.total_spent > 100 %}much{% endif %}", "170.00 much"),
        ("{{ customer.last_order_date | date: '%-d %B %Y' }}", "2 January 2026"),
        ("{{ customer.last_order_date }}", "2026-01-02T03:04:05Z"),
        ("{% case customer.total_orders %}{% when 1, 2 %}few{% when 3 %}three{% endcase %}", "three"),
        ("{% assign x = 'b,a' | split: ',' %}{% for i in x %}{{ forloop.index }}{{ i }}{% endfor %}", "1b2a"),
        ("{% for i in (1..3) %}*{% endfor %}", "***"),
        ("{% capture x %}{{ customer.first_name }}!{% endcapture %}{{ x | upcase | append: x }}", "ANN!Ann!"),
        ("{% comment %}{{ customer.first_name }}{% endcomment %}{% # no %}x", "x"),
        ("{{ customer['first_name'] }}", "Ann"),
        ("{{ customer.last_name }}", '<b>"O\'Neil" & co</b>'),
    ],
)
def test_text(content: str, expected: str) -> None:
    """Plain text is not escaped, and is no HTML."""
    assert rendered(content) == Rendered("Hi", None, expected, None)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("customer.total_spent | times: 2", "340.00"),
        ("customer.total_orders | plus: 1", "4"),
        ("'4' | minus: '1.5'", "2.5"),
        ("7 | divided_by: 2", "3"),
        ("-7 | divided_by: 2", "-4"),
        ("7.0 | divided_by: 2", "3.5"),
        ("-7 | modulo: 3", "2"),
        ("2.345 | round: 2", "2.35"),
        ("2.5 | round", "3"),
        ("-3.2 | floor", "-4"),
        ("-3.2 | ceil", "-3"),
        ("-3 | abs | at_least: 5 | at_most: 4", "4"),
        ("0.1 | plus: 0.2", "0.3"),
    ],
)
def test_numbers(expression: str, expected: str) -> None:
    """Money stays exact; whole numbers are divided as Liquid does."""
    assert rendered(f"{{{{ {expression} }}}}").text == expected


def test_html() -> None:
    """Values are escaped, the template's own tags are not, nor is what was escaped twice escaped; the text is plain."""
    found = rendered("<p>{{ customer.last_name }} {{ '<i>' | append: customer.last_name | append: '</i>' }}</p>")

    escaped = "&lt;b&gt;&#34;O&#39;Neil&#34; &amp; co&lt;/b&gt;"
    assert found.html == f"<p>{escaped} <i>{escaped}</i></p>"
    assert found.text == '<b>"O\'Neil" & co</b> <b>"O\'Neil" & co</b>'


@pytest.mark.parametrize(
    "expression",
    [
        "x",
        "x | upcase",
        "x | replace: 'q', '<b>' | replace: 'r', customer.city",
        "'<b>' | append: x",
        "x | prepend: '<b>' | strip",
        "x | split: ' ' | join: '<br>'",
        "x | newline_to_br",
        "x | truncate: 30 | slice: 0, 99",
        "x | strip_newlines | remove: 'q'",
        "x | url_encode",
        "x | escape",
        "y",
    ],
)
def test_nothing_of_a_customer_is_markup(expression: str) -> None:
    """By whatever filters a value goes, its tags stay text."""
    content = "<p>{% assign x = customer.first_name %}{% capture y %}{{ x }}{% endcapture %}{{ EXPRESSION }}</p>"
    values = {"customer": {"first_name": "<script>alert(1)</script> <script>", "city": "<script>"}}
    found = rendered(content.replace("EXPRESSION", expression), values=values)

    assert "<script" not in (found.html or "").lower()


@pytest.mark.parametrize("field", ["subject", "title"])
def test_one_line(field: str) -> None:
    """Nobody whose name breaks the line writes headers; and headers are not escaped."""
    values = {"customer": {"first_name": "Ann\r\nBcc: <all@example.org>\x0b\u2028x"}}
    template = "Hi {{ customer.first_name }}"
    if field == "subject":
        found = rendered("<p>x</p>", subject=template, values=values).subject
    else:
        found = rendered("x", {"title": template}, channel="notification", subject=None, values=values).title

    assert found == "Hi Ann Bcc: <all@example.org> x"


def test_channels() -> None:
    """Only an e-mail has HTML."""
    found = rendered("<b>{{ customer.last_name }}</b>", channel="sms", subject=None)

    assert found == Rendered(None, None, '<b><b>"O\'Neil" & co</b></b>', None)


def test_links() -> None:
    """Each target has one index, wherever it stands; our own are not wrapped, nor what does not lead to the web."""
    seen = []

    def wrap(index: int, target: str) -> str:
        seen.append((index, target))
        return f"https://t.example.org/t/c/{index}?a&b"

    found = rendered(
        '<a href="https://a.example/?x=1&amp;c={{ customer.total_orders }}">a</a>'
        "<a href='https://b.example'>b</a><a href=\"https://a.example/?x=1&c=3\">again</a>"
        '<a href="{{ unsubscribe_url }}">out</a><a href="mailto:x@y.example">m</a><a href="javascript:x">j</a>',
        wrap=wrap,
        pixel_url="https://t.example.org/t/o/x.gif?a&b",
    )

    assert seen == [(0, "https://a.example/?x=1&c=3"), (1, "https://b.example")]
    assert found.links == ("https://a.example/?x=1&c=3", "https://b.example")
    assert found.html == (
        '<a href="https://t.example.org/t/c/0?a&amp;b">a</a><a href="https://t.example.org/t/c/1?a&amp;b">b</a>'
        '<a href="https://t.example.org/t/c/0?a&amp;b">again</a>'
        '<a href="https://t.example.org/u/v1.x.y?a=1&amp;b=2">out</a>'
        '<a href="mailto:x@y.example">m</a><a href="javascript:x">j</a>'
        '<img src="https://t.example.org/t/o/x.gif?a&amp;b" width="1" height="1" alt="" style="display:none">'
    )
    assert "again (https://t.example.org/t/c/0?a&b)" in found.text


def test_links_in_text() -> None:
    """Plain text has links as well, and no pixel."""
    found = rendered(
        "Look: https://a.example/x. Bye", wrap=lambda index, _: f"https://t/{index}", pixel_url="https://p"
    )

    assert found == Rendered("Hi", None, "Look: https://t/0. Bye", None, ("https://a.example/x",))
    assert rendered("https://a.example").links == ()


@pytest.mark.parametrize(
    "name",
    [
        "https://evil.example/login",
        "https://shop.example.org@evil.example/",
        "https://evil.example\\@shop.example.org/",
        "https://evil.example?https://shop.example.org",
        "https://shop.example.org.evil.example",
        "//evil.example",
    ],
)
@pytest.mark.parametrize(
    "content",
    [
        "Hi {{ customer.last_name }} , see https://shop.example.org/{{ customer.total_orders }}",
        '<a href="{{ customer.last_name }}">x</a> <a href="https://shop.example.org/{{ customer.total_orders }}">y</a>',
    ],
)
def test_no_link_of_ours_leads_where_a_customer_likes(content: str, name: str) -> None:
    """Only links of the template are led by way of us: a signed link of ours to anywhere would serve for phishing."""
    values = VALUES | {"customer": VALUES["customer"] | {"last_name": name}}
    found = rendered(content, values=values, wrap=lambda index, _: f"https://t.example.org/{index}")
    assert found.links == ("https://shop.example.org/3",)
    assert "https://t.example.org/0" in found.text


def test_many_links() -> None:
    """Beyond the limit they are left alone."""
    content = " ".join(f"https://a.example/{number}" for number in range(LINKS_MAX + 10))
    found = rendered(content, wrap=lambda index, _: f"https://t/{index}")

    assert len(found.links) == LINKS_MAX
    assert found.text.endswith("https://a.example/209")


def test_unsubscribe() -> None:
    """No marketing e-mail goes without: a footer is added unless the link is there, and none without an address."""
    text = rendered("Hello", category="marketing").text
    html = rendered("<body>Hello</body>", category="marketing").html or ""
    own = rendered("<a href='{{ unsubscribe_url }}'>out</a>", category="marketing").html or ""

    assert text == f"Hello\n\n-- \nUnsubscribe: {URL}\n"
    assert html.endswith('a=1&amp;b=2">Unsubscribe</a></p></body>')
    assert own.count("/u/v1.x.y") == 1
    with pytest.raises(RenderError, match="unsubscribe_url is not known"):
        rendered("Hello", category="marketing", values={})
    assert "unsubscribe" not in rendered("Hello").text
    assert "unsubscribe" not in rendered("Hello", category="marketing", channel="sms", subject=None).text


def test_unsubscribe_where_nobody_sees_it() -> None:
    """A branch that is not taken holds no link: the footer is added all the same."""
    found = rendered("<p>{% if customer.city %}{{ unsubscribe_url }}{% endif %}Hi</p>", category="marketing")

    assert (found.html or "").count("/u/v1.x.y") == 1


def test_variables() -> None:
    """What is named is told, also in branches; of marketing e-mail the way out as well."""
    content = "{% if customer.city %}{{ discount.code }}{% endif %}{% assign x = customer.name %}{{ x }}"
    compiled = TEMPLATES.compile(campaign(subject="{{ segment.name }}", content=content))

    expected = {"customer.city", "customer.name", "discount.code", "segment.name", "unsubscribe_url"}
    assert compiled.variables == expected
    everything = " ".join(f"{{{{ {name} | default: 1 }}}}" for name in sorted(VARIABLES))
    assert TEMPLATES.compile(campaign(content=everything)).variables == VARIABLES
