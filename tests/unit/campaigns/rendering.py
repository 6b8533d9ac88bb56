"""Templates rendered for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from service.adapters.liquid import LiquidTemplates
from service.app.campaigns.templates import Rendered, TemplateError
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
