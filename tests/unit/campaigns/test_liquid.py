"""Templates: what they may name, what comes of them, and that nobody breaks out."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from service.adapters.liquid import LINKS_MAX, LiquidTemplates
from service.app.campaigns.templates import VARIABLES, Rendered, RenderError, TemplateError
from tests.unit.campaigns.support import campaign

TEMPLATES = LiquidTemplates()
VALUES: dict[str, Any] = {
    "customer": {
        "first_name": "Ann",
        "last_name": '<b>"O\'Neil" & co</b>',
        "city": None,
        "total_orders": 3,
        "total_spent": Decimal("170.00"),
        "last_order_date": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    },
    "segment": {"name": "Winback", "joined_at": None},
    "campaign": {"name": "Spring"},
    "discount": {"code": "K7-3FJ9QWZ2MD"},
    "unsubscribe_url": "https://t.example.org/u/v1.x.y?a=1&b=2",
    "preferences_url": None,
}
URL = "https://t.example.org/u/v1.x.y?a=1&b=2"


def rendered(content: str, options: dict[str, Any] | None = None, **fields: Any) -> Rendered:
    """What a transactional e-mail of this content says."""
    render = {name: fields.pop(name) for name in ("wrap", "pixel_url", "values") if name in fields}
    values = render.pop("values", VALUES)
    fields = {"category": "transactional", "subject": "Hi", **fields}
    return TEMPLATES.compile(campaign(options, content=content, **fields)).render(values, **render)


def refused(content: str, **fields: Any) -> str:
    """Why a content cannot be used."""
    with pytest.raises(TemplateError) as caught:
        rendered(content, **fields)
    return str(caught.value)


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


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{{ customer.phone }}", "names customer.phone, which is not known"),
        ("{{ customer }}", "names customer, which is not known"),
        ("{% assign x = customer %}{{ x.phone }}", "names customer, which is not known"),
        ("{% for x in customer %}{{ x }}{% endfor %}", "names customer, which is not known"),
        ("{{ customer[customer.city] }}", "names customer[customer.city]"),
        ("{{ customer.__class__ }}", "names customer.__class__"),
        ("{{ customer.first_name.__class__ }}", "names customer.first_name.__class__"),
        ("{{ now }}", "names now, which is not known"),
        ("{{ 'x' | safe }}", "there is no filter 'safe' here"),
        ("{{ 'x' | strip_html }}", "there is no filter 'strip_html' here"),
        ("{% if 1 %}{{ 'x' | default: 'y' | sort }}{% endif %}", "there is no filter 'sort' here"),
        ("{% include 'x' %}", "there is no tag 'include' here"),
        ("{% render 'x' %}", "there is no tag 'render' here"),
        ("{%- raw %}x{% endraw %}", "there is no tag 'raw' here"),
        ("{% liquid assign x = 1 %}", "there is no tag 'liquid' here"),
        ("a\n\n{{ customer.city", "a tag does not end within 1,000 characters (line 3)"),
        ("{% if %}x{% endif %}", "missing expression (line 1)"),
        ("{% if 1 %}x", "is no template that can be used"),
        ("{% endif %}", "is no template that can be used"),
        ("{{ customer.city | }}", "is no template that can be used"),
        ("{% for i in (1..101) %}x{% endfor %}", "a range must be written with whole numbers from 0 to 100"),
        ("{% for i in (1..customer.total_orders) %}x{% endfor %}", "a range must be written with whole numbers"),
    ],
)
def test_refused(content: str, expected: str) -> None:
    """Before anybody gets it, with a sentence that says what is wrong and where."""
    found = refused(content)

    assert found.startswith("content: ")
    assert expected in found


def test_all_faults_at_once() -> None:
    """In subject and content alike."""
    with pytest.raises(TemplateError) as caught:
        TEMPLATES.compile(campaign(subject="{{ a }} {{ b }}", content="{% x %}"))

    assert [fault.path for fault in caught.value.faults] == ["content", "subject", "subject"]
    assert {fault.code for fault in caught.value.faults} == {"invalid_template"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{{ customer.city }}", "content: customer.city is undefined for this customer"),
        ("{{ customer.city | upcase }}", "content: customer.city is undefined for this customer"),
        ("{{ customer.city | plus: 1 }}", "content: customer.city is undefined for this customer"),
        ("{{ customer.city | date }}", "content: customer.city is undefined for this customer"),
        ("{{ preferences_url }}", "content: 'preferences_url' is undefined for this customer"),
        ("{{ customer.first_name | plus: 1 }}", "content: does not fit the values of this customer"),
        ("{{ customer.first_name | date: '%Y' }}", "content: does not fit the values of this customer"),
        ("{{ customer.last_order_date | date: '%99999d' }}", "content: does not fit the values of this customer"),
        ("{{ customer.last_order_date | date: '" + "%A" * 51 + "' }}", "content: does not fit the values"),
        ("{{ 12345678901234567890123456789 | at_most: 5 }}", "content: does not fit the values of this customer"),
        ("{{ customer.total_orders | divided_by: 0 }}", "content: does not fit the values of this customer"),
        ("{% if customer.first_name > 1 %}{% endif %}", "content: does not fit the values of this customer"),
        ("{% assign x = customer.first_name %}{{ x.__class__.__mro__ }}", "x.__class__ is undefined"),
    ],
)
def test_render_errors(content: str, expected: str) -> None:
    """A value that is not there, or not what is needed: told without the value, which is personal."""
    with pytest.raises(RenderError) as caught:
        rendered(content)

    assert expected in str(caught.value)
    assert "Ann" not in str(caught.value)
