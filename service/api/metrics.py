"""GET /metrics, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import version
from itertools import accumulate
from typing import Final

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family

from service.adapters.measures import Measures
from service.api.traffic import Traffic
from service.app.metrics import BUILD, METRICS, Kind, Metric, Values
from service.app.tally import INFINITE

router: Final = APIRouter(tags=["health"])


@router.get("/metrics", summary="How is it doing, in numbers?", responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """Lag, ages, outcomes, what waits: the Prometheus text format, or OpenMetrics where that is accepted.

    Figures of the product are the same at every process of `serve`; those of requests are of the one that answers.
    No personal data and no ids of customers. docs/metrics.md explains each.
    """
    measures, traffic = request.app.state.measures, request.app.state.traffic
    assert isinstance(measures, Measures)  # noqa: S101 - build_app put it there
    assert isinstance(traffic, Traffic)  # noqa: S101 - the same
    values = await measures.look() | traffic.tally.look()
    values[BUILD.name, (version("customer-segments"),)] = 1
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(values))
    return Response(encode(registry), media_type=content_type)


class _Collected:
    """Values as a collector of their own, so that nothing is global."""

    def __init__(self, values: Values) -> None:
        self._families = list(families(values))

    def collect(self) -> Iterable[Family]:
        return self._families


def families(values: Values) -> Iterator[Family]:
    """Values in the words of Prometheus, metric by metric; one without a value is left out."""
    by_name: dict[str, list[tuple[tuple[str, ...], float]]] = {}
    for (name, labels), value in values.items():
        by_name.setdefault(name, []).append((labels, value))
    for metric in METRICS:
        if metric.kind is Kind.HISTOGRAM:
            family: Family | None = _histogram(metric, by_name)
        else:
            family = _plain(metric, by_name.get(metric.name, []))
        if family is not None:
            yield family


def _plain(metric: Metric, found: list[tuple[tuple[str, ...], float]]) -> Family | None:
    if not found:
        return None
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(metric.name, metric.meaning, labels=metric.labels)
    for labels, value in sorted(found):
        if len(labels) == len(metric.labels):
            family.add_metric(labels, value)
    return family


def _histogram(metric: Metric, by_name: dict[str, list[tuple[tuple[str, ...], float]]]) -> Family | None:
    counts: dict[tuple[str, ...], dict[str, float]] = {}
    for labels, value in by_name.get(f"{metric.name}_bucket", []):
        counts.setdefault(labels[:-1], {})[labels[-1]] = value
    if not counts:
        return None
    sums = dict(by_name.get(f"{metric.name}_sum", []))
    family = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
    edges = [*map(str, metric.edges), INFINITE]
    for labels, found in sorted(counts.items()):
        running = accumulate(found.get(edge, 0) for edge in edges)
        family.add_metric(labels, list(zip(edges, running, strict=True)), sums.get(labels, 0))
    return family
