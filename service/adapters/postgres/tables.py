"""The schema, as the migrations build it (`alembic check` holds the two together).

Facts are append-only, one row an event that carries information; profiles and memberships are folds of them. All that
a batch touches is keyed by customer_id first. Money is minor units. Instants are timestamptz in what people query and
microseconds since the epoch in what only the service reads (profiles, catalogue).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
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

from service.adapters.postgres import campaign_tables as campaign_tables
from service.adapters.postgres.operation_tables import metadata as metadata
from service.adapters.postgres.table_parts import CodePoints, Instant
from service.adapters.postgres.table_parts import column as _column
from service.adapters.postgres.table_parts import now as _now

users = Table(
    "users",
    metadata,
    _column("id", Text, primary_key=True),
    _column("name", Text),
    _now("created_at"),
)

catalogue = Table(
    "catalogue",
    metadata,
    _column("is_only", Boolean, primary_key=True, server_default=text("true")),
    _column("version", BigInteger, server_default=text("0")),
    _column("shape", JSONB, server_default=text("""'{"version": 0, "purchases": [], "window_max": 0}'""")),
    _column("instance_id", Uuid, server_default=text("gen_random_uuid()")),
    # While memberships come back from the input topics nothing of them is published: how far the group had come before.
    _column("recovering", JSONB, nullable=True),
    CheckConstraint("is_only", name="only"),
)

customer_segments = Table(
    "customer_segments",
    metadata,
    _column("id", Uuid, primary_key=True),
    _column("slot", Integer, Identity(always=True, start=0, minvalue=0)),
    _column("segment_name", Text),
    _column("description", Text, nullable=True),
    _column("segment_type", Text),
    _column("status", Text),
    _column("criteria", JSONB),
    _column("version", Integer),
    _column("introduced", BigInteger),
    _column("since", BigInteger),
    _column("is_silent", Boolean, server_default=text("false")),
    _column("is_kept", Boolean, server_default=text("false")),
    # Rises with every change of the segment; what ETag and If-Match compare.
    _column("revision", BigInteger, server_default=text("1")),
    # Status and criteria before the definition whose backfill runs; what cancelling goes back to.
    _column("previous", JSONB, nullable=True),
    _column("customer_count", BigInteger, server_default=text("0")),
    _column("backfill_state", Text, server_default=text("'none'")),
    _column("backfill_done", BigInteger, server_default=text("0")),
    _column("backfill_total", BigInteger, server_default=text("0")),
    # When the backfill advanced last; real time.
    _now("backfill_moved_at"),
    _column("created_by", Text),
    _now("created_at"),
    _now("updated_at"),
    _now("last_updated"),
    _column("is_deleted", Boolean, server_default=text("false")),
    UniqueConstraint("slot"),
)

segment_versions = Table(
    "segment_versions",
    metadata,
    _column("segment_id", Uuid, primary_key=True),
    _column("version", Integer, primary_key=True),
    _column("criteria", JSONB),
    _column("created_by", Text),
    _now("created_at"),
)

customers = Table(
    "customers",
    metadata,
    _column("customer_id", Uuid, primary_key=True),
    _column("external_id", CodePoints),
    *[_column(name, Text, nullable=True) for name in ("name", "first_name", "email", "phone", "locale", "timezone")],
    *[_column(name, CodePoints, nullable=True) for name in ("customer_type", "country", "state", "city")],
    *[_column(f"{name}_subscribed", Boolean, nullable=True) for name in ("email", "sms", "push")],
    _column("traits", JSONB, server_default=text("'{}'")),
    Index(None, "external_id"),
    # Written where an address changes alone; other updates of a row stay on its page.
    Index("customers_email_idx", text("lower(email)"), postgresql_where=text("email IS NOT NULL")),
)

profiles = Table(
    "profiles",
    metadata,
    _column("customer_id", Uuid, primary_key=True),
    _column("total_orders", BigInteger),
    _column("total_spent", BigInteger),
    _column("first_seen_at", BigInteger),
    _column("registered_at", BigInteger, nullable=True),
    _column("last_order_at", BigInteger, nullable=True),
    _column("last_login_at", BigInteger, nullable=True),
    _column("evaluated_to", BigInteger),
    _column("next_due_at", BigInteger, nullable=True),
    _column("born", BigInteger),
    _column("mark", BigInteger),
    _column("shape_version", Integer),
    _column("ordinals", LargeBinary),
    _column("state", LargeBinary),
    _column("is_over_limit", Boolean, server_default=text("false")),
    Index("profiles_over_limit_idx", "customer_id", postgresql_where=text("is_over_limit")),
    Index("profiles_due_idx", "next_due_at", postgresql_where=text("next_due_at IS NOT NULL")),
    # Room on each page for the next version of a row; every batch rewrites the profiles it touches.
    postgresql_with={"fillfactor": "70"},
)


def _fact(name: str, *columns: Column[Any], indexes: tuple[Index, ...] = ()) -> Table:
    return Table(
        name,
        metadata,
        _column("customer_id", Uuid, primary_key=True),
        *columns,
        _column("time", Instant),
        _column("sequence", CodePoints, nullable=True),
        *indexes,
    )


order_facts = _fact(
    "order_facts",
    _column("order_id", CodePoints, primary_key=True),
    _column("event_id", CodePoints, primary_key=True),
    _column("kind", Text),
    _column("total", BigInteger, nullable=True),
    _column("items", JSONB, nullable=True),
    _column("discount_codes", JSONB, nullable=True),
    _column("status", Text, nullable=True),
    _column("is_test", Boolean, server_default=text("false")),
    # What analytics ask of late, as with refunds and orders below.
    indexes=(
        Index("order_facts_cancelled_idx", "time", postgresql_where=text("kind = 'cancelled'")),
        # What codes of campaigns are looked for in, whoever used them.
        Index("order_facts_codes_idx", "time", postgresql_where=text("discount_codes IS NOT NULL")),
        # Guests have no profile; analytics sum what their orders come to without a look at the rows.
        Index(
            "order_facts_guests_idx",
            "order_id",
            postgresql_include=["kind", "time", "total", "is_test"],
            postgresql_where=text("customer_id = '00000000-0000-0000-0000-000000000000'"),
        ),
    ),
)

refunds = _fact(
    "refunds",
    _column("refund_id", CodePoints, primary_key=True),
    _column("event_id", CodePoints, primary_key=True),
    _column("order_id", CodePoints, nullable=True),
    # Missing where the order was refunded in full.
    _column("amount", BigInteger, nullable=True),
    indexes=(Index("refunds_order_idx", "customer_id", "order_id"), Index("refunds_time_idx", "time")),
)

customer_facts = _fact(
    "customer_facts",
    _column("event_id", CodePoints, primary_key=True),
    _column("kind", Text),
    _column("data", JSONB),
)

activities = _fact(
    "activities",
    _column("event_id", CodePoints, primary_key=True),
    _column("name", CodePoints),
    _column("properties", JSONB),
)

orders = Table(
    "orders",
    metadata,
    _column("customer_id", Uuid, primary_key=True),
    _column("order_id", CodePoints, primary_key=True),
    _column("placed_at", Instant),
    _column("total", BigInteger),
    # total less refunds
    _column("amount", BigInteger),
    _column("products", ARRAY(CodePoints)),
    _column("categories", ARRAY(CodePoints)),
    # What windows and trends of analytics sum, without a look at the rows.
    Index("orders_placed_idx", "placed_at", postgresql_include=["customer_id", "amount"]),
    postgresql_with={"fillfactor": "90"},
)

pins = Table(
    "pins",
    metadata,
    _column("customer_id", Uuid, primary_key=True),
    _column("segment_id", Uuid, primary_key=True),
    _column("is_included", Boolean),
    _column("source", Text),
    _column("created_by", Text),
    _now("created_at"),
    Index("pins_segment_idx", "segment_id", "customer_id"),
)

memberships = Table(
    "customer_segment_memberships",
    metadata,
    _column("customer_id", Uuid, primary_key=True),
    _column("segment_id", Uuid, primary_key=True),
    _column("ordinal", BigInteger, primary_key=True),
    _column("joined_at", Instant),
    _column("left_at", Instant, nullable=True),
    _column("membership_source", Text),
    _column("left_reason", Text, nullable=True),
    _column("segment_version", Integer),
    _now("recorded_at"),
    _column("left_recorded_at", Instant, nullable=True),
    Index(
        "memberships_current_idx",
        "segment_id",
        "customer_id",
        unique=True,
        postgresql_where=text("left_at IS NULL"),
    ),
    Index("memberships_past_idx", "segment_id", "customer_id", postgresql_where=text("left_at IS NOT NULL")),
    # For a segment's history. Both only ever grow at their ends, and a stay that ends leaves the first for the second.
    Index("memberships_open_idx", "segment_id", "joined_at", "customer_id", postgresql_where=text("left_at IS NULL")),
    Index(
        "memberships_ended_idx", "segment_id", "left_at", "customer_id", postgresql_where=text("left_at IS NOT NULL")
    ),
    postgresql_with={"fillfactor": "85"},
)
