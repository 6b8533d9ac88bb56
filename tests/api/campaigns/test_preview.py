"""Previews: what is said, to whom, and that nothing comes of looking."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert

from service.adapters.postgres.campaign_tables import campaign_suppressions
from service.adapters.postgres.tables import metadata
from service.app.tokens import Permission
from service.core import instants
from service.core.campaigns.eligibility import Control, Recipient, Send, Suppressed, decide
from service.core.campaigns.model import Campaign, Options
from service.core.campaigns.secrets import Purpose, address_hash, derived_key
from service.core.identity import customer_uuid
from tests.api.campaigns.support import DISCOUNT, EMAIL, SMS, Campaigns, faults, holding
from tests.api.support import NOW, SECRET, add_members, customer

ADA: dict[str, Any] = {
    "name": "Ada Lovelace",
    "first_name": "Ada",
    "email": "ada@example.com",
    "phone": "+15550100",
    "email_subscribed": True,
    "sms_subscribed": True,
    "push_subscribed": None,
}
#: What differs from Ada, and what becomes of an e-mail, an SMS, a notification.
PEOPLE: dict[str, tuple[dict[str, Any], tuple[str, str, str]]] = {
    "ada": ({}, ("eligible", "eligible", "eligible")),
    "no address": ({"email": None, "phone": None}, ("no_address", "no_address", "eligible")),
    "blank": ({"email": " ", "phone": ""}, ("no_address", "no_address", "eligible")),
    "no consent": (
        {"email_subscribed": None, "sms_subscribed": None, "push_subscribed": False},
        ("no_consent", "no_consent", "no_consent"),
    ),
    "unsubscribed": ({"email": "Gone@Example.com ", "phone": "+1 (555) 0101"}, ("unsubscribed",) * 2 + ("eligible",)),
    "bounced": ({"email": "bounced@example.com", "phone": "+15550102"}, ("hard_bounce",) * 2 + ("eligible",)),
}
BARRED = {
    ("email", "gone@example.com"): "unsubscribed",
    ("sms", "+15550101"): "unsubscribed",
    ("email", "bounced@example.com"): "hard_bounce",
    ("sms", "+15550102"): "hard_bounce",
}


def row(external_id: str, **values: Any) -> dict[str, Any]:
    """A row of customers like Ada's."""
    return customer(customer_uuid(external_id), external_id, **{**ADA, **values})


async def add_people(campaigns: Campaigns) -> dict[str, UUID]:
    """Everybody of PEOPLE as members, and the suppression list."""
    rows = [row(name, **changes) for name, (changes, _) in PEOPLE.items()]
    await add_members(campaigns.api.database, campaigns.segment, rows)
    key = derived_key(SECRET, Purpose.ADDRESSES)
    barred = [
        {"channel": channel, "address_hash": address_hash(key, channel, address), "reason": reason, "at": "now()"}
        for (channel, address), reason in BARRED.items()
    ]
    async with campaigns.api.database.transaction() as connection:
        for one in barred:
            at = instants.to_datetime(NOW)
            await connection.execute(insert(campaign_suppressions).values(**{**one, "at": at}))
    return {one["external_id"]: one["customer_id"] for one in rows}


