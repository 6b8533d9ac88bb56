"""The Liquid engine of campaigns, bounded: what a template can make it do is counted, not timed.

No clock bounds a render, for a thread that works cannot be stopped. Instead each node, variable and filter is counted
in steps of about a microsecond each, filters and variables also by how long their values are, and STEPS_MAX of them end
the render. So the same template ends alike with the same values on every machine. What could cost much before it is
counted is not there at all: no tag is longer than TAG_CHARACTERS_MAX, ranges are small and written out, numbers have 28
digits, and filters that search by regular expression, sort, or nest are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final

from liquid import BoundTemplate, Environment, RenderContext, Token
from liquid.ast import Node
from liquid.builtin.expressions import FilteredExpression
from liquid.builtin.expressions.logical import EqExpression, NeExpression
from liquid.builtin.expressions.primitive import Blank, Empty, IntegerLiteral, RangeLiteral
from liquid.exceptions import LiquidError, LiquidSyntaxError, LocalNamespaceLimitError, ResourceLimitError
from liquid.expression import Expression
from liquid.undefined import FalsyStrictUndefined, is_undefined

from service.adapters.liquid_filters import FILTERS

STEPS_MAX: Final = 6_000
TAGS_MAX: Final = 2_000
TAG_CHARACTERS_MAX: Final = 1_000
#: Of all tags together: reading them takes some microseconds a character.
TAGS_CHARACTERS_MAX: Final = 50_000
RANGE_MAX: Final = 100
#: Steps of a filter, whatever it does.
_FILTER: Final = 2
#: Parts of an expression that cost a step.
_PARTS: Final = 2
#: Characters that cost a step: to be worked on by a filter, to be looked at, to be kept.
_WORKED_ON: Final = 16
_LOOKED_AT: Final = 256
_ENTRY: Final = 64
#: `raw` and `doc` are searched for their ends from each beginning, and includes could go round in circles.
TAGS: Final = frozenset(
    [
        "if",
        "elsif",
        "else",
        "endif",
        "unless",
        "endunless",
        "case",
        "when",
        "endcase",
        "assign",
        "capture",
        "endcapture",
    ]
) | {*["for", "endfor", "break", "continue", "comment", "endcomment", "echo", "#"]}
_LINE_END: Final = "\n"
_BEGIN: Final = re.compile(r"\{[{%]")
_TAG_NAME: Final = re.compile(r"\{%-?\s*(#|\w*)")


class OrNothing(Expression):
    """An expression, or an empty text where it is of a value that is not there; only beside `blank` and `empty`."""

    __slots__ = ("inner",)

    def __init__(self, inner: Expression) -> None:
        super().__init__(inner.token)
        self.inner = inner

    def evaluate(self, context: RenderContext) -> object:
        """The value."""
        value = self.inner.evaluate(context)
        return "" if is_undefined(value) else value

    def children(self) -> list[Expression]:
        """What it is made of."""
        return [self.inner]


class TooMuchWork(ResourceLimitError):
    """The template does more than STEPS_MAX."""


class CountingContext(RenderContext):
    """One render, which ends when it has done too much."""

    __slots__ = ("_bytes_kept", "_node_steps", "_sizes", "_steps")

    def __init__(self, template: BoundTemplate, **options: Any) -> None:
        self._steps = 0
        # Nobody tells which node it is, nor are literals counted: each costs what the longest in the template does.
        self._node_steps = 1 + (template.parts_max // _PARTS if isinstance(template, CountedTemplate) else 0)
        self._sizes: dict[str, int] = {}
        self._bytes_kept = 0
        super().__init__(template, **options)

    # The one thing of a context that every node reads when it is rendered, whatever its kind.
    @property
    def disabled_tags(self) -> list[str]:
        """None; but a node is about to be rendered."""
        self.spend(self._node_steps)
        return []

    @disabled_tags.setter
    def disabled_tags(self, names: list[str]) -> None:
        pass

    def spend(self, steps: int) -> None:
        """Counts work, before it is done where that can be told.

        Raises:
            TooMuchWork: this is more than STEPS_MAX in all.
        """
        self._steps += steps
        if self._steps > STEPS_MAX:
            raise TooMuchWork("too much work", token=None)

    def get(self, path: list[object], **options: Any) -> object:
        """Looks a variable up."""
        value = super().get(path, **options)
        self.spend(1 + extent(value) // _LOOKED_AT)
        return value

    def filter(self, name: str, token: Token | None) -> Callable[..., object]:
        """A filter that is counted by what goes in and, where it may be much more, by what comes out, beforehand."""
        function = super().filter(name, token)
        forecast = FILTERS[name].forecast

        def counted(value: object, *args: object, **kwargs: object) -> object:
            length = extent(value) + sum(map(extent, args)) + (forecast(value, *args) if forecast else 0)
            self.spend(_FILTER + length // _WORKED_ON)
            return function(value, *args, **kwargs)

        return counted

    def assign(self, key: str, val: Any) -> None:
        """Keeps a value; the size of all is kept up to date, not counted anew each time."""
        size = extent(val)
        self.spend(1 + size // _LOOKED_AT)
        self._bytes_kept += size - self._sizes.get(key, 0)
        self._sizes[key] = size
        self.locals[key] = val
        if self._bytes_kept > (self.env.local_namespace_limit or 0):
            raise LocalNamespaceLimitError("local namespace limit reached", token=None)


class CountedTemplate(BoundTemplate):
    """A template whose renders are counted."""

    context_class = CountingContext
    #: Of the longest expression in it.
    parts_max: int = 0


class CampaignEnvironment(Environment):
    """Liquid with the tags, filters and limits of campaigns."""

    loop_iteration_limit: ClassVar[int | None] = 10_000
    local_namespace_limit: ClassVar[int | None] = 1_000_000
    output_stream_limit: ClassVar[int | None] = 200_000
    template_class = CountedTemplate

    def __init__(self, *, autoescape: bool) -> None:
        # A value that is not there can be asked for (`if`, `default`, `== blank`), not written.
        super().__init__(undefined=FalsyStrictUndefined, strict_filters=True, autoescape=autoescape)
        # What the lexer gives out under names of its own stays.
        unwanted = set(self.tags) - TAGS - {"content", "output", "illegal"}
        for name in unwanted:
            del self.tags[name]
        self.filters.clear()
        for name, counted in FILTERS.items():
            self.filters[name] = counted.function

    def read(self, source: str) -> BoundTemplate:
        """A compiled template.

        Raises:
            LiquidError: it is none, or has something that could cost too much.
            RecursionError: it nests too deeply.
        """
        _check_tags(source)
        template = self.from_string(source)
        assert isinstance(template, CountedTemplate)  # noqa: S101 - template_class says so
        context = CountingContext(template)
        template.parts_max = max((_check_expressions(node, context) for node in template.nodes), default=0)
        return template


def extent(value: object) -> int:
    """How long a value is: characters of a text; each entry of a list is as much work as so many."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list | range):
        return _ENTRY * len(value)
    return 0


