"""/metrics: what is shown, what is never shown, and that it never hangs."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.engine import make_url

from service.adapters import measures
from service.adapters.postgres import counters, gauges, totals
from service.adapters.postgres.database import Database
from service.adapters.telling import tell
from service.api.metrics import families
from service.app import metrics
from service.app.metrics import METRICS, Kind
from service.app.tally import Tally
from tests.api.support import BASE, Api, add_letter, add_many, make_api
from tests.soak.proxy import Link

ROOT = Path(__file__).parents[2]
Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]


async def scrape(api: Api) -> Samples:
    """What a fresh look shows: sample name -> labels -> value."""
    api.app.state.measures._kept_at = -measures.KEPT_SECONDS
    response = await api.client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    found: Samples = {}
    for family in text_string_to_metric_families(response.text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def only(found: Samples, name: str, **labels: str) -> float:
    """The value of one series."""
    return found[f"segmentation_{name}"][tuple(sorted(labels.items()))]


class TestDatabase:
    """What is asked of the database."""

    async def test_gauges(self, api: Api) -> None:
        """Segments, members, dead letters, due timers, the outbox, backfills and drift are what the tables say."""
        segment = await api.create()
        await add_many(api.database, segment["id"], 3)
        letter = await add_letter(api)
        await api.create(segment_name="Other", status="draft")
        await api.run("UPDATE customer_segments SET customer_count = 3 WHERE status = 'active'")
        await api.run("UPDATE profiles SET next_due_at = 5")
        await api.run(
            "INSERT INTO outbox (records, payload, counts, created_at) VALUES (1, '', '{}', now() - interval '60 s')"
        )
        before = await scrape(api)
        await api.run("UPDATE dead_letters SET redriven_at = now() WHERE id = :id", id=letter)
        await api.run("UPDATE customer_segments SET backfill_state='running', backfill_total=9, backfill_done=2")
        async with api.database.session() as connection:
            await counters.note(connection, counters.DRIFT_CUSTOMERS, 7)
            await counters.count(connection, counters.TIMERS_OVERTOOK)
        after = await scrape(api)

        assert only(before, "up", part="database") == 1
        assert only(before, "segments", status="active") == 1
        assert only(before, "segments", status="draft") == 1
        assert only(before, "segments", status="archived") == 0
        assert before["segmentation_segment_members"] == {(("segment_id", segment["id"]),): 3}
        assert only(before, "dlq_depth", reason="invalid_data") == 1
        assert only(before, "due_timers") == 3
        assert only(before, "outbox_pending") == 1
        assert 59 < only(before, "outbox_oldest_age_seconds") < 120
        assert only(before, "role_connections", role="relay") == 0
        assert only(before, "timers_overtook_total") == 0
        assert "segmentation_drift_customers" not in before
        assert only(before, "backfills_running") == 0
        assert "segmentation_dlq_depth" not in after
        assert only(after, "backfills_running") == 2
        assert only(after, "backfill_remaining_customers") == 14
        assert only(after, "drift_customers") == 7
        assert abs(only(after, "verified_timestamp_seconds") - time.time()) < 60
        assert only(after, "timers_overtook_total") == 1

    async def test_members_of_so_many_segments_only(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        """Beyond a number of segments the younger ones have no series of their own."""
        monkeypatch.setattr(gauges, "SEGMENTS_MAX", 2)
        ids = [(await api.create(segment_name=f"S{number}"))["id"] for number in range(3)]
        found = await scrape(api)

        assert {labels[0][1] for labels in found["segmentation_segment_members"]} == set(ids[:2])

    async def test_totals_of_several_roles(self, api: Api, database: Database) -> None:
        """What roles tell adds up, histograms too, over restarts and told twice at once."""
        tallies = [Tally() for _ in range(4)]
        for tally in tallies:
            tally.count(metrics.EVENTS, "order.placed", "applied", by=10)
            tally.observe(metrics.PROCESSING, 0.02)
            tally.observe(metrics.PROCESSING, 99)
        await asyncio.gather(*(tell(database, tally) for tally in tallies))
        tallies[0].count(metrics.EVENTS, "order.placed", "applied", by=5)
        await tell(database, tallies[0])
        await tell(database, tallies[0])
        found = await scrape(api)

        assert only(found, "events_total", type="order.placed", outcome="applied") == 45
        assert only(found, "processing_seconds_bucket", le="0.01") == 0
        assert only(found, "processing_seconds_bucket", le="0.025") == 4
        assert only(found, "processing_seconds_bucket", le="60.0") == 4
        assert only(found, "processing_seconds_bucket", le="+Inf") == 8
        assert only(found, "processing_seconds_count") == 8
        assert only(found, "processing_seconds_sum") == pytest.approx(4 * 99.02)

    async def test_sums_are_kept_while_the_database_is_away(self, database: Database) -> None:
        """What could not be told is told with the next."""
        away = Database.connect("postgresql://nobody@127.0.0.1:1/none", role="tests", pool_size=1)
        tally = Tally()
        tally.count(metrics.FIRED, by=3)
        await tell(away, tally)
        tally.count(metrics.FIRED)
        await tell(database, tally)

        async with database.session() as connection:
            assert await totals.read(connection) == {(metrics.FIRED.name, ()): 4}


class TestRequests:
    """What the answering process counts."""

    async def test_by_route_and_status(self, api: Api) -> None:
        """Requests count by template, status and method; what stands in addresses never shows."""
        segment = (await api.create(segment_name="Secret name"))["id"]
        await api.send("GET", f"/{segment}")
        await api.send("GET", "/Secret-id")
        await api.client.get("/Secret-path")
        await api.client.head("/livez")
        await api.client.request("BREW", "/livez")
        await api.client.get(BASE)
        response = await api.client.get("/metrics")
        found = await scrape(api)

        route = "/api/customer-segments/{segment}"
        assert only(found, "http_requests_total", method="GET", route=route, status="200") == 1
        assert only(found, "http_requests_total", method="GET", route="unknown", status="404") == 1
        assert only(found, "http_requests_total", method="HEAD", route="/livez", status="200") == 1
        assert only(found, "http_requests_total", method="GET", route="/api/customer-segments", status="401") == 1
        assert "BREW" not in response.text
        assert "Secret" not in response.text
        assert segment in response.text  # as the label of its members, and nowhere else
        assert only(found, "http_request_seconds_count", method="GET", route="/metrics") == 1

    async def test_open_to_all_and_openmetrics(self, api: Api) -> None:
        """It needs no token, and speaks OpenMetrics to who asks for it."""
        accept = {"accept": "application/openmetrics-text; version=1.0.0"}
        response = await api.client.get("/metrics", headers=accept)

        assert response.status_code == 200
        assert response.headers["content-type"].startswith("application/openmetrics-text")
        assert response.text.endswith("# EOF\n")


class TestPatience:
    """A scrape never hangs."""

    async def test_a_frozen_database(self, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A database that stops answering in the middle costs its figures and the time limit, again and again."""
        monkeypatch.setattr(measures, "PART_SECONDS_MAX", 0.5)
        async with proxied(database_url) as (link, database), make_api(database) as api:
            calm = await scrape(api)
            with link.stalled():
                started = time.monotonic()
                found = [await scrape(api) for _ in range(3)]
                taken = time.monotonic() - started
            async with asyncio.timeout(30):
                while not only(await scrape(api), "up", part="database"):  # noqa: ASYNC110
                    await asyncio.sleep(0.2)

        assert only(calm, "up", part="database") == 1
        assert taken < 3 * 0.5 + 2
        for one in found:
            assert only(one, "up", part="database") == 0
            assert "segmentation_outbox_pending" not in one
            assert only(one, "http_requests_total", method="GET", route="/metrics", status="200") > 0

    async def test_no_broker(self, api: Api) -> None:
        """Without a broker its figures are missing, and `up` says why."""
        found = await scrape(api)

        assert only(found, "up", part="broker") == 0
        assert "segmentation_consumer_lag" not in found

    async def test_a_storm_is_one_look(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        """Many scrapes at once, and those soon after, ask the database once."""
        looks = 0
        read = measures.read_gauges

        async def counting(*arguments: object) -> object:
            nonlocal looks
            looks += 1
            await asyncio.sleep(0.2)
            return await read(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(measures, "read_gauges", counting)
        answers = await asyncio.gather(*(api.client.get("/metrics") for _ in range(50)))
        answers.append(await api.client.get("/metrics"))

        assert {one.status_code for one in answers} == {200}
        assert looks == 1


class TestDocs:
    """The table and docs/metrics.md."""

    def test_every_metric_is_explained(self) -> None:
        """Each metric stands in docs/metrics.md with its type, labels and scope, and nothing else does."""
        text = (ROOT / "docs" / "metrics.md").read_text()
        rows = re.findall(r"^\| `(segmentation_\w+)` \| (\w+) \|([^|]*)\| (\w+) \|", text, re.MULTILINE)
        told = {name: (kind, tuple(re.findall(r"`(\w+)`", labels)), scope) for name, kind, labels, scope in rows}

        assert len(rows) == len(told)
        assert told == {one.name: (one.kind.value, one.labels, one.scope.value) for one in METRICS}

    def test_alerts_are_on_what_there_is(self) -> None:
        """The rules of the example name metrics that there are."""
        text = (ROOT / "docs" / "prometheus" / "rules.yml").read_text()
        named = {re.sub(r"_(bucket|sum|count)$", "", one) for one in re.findall(r"segmentation_\w+", text)}

        assert len(named) > 8
        assert named <= {one.name for one in METRICS}

    def test_names(self) -> None:
        """One prefix; counters end with _total, times with _seconds, and no label is a customer's."""
        for one in METRICS:
            assert one.name.startswith("segmentation_")
            assert one.name.endswith("_total") == (one.kind is Kind.COUNTER)
            assert bool(one.edges) == (one.kind is Kind.HISTOGRAM)
            assert list(one.edges) == sorted(one.edges)
            assert not any("customer" in label for label in one.labels)

    def test_what_another_release_told_does_no_harm(self) -> None:
        """Totals of unknown names, labels and buckets are left out."""
        values = {
            ("segmentation_of_old_total", ("x",)): 1.0,
            (metrics.FIRED.name, ("label",)): 1.0,
            (f"{metrics.PROCESSING.name}_bucket", ("0.3",)): 1.0,
            (f"{metrics.PROCESSING.name}_bucket", ("0.25",)): 2.0,
        }
        found = [sample for family in families(values) for sample in family.samples]

        assert {one.value for one in found if one.name.endswith("_count")} == {2}
        assert not any("label" in one.labels.values() for one in found)


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[Link, Database]]:
    """A pool that reaches the database through a link with faults."""
    parsed = make_url(url)
    assert parsed.port
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    link = Link("database", port, parsed.port)
    await link.start()
    changed = parsed.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
    database = Database.connect(changed, role="tests", pool_size=4)
    try:
        yield link, database
    finally:
        await database.close()
        await link.close()
