"""Every metric there is, in one table: what /metrics shows, docs/metrics.md explains and tests compare."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

#: (name, values of its labels) -> value; of a histogram, one entry for each bucket and one for the sum.
Values = dict[tuple[str, tuple[str, ...]], float]


class Kind(StrEnum):
    """As Prometheus knows them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Scope(StrEnum):
    """Whose a value is: of the whole product, the same at every `serve`; or of the process that answers."""

    PRODUCT = "product"
    PROCESS = "process"


class Metric(NamedTuple):
    """One metric; `edges` are a histogram's buckets, ascending, without the infinite one."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    scope: Scope = Scope.PRODUCT


def _counter(name: str, meaning: str, *labels: str, scope: Scope = Scope.PRODUCT) -> Metric:
    return Metric(f"segmentation_{name}", Kind.COUNTER, meaning, labels, scope=scope)


def _gauge(name: str, meaning: str, *labels: str, scope: Scope = Scope.PRODUCT) -> Metric:
    return Metric(f"segmentation_{name}", Kind.GAUGE, meaning, labels, scope=scope)


_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_AGES: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 86400.0, 604800.0)

# Told by the roles, each through its Tally.
EVENTS: Final = _counter("events_total", "Events of input, by what became of them.", "type", "outcome")
LETTERS: Final = _counter("dlq_messages_total", "Records set aside.", "topic", "reason")
RETRIES: Final = _counter("batch_failures_total", "Batches that failed, by what was done about it.", "verdict")
EVENT_AGE: Final = Metric(
    "segmentation_event_age_seconds", Kind.HISTOGRAM, "From an event's time to the commit that applied it.", (), _AGES
)
PROCESSING: Final = Metric(
    "segmentation_processing_seconds", Kind.HISTOGRAM, "From decoding a batch to its commit.", (), _SECONDS
)
CHANGES: Final = _counter("membership_changes_total", "Joined and left events published.", "change")
FIRED: Final = _counter("timers_fired_total", "Customers moved on by time alone.")
BACKFILLED: Final = _counter("backfilled_customers_total", "Customers that backfills looked at.")
TRIGGERS: Final = _counter("triggers_total", "Joins and leaves read for campaigns, by what came of them.", "outcome")
DISPATCHED: Final = _counter("dispatch_total", "Messages of campaigns, by what became of them.", "channel", "outcome")
ENGAGEMENT: Final = _counter("engagement_total", "Events about messages, by what became of them.", "kind", "outcome")
DISPATCH_SECONDS: Final = Metric(
    "segmentation_dispatch_seconds", Kind.HISTOGRAM, "From when a message was due until it left.", ("channel",), _AGES
)

# Asked of the database.
OUTBOX: Final = _gauge("outbox_pending", "Outbox rows that wait for the relay.")
OUTBOX_AGE: Final = _gauge("outbox_oldest_age_seconds", "Age of the oldest outbox row; 0 where there is none.")
CHANGES_WAITING: Final = _gauge("membership_changes_waiting", "Joins and leaves to be merged into the table.")
CHANGES_AGE: Final = _gauge("membership_changes_oldest_age_seconds", "Age of the oldest such change; 0 for none.")
LETTERS_KEPT: Final = _gauge("dlq_depth", "Dead letters that nobody has redriven.", "reason")
DUE: Final = _gauge("due_timers", "Customers whose next edge has come.")
BACKFILLS: Final = _gauge("backfills_running", "Segments that are being brought up to a definition.")
BACKFILL_LEFT: Final = _gauge("backfill_remaining_customers", "Customers that running backfills have yet to look at.")
SEGMENTS: Final = _gauge("segments", "Segments, without those deleted.", "status")
MEMBERS: Final = _gauge("segment_members", "Members of a segment; of the 1,000 oldest segments.", "segment_id")
OVER_LIMIT: Final = _gauge("over_limit_customers", "Customers beyond the limits of a profile.")
OVERTOOK: Final = _counter("timers_overtook_total", "Times that timers fired ahead of unread input.")
SET_ASIDE: Final = _counter("customers_set_aside_total", "Customers whose profile could not be walked.")
DRIFT: Final = _gauge("drift_customers", "Customers of whom anything differed when all was verified last.")
VERIFIED: Final = _gauge("verified_timestamp_seconds", "When all was verified last, by verify or rebuild; Unix time.")
CONNECTIONS: Final = _gauge("role_connections", "Connections of a role to the database.", "role")

# Asked of the broker.
LAG: Final = _gauge("consumer_lag", "Records of an input partition that are not applied.", "topic", "partition")
UNASSIGNED: Final = _gauge("unassigned_partitions", "Input partitions that no consumer owns.")

# Of the process that answers.
UP: Final = _gauge("up", "1 where a part answered in time; else its metrics are missing.", "part", scope=Scope.PROCESS)
BUILD: Final = _gauge("build_info", "Always 1; the version is the label.", "version", scope=Scope.PROCESS)
REQUESTS: Final = _counter(
    "http_requests_total", "Requests answered.", "method", "route", "status", scope=Scope.PROCESS
)
REQUEST_SECONDS: Final = Metric(
    "segmentation_http_request_seconds",
    Kind.HISTOGRAM,
    "From a request's head to the end of its answer.",
    ("method", "route"),
    _SECONDS,
    Scope.PROCESS,
)

METRICS: Final[tuple[Metric, ...]] = (
    *(LAG, UNASSIGNED, EVENTS, EVENT_AGE, PROCESSING, RETRIES, LETTERS, LETTERS_KEPT),
    *(CHANGES, OUTBOX, OUTBOX_AGE, CHANGES_WAITING, CHANGES_AGE, DUE, FIRED, OVERTOOK, SET_ASIDE, OVER_LIMIT),
    *(TRIGGERS, DISPATCHED, DISPATCH_SECONDS, ENGAGEMENT),
    *(BACKFILLS, BACKFILL_LEFT, BACKFILLED, SEGMENTS, MEMBERS, DRIFT, VERIFIED, CONNECTIONS),
    *(REQUESTS, REQUEST_SECONDS, UP, BUILD),
)
