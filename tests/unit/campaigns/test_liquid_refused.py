"""Templates that are refused, and messages that cannot be rendered."""

from __future__ import annotations

import pytest

from service.app.campaigns.templates import RenderError, TemplateError
from tests.unit.campaigns.rendering import TEMPLATES, refused, rendered
from tests.unit.campaigns.support import campaign


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
