"""What a campaign says, made ready for one customer: what the use cases ask of a template engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from service.core.campaigns.model import Campaign

#: What a template may name. A value that is not there when a message is rendered is an error unless `default` is used.
VARIABLES: Final = frozenset(
    {
        *(
            f"customer.{name}"
            for name in (
                "id",
                "first_name",
                "last_name",
                "name",
                "email",
                "country",
                "city",
                "total_orders",
                "total_spent",
                "last_order_date",
                "rfm_group",
            )
        ),
        "segment.name",
        "segment.joined_at",
        "campaign.name",
        *(f"discount.{name}" for name in ("code", "amount", "type", "expires_at")),
        "unsubscribe_url",
        "preferences_url",
        "view_url",
    }
)


class TemplateFault(NamedTuple):
    """One thing that is wrong with a template: in which field (subject, title, content), what, and how to mend it."""

    path: str
    message: str
    code: str = "invalid_template"


class TemplateError(Exception):
    """The campaign cannot be rendered for anybody; `faults` tells every reason."""

    def __init__(self, faults: list[TemplateFault]) -> None:
        super().__init__("; ".join(f"{fault.path}: {fault.message}" for fault in faults))
        self.faults = faults


class RenderError(Exception):
    """The campaign cannot be rendered for this customer: the message is a sentence without personal data."""


@dataclass(frozen=True)
class Rendered:
    """What one customer gets.

    Attributes:
        subject: of an e-mail, without line breaks; else None.
        title: of a notification, without line breaks; else None.
        text: of an e-mail with HTML, what that says in plain text.
        html: None where the content is plain text, and outside of e-mail.
        links: where the links lead, by their index; those of `wrap`.
    """

    subject: str | None
    title: str | None
    text: str
    html: str | None = None
    links: tuple[str, ...] = ()


class CampaignTemplate(Protocol):
    """The templates of one campaign, compiled; safe to use from several threads at once."""

    #: Those of VARIABLES that it names: what has to be looked up.
    variables: frozenset[str]

    def render(
        self,
        values: Mapping[str, Any],
        *,
        wrap: Callable[[int, str], str] | None = None,
        pixel_url: str | None = None,
    ) -> Rendered:
        """Renders it for one customer: pure CPU, bounded.

        Args:
            values: as the names of VARIABLES are built: {"customer": {"first_name": ...}, "unsubscribe_url": ...};
                what is None or absent is not there. Numbers, texts and instants.
            wrap: index and target of a link to the address that stands in its place; each target (http or https) has
                one index. Not called for unsubscribe_url, preferences_url and view_url. None leaves links alone.
            pixel_url: of an image that says that an e-mail with HTML was opened; None for none.

        Raises:
            RenderError: a value is not there, or the template does too much.
        """
        ...


class Templates(Protocol):
    """A template engine."""

    def compile(self, campaign: Campaign) -> CampaignTemplate:
        """Reads subject, title and content, once for all customers.

        Raises:
            TemplateError: with every fault.
        """
        ...
