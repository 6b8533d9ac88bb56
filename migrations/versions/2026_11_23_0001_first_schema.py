"""facts, profiles, segments, memberships"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates all of it."""
    op.create_table(
        "activities",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("properties", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sequence", sa.Text(collation="C"), nullable=True),
        sa.PrimaryKeyConstraint("customer_id", "event_id", name=op.f("activities_pkey")),
    )
    op.create_table(
        "catalogue",
        sa.Column("is_only", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "shape",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text('\'{"version": 0, "purchases": [], "window_max": 0}\''),
            nullable=False,
        ),
        sa.Column("instance_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("recovering", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("is_only", name=op.f("catalogue_pkey")),
        sa.CheckConstraint("is_only", name=op.f("catalogue_only_check")),
    )
    op.execute("INSERT INTO catalogue DEFAULT VALUES")
    op.create_table(
        "customer_facts",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Text(collation="C"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sequence", sa.Text(collation="C"), nullable=True),
        sa.PrimaryKeyConstraint("customer_id", "event_id", name=op.f("customer_facts_pkey")),
    )
    op.create_table(
        "customer_segment_memberships",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("segment_id", sa.Uuid(), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("joined_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("left_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("membership_source", sa.Text(), nullable=False),
        sa.Column("left_reason", sa.Text(), nullable=True),
        sa.Column("segment_version", sa.Integer(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("left_recorded_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("customer_id", "segment_id", "ordinal", name=op.f("customer_segment_memberships_pkey")),
        postgresql_with={"fillfactor": "85"},
    )
    op.create_index(
        "memberships_current_idx",
        "customer_segment_memberships",
        ["segment_id", "customer_id"],
        unique=True,
        postgresql_where=sa.text("left_at IS NULL"),
    )
    op.create_index(
        "memberships_past_idx",
        "customer_segment_memberships",
        ["segment_id", "customer_id"],
        unique=False,
        postgresql_where=sa.text("left_at IS NOT NULL"),
    )
    op.create_table(
        "customer_segments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("slot", sa.Integer(), sa.Identity(always=True, start=0, minvalue=0), nullable=False),
        sa.Column("segment_name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("segment_type", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("criteria", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("introduced", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("is_silent", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("is_kept", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("previous", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("customer_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("backfill_state", sa.Text(), server_default=sa.text("'none'"), nullable=False),
        sa.Column("backfill_done", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("backfill_total", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("backfill_moved_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_updated", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("is_deleted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("customer_segments_pkey")),
        sa.UniqueConstraint("slot", name=op.f("customer_segments_slot_key")),
    )
    op.create_table(
        "customers",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("first_name", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column("timezone", sa.Text(), nullable=True),
        sa.Column("customer_type", sa.Text(collation="C"), nullable=True),
        sa.Column("country", sa.Text(collation="C"), nullable=True),
        sa.Column("state", sa.Text(collation="C"), nullable=True),
        sa.Column("city", sa.Text(collation="C"), nullable=True),
        sa.Column("email_subscribed", sa.Boolean(), nullable=True),
        sa.Column("sms_subscribed", sa.Boolean(), nullable=True),
        sa.Column("push_subscribed", sa.Boolean(), nullable=True),
        sa.Column("traits", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("customers_pkey")),
    )
    op.create_index(op.f("customers_external_id_idx"), "customers", ["external_id"], unique=False)
    op.create_table(
        "order_facts",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Text(collation="C"), nullable=False),
        sa.Column("event_id", sa.Text(collation="C"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=True),
        sa.Column("items", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("discount_codes", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("is_test", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sequence", sa.Text(collation="C"), nullable=True),
        sa.PrimaryKeyConstraint("customer_id", "order_id", "event_id", name=op.f("order_facts_pkey")),
    )
    op.create_table(
        "orders",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Text(collation="C"), nullable=False),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("products", postgresql.ARRAY(sa.Text(collation="C")), nullable=False),
        sa.Column("categories", postgresql.ARRAY(sa.Text(collation="C")), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "order_id", name=op.f("orders_pkey")),
        postgresql_with={"fillfactor": "90"},
    )
    # A payload lives for milliseconds: compressing it costs more than it saves.
    op.create_table(
        "pins",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("segment_id", sa.Uuid(), nullable=False),
        sa.Column("is_included", sa.Boolean(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "segment_id", name=op.f("pins_pkey")),
    )
    op.create_index("pins_segment_idx", "pins", ["segment_id", "customer_id"], unique=False)
    op.create_table(
        "profiles",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("total_orders", sa.BigInteger(), nullable=False),
        sa.Column("total_spent", sa.BigInteger(), nullable=False),
        sa.Column("first_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("registered_at", sa.BigInteger(), nullable=True),
        sa.Column("last_order_at", sa.BigInteger(), nullable=True),
        sa.Column("last_login_at", sa.BigInteger(), nullable=True),
        sa.Column("evaluated_to", sa.BigInteger(), nullable=False),
        sa.Column("next_due_at", sa.BigInteger(), nullable=True),
        sa.Column("born", sa.BigInteger(), nullable=False),
        sa.Column("mark", sa.BigInteger(), nullable=False),
        sa.Column("shape_version", sa.Integer(), nullable=False),
        sa.Column("ordinals", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.Column("is_over_limit", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("profiles_pkey")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index(
        "profiles_over_limit_idx",
        "profiles",
        ["customer_id"],
        unique=False,
        postgresql_where=sa.text("is_over_limit"),
    )
    op.create_index(
        "profiles_due_idx",
        "profiles",
        ["next_due_at"],
        unique=False,
        postgresql_where=sa.text("next_due_at IS NOT NULL"),
    )
    op.create_table(
        "refunds",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("refund_id", sa.Text(collation="C"), nullable=False),
        sa.Column("event_id", sa.Text(collation="C"), nullable=False),
        sa.Column("order_id", sa.Text(collation="C"), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sequence", sa.Text(collation="C"), nullable=True),
        sa.PrimaryKeyConstraint("customer_id", "refund_id", "event_id", name=op.f("refunds_pkey")),
    )
    op.create_index("refunds_order_idx", "refunds", ["customer_id", "order_id"], unique=False)
    op.create_table(
        "segment_versions",
        sa.Column("segment_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("criteria", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("segment_id", "version", name=op.f("segment_versions_pkey")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("users_pkey")),
    )


def downgrade() -> None:
    """Drops all of it."""
    op.drop_table("users")
    op.drop_table("segment_versions")
    op.drop_index("refunds_order_idx", table_name="refunds")
    op.drop_table("refunds")
    op.drop_index("profiles_due_idx", table_name="profiles", postgresql_where=sa.text("next_due_at IS NOT NULL"))
    op.drop_index("profiles_over_limit_idx", table_name="profiles", postgresql_where=sa.text("is_over_limit"))
    op.drop_table("profiles")
    op.drop_index("pins_segment_idx", table_name="pins")
    op.drop_table("pins")
    op.drop_table("orders")
    op.drop_table("order_facts")
    op.drop_index(op.f("customers_external_id_idx"), table_name="customers")
    op.drop_table("customers")
    op.drop_table("customer_segments")
    op.drop_index(
        "memberships_past_idx",
        table_name="customer_segment_memberships",
        postgresql_where=sa.text("left_at IS NOT NULL"),
    )
    op.drop_index(
        "memberships_current_idx",
        table_name="customer_segment_memberships",
        postgresql_where=sa.text("left_at IS NULL"),
    )
    op.drop_table("customer_segment_memberships")
    op.drop_table("customer_facts")
    op.drop_table("catalogue")
    op.drop_table("activities")
