"""The schema beside customers and segments: what leaves, what was set aside, how far the input is applied."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Float,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from service.adapters.postgres.table_parts import Instant, column, now
from service.adapters.postgres.table_parts import metadata as metadata

outbox = Table(
    "outbox",
    metadata,
    column("id", BigInteger, Identity(always=True), primary_key=True),
    column("records", Integer),
    column("payload", LargeBinary),
    column("counts", JSONB),
    now("created_at"),
)

#: One row for the changes of one batch, all arrays equally long.
membership_changes = Table(
    "membership_changes",
    metadata,
    column("id", BigInteger, Identity(always=True), primary_key=True),
    column("changes", Integer),
    column("recorded_at", Instant),
    column("customer_ids", ARRAY(Uuid)),
    column("segment_ids", ARRAY(Uuid)),
    column("ordinals", ARRAY(BigInteger)),
    column("instants", ARRAY(Instant)),
    column("reasons", ARRAY(Text)),
    column("segment_versions", ARRAY(Integer)),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    column("id", BigInteger, Identity(always=True), primary_key=True),
    column("reason", Text),
    column("error", Text),
    # The place in the input; offsets mean something within one cluster alone (decision 0014).
    column("cluster", Text, server_default=text("''")),
    column("topic", Text),
    column("partition", Integer),
    column("offset", BigInteger),
    column("key", LargeBinary, nullable=True),
    column("value", LargeBinary, nullable=True),
    column("headers", JSONB, server_default=text("'[]'")),
    column("customer_id", Uuid, nullable=True),
    now("at"),
    column("redrives", Integer, server_default=text("0")),
    column("redriven_at", Instant, nullable=True),
    UniqueConstraint("cluster", "topic", "partition", "offset"),
    Index(None, "reason", "id"),
    # What /metrics counts each time it is asked.
    Index("dead_letters_waiting_idx", "reason", postgresql_where=text("redriven_at IS NULL")),
    Index(None, "customer_id"),
)

erasures = Table(
    "erasures",
    metadata,
    column("customer_id", Uuid, primary_key=True),
    now("erased_at"),
)

input_frontier = Table(
    "input_frontier",
    metadata,
    column("cluster", Text, primary_key=True, server_default=text("''")),
    column("topic", Text, primary_key=True),
    column("partition", Integer, primary_key=True),
    column("next_offset", BigInteger),
    postgresql_with={"fillfactor": "50"},
)

counters = Table(
    "counters",
    metadata,
    column("name", Text, primary_key=True),
    column("value", BigInteger),
    # When it was counted last.
    now("at"),
)

#: Who asks the workers to step aside, and until when.
pauses = Table(
    "pauses",
    metadata,
    column("name", Text, primary_key=True),
    column("owner", Text),
    column("expires_at", Instant),
)

#: How fast each worker applied records when it last had any.
workers = Table(
    "workers",
    metadata,
    column("member", Text, primary_key=True),
    # While it had work, and over all the time since it told this last.
    column("records_per_second", Float),
    column("mean_per_second", Float),
    now("at"),
)

#: What the roles have counted, summed over all processes and restarts; `labels` is a JSON list of their values.
metric_totals = Table(
    "metric_totals",
    metadata,
    column("name", Text, primary_key=True),
    column("labels", Text, primary_key=True),
    column("value", Float),
    postgresql_with={"fillfactor": "50"},
)

#: Requests that came with an Idempotency-Key, and what was answered to them.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    column("owner", Text, primary_key=True),
    column("key", Text, primary_key=True),
    # What the request may name new things with, whenever it runs.
    column("id", Uuid),
    column("fingerprint", LargeBinary),
    # Whose run it is, and since when; real time.
    column("lease", Uuid),
    now("leased_at"),
    column("status", Integer, nullable=True),
    column("headers", JSONB, nullable=True),
    column("body", LargeBinary, nullable=True),
    now("created_at"),
    UniqueConstraint("lease"),
    Index(None, "created_at"),
)
