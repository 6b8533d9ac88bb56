"""Analytics, overlap, flows and cohorts over HTTP: shapes, parameters, refusals."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from service.core import instants
from service.settings import SettingsError, load_settings
from tests.analytics_oracle import Stay
from tests.api.support import BASE, NOW, Api, bearer, token
from tests.integration.analytics.support import add_segment, cancellation, order, refund, world

#: NOW is 2023-11-14T22:13:20Z.
EVENTS = [
    order("C-1", "o1", "2023-01-05T00:00:00Z", 100),
    order("C-1", "o2", "2023-11-10T00:00:00Z", "50.50"),
    refund("C-1", "o2", "2023-11-12T00:00:00Z", 20),
    order("C-2", "o3", "2023-11-14T01:00:00Z", 30),
    order("C-3", "o4", "2023-11-01T00:00:00Z", 80),
    cancellation("C-3", "o4", "2023-11-02T00:00:00Z"),
    order(None, "o5", "2023-11-01T00:00:00Z", 19.5),
]
GUIDE = (
    *("total_customers", "active_customers", "growth_rate", "total_revenue", "average_revenue_per_customer"),
    *("revenue_contribution", "average_order_frequency", "customer_lifetime_value", "retention_rate"),
    *("campaigns_sent", "average_open_rate", "average_click_rate", "average_conversion_rate"),
    *("customer_growth_trend", "revenue_trend"),
)
QUESTIONS = ("analytics", "flows", "cohorts")


def _at(text: str) -> int:
    return instants.parse(f"{text}T00:00:00Z")


STAYS: list[Stay] = [
    ("C-1", _at("2023-01-01"), None),
    ("C-2", _at("2023-11-01"), None),
    ("C-3", _at("2023-02-01"), _at("2023-11-05")),
]


async def made(api: Api) -> str:
    """A segment with history; gives its id."""
    await world(api.database, EVENTS, NOW)
    return str(await add_segment(api.database, STAYS))


async def data(api: Api, path: str) -> dict[str, Any]:
    """What an answer holds."""
    response = await api.send("GET", path)
    assert response.status_code == 200, response.text
    assert response.json()["success"] is True
    return response.json()["data"]


async def test_analytics(api: Api) -> None:
    """All fields of the guide, in their forms; the answer from the facts is the same as the one of now."""
    segment_id = await made(api)
    found = await data(api, f"/{segment_id}/analytics")

    assert tuple(found)[: len(GUIDE)] == GUIDE
    assert found["total_customers"] == 2
    assert found["total_revenue"] == "160.50"
    assert found["average_revenue_per_customer"] == found["customer_lifetime_value"] == "80.25"
    assert found["average_order_value"] == "53.50"
    assert found["revenue_contribution"] == 89.17
    assert found["average_order_frequency"] == 1.5
    assert (found["growth_rate"], found["growth_absolute"], found["growth_base"]) == (0.0, 0, 2)
    assert (found["retention_rate"], found["retention_base"]) == (50.0, 2)
    assert (found["campaigns_sent"], found["average_open_rate"]) == (0, 0)
    assert (found["predicted_clv"], found["clv_method"]) == (None, "historic")
    assert found["customer_growth_trend"][-1] == {"date": "2023-11-14", "count": 2}
    assert found["revenue_trend"][-1] == {"date": "2023-11-14", "amount": "30.00"}
    assert (found["currency"], found["timezone"], found["window_days"]) == ("USD", "UTC", 30)
    assert found["as_of"] == found["data_through"] == found["computed_at"] == "2023-11-14T22:13:20Z"
    assert found["warnings"] == []
    assert await data(api, f"/{segment_id}/analytics?as_of=2023-11-14T22:13:20Z") == found


async def test_parameters(api: Api) -> None:
    """Spans, zone, population and instant are what was asked for."""
    segment_id = await made(api)
    found = await data(
        api, f"/{segment_id}/analytics?window_days=7&trend_days=2&active_days=1&tz=Asia/Tokyo&population=at_time"
    )

    assert [one["date"] for one in found["revenue_trend"]] == ["2023-11-14", "2023-11-15"]
    assert (found["window_days"], found["timezone"], found["population"]) == (7, "Asia/Tokyo", "at_time")
    assert found["active_customers"] == 1
    assert found["growth_rate"] == 0
    before = await data(api, f"/{segment_id}/analytics?as_of=2023-11-01")
    assert (before["total_customers"], before["as_of"], before["data_through"]) == (3, *["2023-11-01T00:00:00Z"] * 2)


async def test_empty(api: Api) -> None:
    """A segment without members has figures all the same: 0, with the denominators beside them."""
    segment_id = str(await add_segment(api.database, []))
    found = await data(api, f"/{segment_id}/analytics")

    numbers = {name: value for name, value in found.items() if isinstance(value, int | float) and name != "window_days"}
    assert set(numbers.values()) == {0}
    assert found["total_revenue"] == found["average_order_value"] == "0.00"
    assert {one["count"] for one in found["customer_growth_trend"]} == {0}
    assert (await data(api, f"/{segment_id}/flows"))["sources"] == []
    assert (await data(api, f"/{segment_id}/cohorts?kind=membership"))["cohorts"] == []


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("as_of=2023-11-14T22:13:21Z", "as_of"),
        ("as_of=yesterday", "as_of"),
        ("as_of=0099-01-01", "as_of"),
        ("tz=Mars/Olympus", "tz"),
        ("tz=../../etc/passwd", "tz"),
        ("tz=%00", "tz"),
        ("other=1", "other"),
    ],
)
async def test_refused(api: Api, question: str, query: str, path: str) -> None:
    """What cannot be asked is a 422 that names the parameter."""
    segment_id = await add_segment(api.database, [])
    response = await api.send("GET", f"/{segment_id}/{question}?{query}")

    assert response.status_code == 422
    assert [one["path"] for one in response.json()["errors"]] == [path]


@pytest.mark.parametrize(
    ("question", "query"),
    [
        ("analytics", "window_days=0"),
        ("analytics", "window_days=367"),
        ("analytics", "trend_days=367"),
        ("analytics", "active_days=x"),
        ("analytics", "population=both"),
        ("flows", "trend_days=0"),
        ("cohorts", "months=121"),
        ("cohorts", "kind=birth"),
    ],
)
async def test_limits(shared: Api, question: str, query: str) -> None:
    """Spans have limits, choices are closed."""
    response = await shared.send("GET", f"/{uuid4()}/{question}?{query}")

    assert response.status_code == 422
    assert response.json()["errors"][0]["path"] == query.partition("=")[0]


@pytest.mark.parametrize("question", QUESTIONS)
async def test_no_such_segment(shared: Api, question: str) -> None:
    """An unknown segment, and what is no id, is a 404."""
    for name in (uuid4(), "nobody"):
        assert (await shared.send("GET", f"/{name}/{question}")).status_code == 404


async def test_overlap(api: Api) -> None:
    """The matrix: symmetric where it must be, with sizes on the diagonal; static members who are unknown included."""
    first = str(await made(api))
    second = str(await add_segment(api.database, [("C-1", 0, None), ("C-3", 0, None), ("nobody yet", 0, None)], "T"))
    found = await data(api, f"/overlap?segments={first},{second}")

    assert found["customers"] == 3
    assert [one["total_customers"] for one in found["segments"]] == [2, 3]
    assert found["matrix"][0][1] == {"count": 1, "jaccard": 0.25, "lift": 0.5, "share_i": 0.5, "share_j": 0.3333}
    assert found["matrix"][1][0] == {"count": 1, "jaccard": 0.25, "lift": 0.5, "share_i": 0.3333, "share_j": 0.5}
    assert [found["matrix"][one][one]["jaccard"] for one in (0, 1)] == [1, 1]
    before = await data(api, f"/overlap?segments={first},{second}&as_of=2023-11-01")
    assert [one["total_customers"] for one in before["segments"]] == [3, 3]
    assert before["matrix"][0][1]["count"] == 2


@pytest.mark.parametrize(
    ("segments", "said"),
    [("", "2 to 50"), ("{id}", "2 to 50"), ("{id},{id}", "twice"), ("{id},x", "no id"), ("{id}," * 50 + "{id}", "50")],
)
async def test_overlap_refused(shared: Api, segments: str, said: str) -> None:
    """One segment, too many, the same twice or no id: refused."""
    response = await shared.send("GET", "/overlap?segments=" + segments.format(id=uuid4()))

    assert response.status_code == 422
    assert said in response.json()["message"]


async def test_overlap_of_the_missing(shared: Api) -> None:
    """An unknown segment is a 404, no segments at all a 422."""
    assert (await shared.send("GET", f"/overlap?segments={uuid4()},{uuid4()}")).status_code == 404
    assert (await shared.send("GET", "/overlap")).status_code == 422


async def test_flows(api: Api) -> None:
    """Days in a row whose counts follow from joins and leaves, and where those who moved were."""
    segment_id = await made(api)
    other = str(await add_segment(api.database, [("C-2", 0, None), ("C-3", 0, None)], "T"))
    found = await data(api, f"/{segment_id}/flows")

    by_date = {one["date"]: one for one in found["days"]}
    assert len(by_date) == 30
    assert by_date["2023-11-01"] == {"date": "2023-11-01", "inflow": 1, "outflow": 0, "net": 1, "count": 3}
    assert by_date["2023-11-05"] == {"date": "2023-11-05", "inflow": 0, "outflow": 1, "net": -1, "count": 2}
    assert (found["unique_in"], found["unique_out"], found["net"]) == (1, 1, 0)
    somewhere = [{"segment_id": other, "segment_name": "T", "count": 1, "share": 1.0}]
    assert found["sources"] == found["destinations"] == somewhere


async def test_cohorts(api: Api) -> None:
    """Months after the first order, or of membership at their ends; of a segment, or of the business."""
    segment_id = await made(api)
    bought = await data(api, f"/{segment_id}/cohorts?months=11")
    held = await data(api, f"/{segment_id}/cohorts?kind=membership&months=11")
    business = await data(api, "/cohorts?as_of=2023-11-01T12:00:00Z")

    assert [(one["cohort"], one["size"]) for one in bought["cohorts"]] == [("2023-01", 1), ("2023-11", 1)]
    assert [one["percent"] for one in bought["cohorts"][0]["cells"]] == [100, *[0] * 9, 100]
    assert [one["partial"] for one in bought["cohorts"][0]["cells"]] == [False] * 10 + [True]
    sizes = [(one["cohort"], one["size"], one["cells"][-1]["count"]) for one in held["cohorts"]]
    assert sizes == [("2023-01", 1, 1), ("2023-02", 1, 0), ("2023-11", 1, 1)]
    # The guest is nobody; the order that is cancelled later still counted then.
    assert [(one["cohort"], one["size"]) for one in business["cohorts"]] == [("2023-01", 1), ("2023-11", 1)]


async def test_too_many_questions(api: Api) -> None:
    """Analytics wait for their turn with all other questions over everybody."""
    segment_id = await made(api)
    turns = api.app.state.questions.turns
    await turns.acquire()
    await turns.acquire()
    response = await api.send("GET", f"/{uuid4()}/analytics")
    assert response.status_code == 404
    turns.release()
    turns.release()

    assert (await data(api, f"/{segment_id}/analytics"))["total_customers"] == 2


def test_the_zone_is_checked_at_the_start() -> None:
    """A zone that does not exist stops the start with a sentence that names the variable."""
    assert load_settings(analytics_timezone="Europe/Berlin").analytics_timezone == "Europe/Berlin"
    with pytest.raises(SettingsError, match=r"SEGMENTS_ANALYTICS_TIMEZONE.*IANA"):
        load_settings(analytics_timezone="Mars/Olympus")


async def test_permission(shared: Api) -> None:
    """No figure without customer_segments:read."""
    response = await shared.client.get(f"{BASE}/cohorts", headers=bearer(token("customer_segments:update")))

    assert response.status_code == 403
