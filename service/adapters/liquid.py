"""Templates of campaigns in Liquid. An e-mail's content is HTML if it holds a tag such as <p>, else plain text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from html import escape
from typing import Any, Final
from urllib.parse import urlsplit

from liquid import BoundTemplate
from liquid.exceptions import (
    LiquidError,
    LocalNamespaceLimitError,
    LoopIterationLimitError,
    OutputStreamLimitError,
    UndefinedError,
)

from service.adapters.liquid_engine import STEPS_MAX, CampaignEnvironment, TooMuchWork, sentence_of
from service.app.campaigns.templates import VARIABLES, Rendered, RenderError, TemplateError, TemplateFault
from service.core import instants
from service.core.campaigns.html_text import add_before_end, is_html, rewrite_html, rewrite_text
from service.core.campaigns.model import Campaign

UNSUBSCRIBE: Final = "unsubscribe_url"
#: Links of our own, which are not tracked: who unsubscribes is not a click.
OWN_LINKS: Final = (UNSUBSCRIBE, "preferences_url", "view_url")
LINKS_MAX: Final = 200
TARGET_CHARACTERS_MAX: Final = 2_000
#: Whatever in a template may be the name of a host.
_HOST: Final = re.compile(r"[\w.-]+")
_UNCLEAN: Final = frozenset(" \\")
_HTML_FOOTER: Final = '<p style="font-size:12px;color:#666666"><a href="{}">Unsubscribe</a></p>'
_TEXT_FOOTER: Final = "\n\n-- \nUnsubscribe: {}\n"
_PIXEL: Final = '<img src="{}" width="1" height="1" alt="" style="display:none">'
_TOO_MUCH: Final[Mapping[type[LiquidError], str]] = {
    TooMuchWork: f"does more work than a message may: {STEPS_MAX:,} steps",
    LoopIterationLimitError: "loops more often than 10,000 times",
    LocalNamespaceLimitError: "keeps more than 1,000,000 characters in variables",
    OutputStreamLimitError: "makes more than 200,000 bytes",
}


class LiquidTemplates:
    """The engine; holds no state of any campaign."""

    def __init__(self) -> None:
        self._plain = CampaignEnvironment(autoescape=False)
        self._html = CampaignEnvironment(autoescape=True)

    def compile(self, campaign: Campaign) -> LiquidTemplate:
        """Reads subject, title and content, once for all customers.

        Raises:
            TemplateError: with every fault.
        """
        has_html = campaign.channel == "email" and is_html(campaign.content or "")
        faults: list[TemplateFault] = []
        compiled = {
            path: _compiled(environment, path, source, faults)
            for path, source, environment in (
                ("subject", campaign.subject, self._plain),
                ("title", campaign.options.title, self._plain),
                ("content", campaign.content or "", self._html if has_html else self._plain),
            )
            if source is not None
        }
        found = {path: _variables(path, one, faults) for path, one in compiled.items() if one is not None}
        content = compiled["content"]
        if faults or content is None:
            raise TemplateError(faults)
        needs_unsubscribe = campaign.channel == "email" and campaign.is_marketing
        own = {UNSUBSCRIBE} if needs_unsubscribe else set()
        return LiquidTemplate(
            subject=compiled.get("subject"),
            title=compiled.get("title"),
            content=content,
            has_html=has_html,
            needs_unsubscribe=needs_unsubscribe,
            variables=frozenset(own.union(*found.values())),
            hosts=frozenset(one.strip(".") for one in _HOST.findall((campaign.content or "").lower())),
        )


class LiquidTemplate:
    """The templates of one campaign; see CampaignTemplate."""

    def __init__(
        self,
        *,
        subject: BoundTemplate | None,
        title: BoundTemplate | None,
        content: BoundTemplate,
        has_html: bool,
        needs_unsubscribe: bool,
        variables: frozenset[str],
        hosts: frozenset[str],
    ) -> None:
        self.variables = variables
        self._hosts = hosts
        self._subject = subject
        self._title = title
        self._content = content
        self._has_html = has_html
        self._needs_unsubscribe = needs_unsubscribe

    def render(
        self,
        values: Mapping[str, Any],
        *,
        wrap: Callable[[int, str], str] | None = None,
        pixel_url: str | None = None,
    ) -> Rendered:
        """Renders it for one customer; see CampaignTemplate.

        Raises:
            RenderError: a value is not there, or the template does too much.
        """
        known = _known(values)
        subject = None if self._subject is None else _one_line(_rendered("subject", self._subject, known))
        title = None if self._title is None else _one_line(_rendered("title", self._title, known))
        body = self._with_footer(_rendered("content", self._content, known), known)
        links = _Links(wrap, {str(known[name]) for name in OWN_LINKS if name in known}, self._hosts)
        if not self._has_html:
            return Rendered(subject, title, rewrite_text(body, links.place), None, links.targets)
        try:
            html, text = rewrite_html(body, links.place)
        except ValueError as error:
            msg = f"content {error}"
            raise RenderError(msg) from None
        if pixel_url is not None:
            html = add_before_end(html, _PIXEL.format(escape(pixel_url)))
        return Rendered(subject, title, text, html, links.targets)

    def _with_footer(self, body: str, known: Mapping[str, Any]) -> str:
        """Somebody who does not want marketing finds the way out in every e-mail of it."""
        if not self._needs_unsubscribe:
            return body
        url = known.get(UNSUBSCRIBE)
        if url is None:
            msg = f"content: {UNSUBSCRIBE} is not known, and no marketing e-mail goes without"
            raise RenderError(msg)
        shown = escape(str(url)) if self._has_html else str(url)
        if shown in body:
            return body
        return add_before_end(body, _HTML_FOOTER.format(shown)) if self._has_html else body + _TEXT_FOOTER.format(shown)


class _Links:
    """The links of one message, each target once.

    Only hosts that the template itself names are led to by way of us: who gives a link as their name would get one of
    ours to wherever they like.
    """

    def __init__(self, wrap: Callable[[int, str], str] | None, own: set[str], hosts: frozenset[str]) -> None:
        self._wrap = wrap
        self._own = own
        self._hosts = hosts
        self._places: dict[str, str] = {}

    @property
    def targets(self) -> tuple[str, ...]:
        """By their index."""
        return tuple(self._places)

    def place(self, target: str) -> str:
        """What stands where the link to the target stood."""
        if self._wrap is None or target in self._own or _host_of(target) not in self._hosts:
            return target
        if target not in self._places:
            if len(self._places) >= LINKS_MAX:
                return target
            self._places[target] = self._wrap(len(self._places), target)
        return self._places[target]


def _host_of(target: str) -> str | None:
    """Where a link leads on the web; None where it does not, or where browsers may read another host than we do."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return None
    is_clean = len(target) <= TARGET_CHARACTERS_MAX and target.isprintable() and not _UNCLEAN.intersection(target)
    return parts.hostname if is_clean and parts.scheme in ("http", "https") else None