def _check_tags(source: str) -> None:
    """Looks at each tag by itself, so that no search for its end goes further than it may be long."""
    count, characters, place = 0, 0, 0
    while (found := _BEGIN.search(source, place)) is not None:
        begin = found.start()
        end = source.find("}}" if found[0] == "{{" else "%}", begin + 2, begin + TAG_CHARACTERS_MAX)
        count, characters = count + 1, characters + end - begin
        fault = _fault_of_tag(source, begin, end, count, characters)
        if fault is not None:
            msg = f"{fault} (line {1 + source.count(_LINE_END, 0, begin)})"
            raise LiquidSyntaxError(msg, token=None)
        place = end + 2


def _fault_of_tag(source: str, begin: int, end: int, count: int, characters: int) -> str | None:
    if end < 0:
        return f"a tag does not end within {TAG_CHARACTERS_MAX:,} characters"
    if count > TAGS_MAX:
        return f"there are more than {TAGS_MAX:,} tags"
    if characters > TAGS_CHARACTERS_MAX:
        return f"the tags have more than {TAGS_CHARACTERS_MAX:,} characters in all"
    named = _TAG_NAME.match(source, begin)
    if named is not None and named[1] not in TAGS:
        return f"there is no tag {named[1]!r} here; use {', '.join(sorted(TAGS))}"
    return None


def _check_expressions(node: Node, context: RenderContext) -> int:
    """How many parts the longest expression in a node has."""
    parts = [one for expression in node.expressions() for one in _within(expression)]
    for one in parts:
        if isinstance(one, RangeLiteral):
            _check_range(one)
        elif isinstance(one, FilteredExpression):
            _check_filters(one)
        elif isinstance(one, EqExpression | NeExpression):
            _let_missing_be_blank(one)
    return max([len(parts), *(_check_expressions(child, context) for child in node.children(context))])


def _check_range(one: RangeLiteral) -> None:
    if not all(isinstance(end, IntegerLiteral) and 0 <= end.value <= RANGE_MAX for end in (one.start, one.stop)):
        msg = f"a range must be written with whole numbers from 0 to {RANGE_MAX:,}, such as (1..5)"
        raise LiquidSyntaxError(msg, token=one.token)


def _check_filters(one: FilteredExpression) -> None:
    for named in one.filters or ():
        if named.name not in FILTERS:
            msg = f"there is no filter {named.name!r} here; use {', '.join(sorted(FILTERS))}"
            raise LiquidSyntaxError(msg, token=named.token)


def _let_missing_be_blank(one: EqExpression | NeExpression) -> None:
    if isinstance(one.right, Blank | Empty):
        one.left = OrNothing(one.left)
    elif isinstance(one.left, Blank | Empty):
        one.right = OrNothing(one.right)


def _within(expression: Expression) -> Iterator[Expression]:
    yield expression
    for child in expression.children():
        yield from _within(child)


def sentence_of(error: LiquidError) -> str:
    """What is wrong, without the template's text, which stands in the error's own."""
    place = error.token.start_index if error.token is not None else -1
    line = error.token.source.count("\n", 0, place) + 1 if error.token is not None and place >= 0 else 0
    said = str(error.args[0]) if error.args else type(error).__name__
    return f"{said} (line {line})" if line else said