class TestRendered:
    """What some customers would get."""

    async def test_customer(self, campaigns: Campaigns) -> None:
        """One customer by either id, all parts, with a link to unsubscribe that leads nowhere."""
        ada = row("C-1")
        await add_members(campaigns.api.database, campaigns.segment, [ada])
        said = {"subject": "{{ customer.first_name }}!", "content": "<p>{{ customer.name }} of {{ segment.name }}</p>"}
        made = (await campaigns.create(**said))["id"]

        for name in ("C-1", str(ada["customer_id"])):
            response = await campaigns.act(made, "preview", json={"customer_id": name})
            assert response.status_code == 200, response.text
            (shown,) = response.json()["data"]["customers"]
            assert (shown["external_id"], shown["subject"], shown["error"]) == ("C-1", "Ada!", None)
            assert "<p>Ada Lovelace of Big spenders</p>" in shown["html"]
            assert "https://example.com/u/preview" in shown["html"]
            assert shown["text"].startswith("Ada Lovelace of Big spenders")

    async def test_sample(self, campaigns: Campaigns) -> None:
        """So many of the members as asked for; who cannot be rendered is told so."""
        people = [row(f"C-{number}", first_name=None if number == 3 else "Ada") for number in range(5)]
        await add_members(campaigns.api.database, campaigns.segment, people)
        made = (await campaigns.create(subject="{{ customer.first_name }}"))["id"]

        shown = (await campaigns.act(made, "preview", json={"sample": 20})).json()["data"]["customers"]
        none = (await campaigns.act(made, "preview", json={"sample": 0})).json()["data"]["customers"]
        few = (await campaigns.act(made, "preview")).json()["data"]["customers"]
        assert len(shown) == 5
        assert [one["external_id"] for one in shown if one["error"]] == ["C-3"]
        assert none == []
        assert few == shown[:3]

    async def test_masked(self, campaigns: Campaigns) -> None:
        """Who may not read personal data sees names and e-mails masked."""
        await add_members(campaigns.api.database, campaigns.segment, [row("C-1")])
        said = "<p>{{ customer.name }} {{ customer.first_name }} {{ customer.last_name }} {{ customer.email }}</p>"
        made = (await campaigns.create(content=said))["id"]

        masked = await campaigns.act(made, "preview", headers=holding(Permission.READ))
        assert masked.json()["data"]["customers"][0]["error"] is None
        assert "A*** A*** L*** a***@example.com" in masked.json()["data"]["customers"][0]["html"]
        assert "Lovelace" not in masked.text
        assert "Ada Lovelace Ada Lovelace ada@example.com" in (await campaigns.act(made, "preview")).text

    async def test_code_and_parts(self, campaigns: Campaigns) -> None:
        """A code of one's own is only hinted at, and an SMS is counted in its parts."""
        await add_members(campaigns.api.database, campaigns.segment, [row("C-1")])
        code = {"discount_code": None, "code_generator": {"prefix": "K-"}}
        made = (await campaigns.create(**{**DISCOUNT, **code, "channel": "sms", "subject": None}))["id"]

        (shown,) = (await campaigns.act(made, "preview")).json()["data"]["customers"]
        assert (shown["text"], shown["sms_segments"], shown["html"]) == ("Use K-XXXXXXXXXX", 1, None)

    async def test_refused(self, campaigns: Campaigns) -> None:
        """Customers that are not there, both ways to choose at once, templates that cannot be read."""
        made = (await campaigns.create())["id"]
        broken = (await campaigns.create(content="{% if %}"))["id"]

        assert faults(await campaigns.act(made, "preview", json={"customer_id": "nobody"})) == {
            "customer_id": "unknown_customer"
        }
        assert (await campaigns.act(made, "preview", json={"customer_id": "C-1", "sample": 1})).status_code == 422
        assert (await campaigns.act(made, "preview", json={"sample": 21})).status_code == 422
        assert "content" in faults(await campaigns.act(broken, "preview"))

    async def test_what_is_wrong(self, campaigns: Campaigns) -> None:
        """A preview tells what the campaign cannot begin with, and what is probably not meant."""
        made = (await campaigns.create(**{**DISCOUNT, "subject": None, "content": "Hello"}))["id"]

        data = (await campaigns.act(made, "preview")).json()["data"]
        assert [one["path"] for one in data["faults"]] == ["subject"]
        assert [one["code"] for one in data["warnings"]] == ["code_not_shown", "no_url"]

    async def test_token(self, campaigns: Campaigns) -> None:
        """The token holds for 15 minutes from now, in real time."""
        made = await campaigns.create()

        data = (await campaigns.act(made["id"], "preview")).json()["data"]
        left = instants.parse(data["preview_token_expires_at"]) / 1e6 - time.time()
        assert 14 * 60 < left <= 15 * 60
        assert data["revision"] == made["revision"]

    async def test_writes_nothing(self, campaigns: Campaigns) -> None:
        """No table has another row or another version of one after a preview."""
        await add_people(campaigns)
        made = (await campaigns.create())["id"]

        async def everything() -> list[Any]:
            statements = [f'SELECT xmin::text, t::text FROM "{name}" t ORDER BY 2, 1' for name in metadata.tables]  # noqa: S608
            async with campaigns.api.database.session() as connection:
                return [await connection.fetch(one) for one in statements]

        before = await everything()
        assert (await campaigns.act(made, "preview", json={"sample": 20})).status_code == 200
        assert await everything() == before


class TestReach:
    """How many a campaign would reach."""

    @pytest.mark.parametrize(
        ("body", "place"), [(EMAIL, 0), (SMS, 1), ({"campaign_type": "notification", "content": "Hi"}, 2)]
    )
    async def test_reasons(self, campaigns: Campaigns, body: dict[str, Any], place: int) -> None:
        """Each member counts once, under the first reason against them."""
        await add_people(campaigns)
        made = (await campaigns.create(**{"subject": None, **body}))["id"]

        audience = (await campaigns.act(made, "preview")).json()["data"]["audience"]

        told = [outcomes[place] for _, outcomes in PEOPLE.values()]
        suppressed = {one: told.count(one) for one in sorted(set(told) - {"eligible"})}
        assert audience == {
            "size": len(PEOPLE),
            "eligible": told.count("eligible"),
            "control": 0,
            "suppressed": suppressed,
        }

    async def test_transactional(self, campaigns: Campaigns) -> None:
        """Consent, unsubscribing and the control group do not hold for transactional messages; bounces do."""
        await add_people(campaigns)
        made = (await campaigns.create(category="transactional", holdout_percent=50))["id"]

        audience = (await campaigns.act(made, "preview")).json()["data"]["audience"]
        assert audience == {
            "size": 6,
            "eligible": 3,
            "control": 0,
            "suppressed": {"hard_bounce": 1, "no_address": 2},
        }

    async def test_as_the_dispatcher_decides(self, campaigns: Campaigns) -> None:
        """The control group is the very one that is held out when it is sent."""
        people = [row(f"C-{number}", email_subscribed=number % 3 != 0) for number in range(300)]
        await add_members(campaigns.api.database, campaigns.segment, people)
        made = await campaigns.create(holdout_percent=37)
        campaign = Campaign(
            id=UUID(made["id"]),
            segment_id=UUID(campaigns.segment),
            campaign_name="",
            campaign_type="email",
            channel="email",
            options=Options(holdout_percent=37),
        )
        decisions = [
            decide(
                campaign,
                Recipient(
                    one["customer_id"],
                    addresses={"email": one["email"]},
                    consents={"email": one["email_subscribed"]},
                ),
                expires_at=NOW + 1,
                now=NOW,
            )
            for one in people
        ]

        audience = (await campaigns.act(made["id"], "preview")).json()["data"]["audience"]
        assert audience["control"] == decisions.count(Control()) > 0
        assert audience["eligible"] == decisions.count(Send())
        assert audience["suppressed"] == {"no_consent": decisions.count(Suppressed("no_consent"))}