def _compiled(
    environment: CampaignEnvironment, path: str, source: str, faults: list[TemplateFault]
) -> BoundTemplate | None:
    try:
        return environment.read(source)
    except LiquidError as error:
        faults.append(TemplateFault(path, f"is no template that can be used: {sentence_of(error)}"))
    except RecursionError:
        faults.append(TemplateFault(path, "is no template that can be used: it nests too deeply"))
    return None


def _variables(path: str, template: BoundTemplate, faults: list[TemplateFault]) -> set[str]:
    """What a template names, each fault noted."""
    found = set(template.global_variable_paths())
    faults += [
        TemplateFault(path, f"names {name[:100]}, which is not known; use {', '.join(sorted(VARIABLES))}")
        for name in sorted(found - VARIABLES)[:10]
    ]
    return found & VARIABLES


def _rendered(path: str, template: BoundTemplate, known: Mapping[str, Any]) -> str:
    """Errors of the engine may show values, which are personal: what is told here does not."""
    try:
        return template.render(known)
    except UndefinedError as error:
        msg = f"{path}: {error.args[0]} for this customer; give one instead with the filter default"
    except LiquidError as error:
        msg = f"{path}: {_TOO_MUCH.get(type(error), 'does not fit the values of this customer')}"
    except (ArithmeticError, AttributeError, KeyError, RecursionError, TypeError, ValueError):
        msg = f"{path}: does not fit the values of this customer"
    raise RenderError(msg)


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    """Only what is there; instants as RFC 3339."""
    known: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            known[name] = _known(value)
        elif isinstance(value, datetime):
            known[name] = instants.to_text(instants.from_datetime(value))
        elif value is not None:
            known[name] = value
    return known


def _one_line(text: str) -> str:
    """Without line breaks of any kind, so that nobody writes headers of their own."""
    return " ".join(text.split())
