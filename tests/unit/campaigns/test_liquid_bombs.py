"""Templates that would run for ever, or fill the memory: all end, after a number of steps that is always the same."""

from __future__ import annotations

import tracemalloc
from time import thread_time

import pytest

from service.adapters.liquid import LiquidTemplates
from service.adapters.liquid_engine import STEPS_MAX, TAGS_MAX
from service.app.campaigns.templates import RenderError, TemplateError
from tests.unit.campaigns.support import campaign

TEMPLATES = LiquidTemplates()
VALUES = {"customer": {"first_name": "Ann", "total_orders": 3}}
#: Measured: 10 ms. The margin is for a machine that is busy, and small beside what each of these would take unbounded.
RENDER_SECONDS_MAX = 0.15
COMPILE_SECONDS_MAX = 1.0
BYTES_MAX = 30_000_000
LONG = "{% assign x = 'aaaaaaaaaaaaaaaa' %}" + "{% assign x = x | append: x %}" * 9
TWICE = "{% for h in (1..100) %}{% for i in (1..100) %}"
ENDS = "{% endfor %}{% endfor %}"
WORK, LOOPS, OUTPUT = "does more work", "loops more often", "makes more than"

RENDERED = {
    "three loops": (TWICE + "{% for j in (1..2) %}x{% endfor %}" + ENDS, LOOPS),
    "loop after loop": ("{% for i in (1..100) %}{% endfor %}" * 900, WORK),
    "loops that skip": (
        "{% for i in (1..100) %}" + "{% for j in (1..100) reversed offset:99 %}{% endfor %}" * 500,
        WORK,
    ),
    "doubled text": (LONG + "{% assign x = x | append: x %}" * 60, WORK),
    "doubled captures": ("{% capture x %}a{% endcapture %}" + "{% capture x %}{{x}}{{x}}{% endcapture %}" * 60, OUTPUT),
    "replaced by itself": (LONG + "{% assign y = x | replace: 'a', x %}", WORK),
    "replaced everywhere": (LONG + "{% assign y = x | replace: '', x %}", WORK),
    "joined by itself": (LONG + "{% assign y = x | split: '' | join: x %}", WORK),
    "split": (LONG + TWICE + "{% assign y = x | split: '' %}" + ENDS, WORK),
    "encoded": (LONG + TWICE + "{% assign y = x | url_encode | escape | newline_to_br %}" + ENDS, WORK),
    "searched": (LONG + TWICE + "{% if x contains 'b' %}{% endif %}" + ENDS, WORK),
    "words": (LONG + TWICE + "{% assign y = x | truncatewords: 9999 %}" + ENDS, WORK),
    "lists written": (LONG + "{% assign x = x | split: '' %}" + TWICE + "{{ x }}" + ENDS, WORK),
    "squared numbers": (
        "{% assign x = 99999 %}{% for i in (1..100) %}{% assign x = x | times: x %}{% endfor %}",
        "does not fit",
    ),
    "numbers": (TWICE + "{% assign y = 1.234 | times: 9.876 | divided_by: 7 | modulo: 3 | round: 2 %}" + ENDS, WORK),
    "many conditions": (TWICE + "{% if 1 == 2 %}{% endif %}" * 900 + ENDS, WORK),
    "long conditions": (TWICE + "{% if 'a'=='b'" + " or 'a'=='b'" * 70 + " %}{% endif %}" + ENDS, WORK),
    "long cases": (TWICE + "{% case i %}{% when 'x'" + ",'x'" * 200 + " %}{% endcase %}" + ENDS, WORK),
    "variables": (TWICE + "{{ customer.first_name }}" + ENDS, WORK),
    "dates": (TWICE + "{% assign y = '2026-01-01T00:00:00Z' | date: '%A %B' %}" + ENDS, WORK),
    "output": ("{% for i in (1..100) %}" + "y" * 10_000 + "{% endfor %}", OUTPUT),
    "kept texts": (
        "".join(
            f"{{% capture x{number} %}}{{% for i in (1..10) %}}{'y' * 10_000}{{% endfor %}}{{% endcapture %}}"
            for number in range(11)
        ),
        "keeps more than",
    ),
    "captured output": (
        "{% for i in (1..100) %}{% capture x %}" + "y" * 150_000 + "{% endcapture %}{% endfor %}",
        WORK,
    ),
}
COMPILED = {
    "too many tags": "{{1}}" * (TAGS_MAX + 1),
    "too long tags": ("{{ 1" + " " * 900 + "}}") * 100,
    "endless tag": "{{ x" * 40_000,
    "endless blanks": "{{" + " " * 190_000,
    "nested": "{% if 1 %}" * 900 + "{% endif %}" * 900,
    "brackets": "{{ " + "a[" * 490 + "}}",
    "endless range": "{% for i in (1..100000000) reversed %}x{% endfor %}",
    "range searched": "{% if (1..999999999) contains 'x' %}{% endif %}",
    "range from variables": "{% assign n = 999999999 %}{% for i in (1..n) %}x{% endfor %}",
    "raw": "{% raw %}" * 20_000,
}


def content_of(bomb: str, *, is_html: bool) -> str:
    """With loops closed, as plain text or as HTML."""
    missing = bomb.count("{% for ") - bomb.count("{% endfor %}")
    return ("<p>" if is_html else "") + bomb + "{% endfor %}" * missing


@pytest.mark.parametrize("is_html", [False, True], ids=["text", "html"])
@pytest.mark.parametrize("name", RENDERED)
def test_renders_end(name: str, is_html: bool) -> None:
    """Each ends with an error that says why, soon, and without much memory; the same each time."""
    bomb, expected = RENDERED[name]
    template = TEMPLATES.compile(campaign(content=content_of(bomb, is_html=is_html), category="transactional"))
    messages = set()
    tracemalloc.start()
    for _ in range(2):
        before = thread_time()
        with pytest.raises(RenderError) as caught:
            template.render(VALUES)
        messages.add(str(caught.value))
        seconds = thread_time() - before
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert expected in messages.pop()
    assert not messages
    # Tracing memory makes it several times slower.
    assert seconds < 5 * RENDER_SECONDS_MAX
    assert peak < BYTES_MAX


@pytest.mark.parametrize("name", COMPILED)
def test_compiling_ends(name: str) -> None:
    """What would already take long to read is refused."""
    before = thread_time()
    with pytest.raises(TemplateError):
        TEMPLATES.compile(campaign(content=COMPILED[name]))

    assert thread_time() - before < COMPILE_SECONDS_MAX


def test_steps_do_not_bind_what_people_write() -> None:
    """A newsletter of a hundred products with conditions and defaults is far below the limits."""
    row = (
        '<tr><td><a href="https://shop.example.org/{n}"><img src="https://i.example.org/{n}.png" alt="{n}"></a></td>'
        "<td>{{% if customer.total_orders > 2 %}}For {{{{ customer.first_name | default: 'you' }}}}{{% endif %}}</td>"
    )
    content = "<body><table>" + "".join(row.format(n=number) for number in range(100)) + "</table></body>"
    template = TEMPLATES.compile(campaign(content=content, category="transactional"))
    before = thread_time()
    found = template.render(VALUES, wrap=lambda index, _: f"https://t.example.org/{index}")

    assert len(found.links) == 100
    assert found.text.count("For Ann") == 100
    assert thread_time() - before < RENDER_SECONDS_MAX
    assert STEPS_MAX >= 5_000
