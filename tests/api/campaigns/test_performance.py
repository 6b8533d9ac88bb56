"""GET /campaigns/{cid}/performance."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from service.core.instants import DAY, to_datetime, to_text
from tests.api.support import NOW, Api, bearer, token
from tests.integration.analytics.support import order, refund, world
from tests.integration.engagement.support import add_campaign, add_messages

#: The guide's names, and what B9 of the notes adds.
FIELDS = {
    *("campaign_id", "recipients_count", "delivered", "delivery_rate", "opened_count", "open_rate", "clicked_count"),
    *("click_rate", "click_to_open", "converted_count", "conversion_rate", "unsubscribe_rate", "complaint_rate"),
    *("bounce_rate", "attributed_revenue", "cost", "discount_given", "roi", "roi_defined", "opened_incl_machine"),
    *("as_of", "currency", "computed_at", "control_count", "redeemed_by_other", "redeemed_again"),
}


@pytest.fixture
async def campaign(api: Api) -> UUID:
    """Four e-mails and somebody held out; one opened, one clicked, which led to an order of 80 less 20."""
    sent = to_datetime(NOW - 3 * DAY)
    campaign_id = await add_campaign(api.database, state="sent", sent_at=sent, options={"fixed_cost": "50"})
    own = {"sent_at": sent, "attempt_began_at": sent, "assigned_at": sent}
    await add_messages(api.database, campaign_id, ["c1", "c2", "c3"], **own)
    await add_messages(api.database, campaign_id, ["c4"], **own, opened_at=to_datetime(NOW - 2 * DAY))
    await add_messages(api.database, campaign_id, ["c5"], state="control", sent_at=None, assigned_at=sent)
    clicked = to_datetime(NOW - 2 * DAY)
    await api.run("UPDATE campaign_messages SET clicked_at = :at WHERE customer_id = :id", at=clicked, id=_id("c1"))
    await api.run(
        "INSERT INTO campaign_engagement (source, event_id, message_id, kind, at)"
        " SELECT '/p', 'x', message_id, 'clicked', clicked_at FROM campaign_messages WHERE clicked_at IS NOT NULL"
    )
    bought = order("c1", "o1", to_text(NOW - DAY), "80")
    await world(api.database, [bought, refund("c1", "o1", to_text(NOW - DAY // 2), "20")], NOW)
    return campaign_id


def _id(customer: str) -> UUID:
    from service.core.identity import customer_uuid

    return customer_uuid(customer)


async def test_figures(api: Api, campaign: UUID) -> None:
    """All fields, as JSON: rates are numbers of two decimals, money is text."""
    response = await api.send("GET", f"/campaigns/{campaign}/performance")
    assert response.status_code == 200, response.text
    data = response.json()["data"]
    assert data.keys() >= FIELDS
    assert (data["campaign_id"], data["as_of"], data["currency"]) == (str(campaign), to_text(NOW), "USD")
    counts = ("recipients_count", "delivered", "opened_count", "clicked_count", "converted_count", "control_count")
    assert [data[name] for name in counts] == [4, 4, 1, 1, 1, 1]
    rates = ("delivery_rate", "open_rate", "click_rate", "click_to_open", "conversion_rate", "bounce_rate")
    assert [data[name] for name in rates] == [100.0, 25.0, 25.0, 100.0, 25.0, 0.0]
    assert (data["attributed_revenue"], data["cost"]) == ("60.00", "50.00")
    assert (data["roi"], data["roi_defined"]) == (20.0, True)


async def test_at_an_instant(api: Api, campaign: UUID) -> None:
    """What came later does not count."""
    before_refund = to_text(NOW - DAY + 1)
    data = (await api.send("GET", f"/campaigns/{campaign}/performance?as_of={before_refund}")).json()["data"]
    assert (data["attributed_revenue"], data["roi"], data["as_of"]) == ("80.00", 60.0, before_refund)
    data = (await api.send("GET", f"/campaigns/{campaign}/performance?as_of={to_text(NOW - 4 * DAY)}")).json()["data"]
    assert (data["recipients_count"], data["attributed_revenue"], data["open_rate"]) == (0, "0.00", 0.0)


async def test_the_campaign_shows_counts(api: Api, campaign: UUID) -> None:
    """A campaign's own answer has the same counts."""
    data = (await api.send("GET", f"/campaigns/{campaign}")).json()["data"]
    names = ("recipients_count", "opened_count", "clicked_count", "converted_count")
    assert [data[name] for name in names] == [4, 1, 1, 1]


async def test_refusals(api: Api, campaign: UUID) -> None:
    """No such campaign, an instant that has not come, no permission."""
    path = f"/campaigns/{campaign}/performance"
    assert (await api.send("GET", f"/campaigns/{uuid4()}/performance")).status_code == 404
    assert (await api.send("GET", "/campaigns/none/performance")).status_code == 404
    assert (await api.send("GET", f"{path}?as_of={to_text(NOW + DAY)}")).status_code == 422
    assert (await api.send("GET", f"{path}?until=x")).status_code == 422
    headers = bearer(token("campaigns:send"))
    assert (await api.send("GET", path, headers=headers)).status_code == 403
