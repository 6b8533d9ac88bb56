"""Test mails: to whom they go, and what they hold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from sqlalchemy import func, select

from service.adapters.postgres.campaign_tables import campaign_codes, campaign_messages
from service.api.campaign_tests import TESTS_PER_HOUR_MAX, Trials
from service.app.tokens import Permission
from service.settings import load_settings
from tests.api.campaigns.support import DISCOUNT, SMS, Campaigns, faults, holding
from tests.api.campaigns.test_preview import row
from tests.api.support import add_members
from tests.integration.mail.smtp_server import Server, listening


@pytest.fixture
async def server(campaigns: Campaigns) -> AsyncIterator[Server]:
    """An SMTP server for the application, which may send tests to example.com, and one member."""
    await add_members(campaigns.api.database, campaigns.segment, [row("C-1")])
    async with listening() as server:
        settings = load_settings(smtp_url=server.url(), test_domains_allowed="example.com, shop.example")
        campaigns.api.app.state.campaign_tests = Trials.of(settings)
        yield server


async def test_what_is_sent(campaigns: Campaigns, server: Server) -> None:
    """The mail as the customer would get it, tagged, with a dummy code; nothing of it is noted."""
    said = {
        "subject": "{{ customer.first_name }}",
        "content": '<p>{{ discount.code }} <a href="https://a.example">x</a></p>',
    }
    made = (await campaigns.create(**{**DISCOUNT, **said}))["id"]

    response = await campaigns.act(made, "test", json={"addresses": ["me@example.com", "You@Shop.example"]})

    assert response.status_code == 200, response.text
    assert [one["outcome"] for one in response.json()["data"]["tests"]] == ["accepted", "accepted"]
    assert [one.recipients for one in server.mails] == [["me@example.com"], ["You@Shop.example"]]
    mail = message_from_bytes(server.mails[0].content, EmailMessage, policy=policy.default)
    assert mail["subject"] == "[TEST] Ada"
    assert mail["list-unsubscribe"] is None
    html = mail.get_body(("html",)).get_content()
    assert "TEST-CODE" in html
    assert 'href="https://a.example"' in html
    assert "https://example.com/u/test" in html
    assert "SPRING15" not in html
    for table in (campaign_messages, campaign_codes):
        assert (await campaigns.api.rows(select(func.count()).select_from(table)))[0][0] == 0
    assert (await campaigns.read(made))["state"] == "draft"


async def test_addresses(campaigns: Campaigns, server: Server) -> None:
    """Only addresses of domains that the settings name, at most ten; otherwise nothing is sent to anybody."""
    made = (await campaigns.create())["id"]

    response = await campaigns.act(made, "test", json={"addresses": ["a@example.com", "b@other.example", "nonsense"]})
    assert faults(response) == {"addresses[1]": "domain_not_allowed", "addresses[2]": "invalid_address"}
    many = [f"a{number}@example.com" for number in range(11)]
    assert (await campaigns.act(made, "test", json={"addresses": many})).status_code == 422
    assert (await campaigns.act(made, "test", json={"addresses": []})).status_code == 422
    assert server.mails == []


async def test_refusals_are_told(campaigns: Campaigns, server: Server) -> None:
    """What the server says to each address is in the answer."""
    made = (await campaigns.create())["id"]
    server.at["RCPT"] = ["550 5.1.1 nobody here"]

    response = await campaigns.act(made, "test", json={"addresses": ["a@example.com", "b@example.com"]})

    assert [one["outcome"] for one in response.json()["data"]["tests"]] == ["rejected", "accepted"]


async def test_how_often(campaigns: Campaigns, server: Server) -> None:
    """So many tests an hour for each caller; what was refused for another reason does not count."""
    made = (await campaigns.create())["id"]
    await campaigns.act(made, "test", json={"addresses": ["a@other.example"]})

    asked = [(await campaigns.act(made, "test", json={"addresses": ["a@example.com"]})) for _ in range(21)]

    assert [one.status_code for one in asked] == [200] * TESTS_PER_HOUR_MAX + [429]
    assert "retry-after" in asked[-1].headers
    assert len(server.mails) == TESTS_PER_HOUR_MAX


async def test_who_may(campaigns: Campaigns, server: Server) -> None:
    """It takes the permission to send, and for transactional campaigns the other one as well."""
    made = (await campaigns.create())["id"]
    other = (await campaigns.create(category="transactional"))["id"]
    body = {"addresses": ["a@example.com"]}

    for held in [one for one in Permission if one is not Permission.SEND]:
        assert (await campaigns.act(made, "test", json=body, headers=holding(held))).status_code == 403
    assert (await campaigns.act(made, "test", json=body, headers=holding(Permission.SEND))).status_code == 200
    assert (await campaigns.act(other, "test", json=body, headers=holding(Permission.SEND))).status_code == 403
    assert b"Ada" not in server.mails[0].content


async def test_what_cannot_be_tried(campaigns: Campaigns, server: Server) -> None:
    """Other channels, customers that are not there, and an application without a server."""
    body = {"addresses": ["a@example.com"]}
    short, made = (await campaigns.create(**{**SMS, "subject": None}))["id"], (await campaigns.create())["id"]

    assert (await campaigns.act(short, "test", json=body)).status_code == 409
    unknown = await campaigns.act(made, "test", json={**body, "customer_id": "nobody"})
    assert faults(unknown) == {"customer_id": "unknown_customer"}
    campaigns.api.app.state.campaign_tests = Trials.of(load_settings(test_domains_allowed="example.com"))
    without = await campaigns.act(made, "test", json=body)
    assert without.status_code == 409
    assert "SEGMENTS_SMTP_URL" in without.json()["message"]
