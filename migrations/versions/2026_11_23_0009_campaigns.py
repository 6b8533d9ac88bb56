"""campaigns: what is said, to whom it went, what came of it"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates tables of their own; the release before does not look at them."""
    op.create_table(
        "customer_segment_campaigns",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("segment_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_name", sa.Text(), nullable=False),
        sa.Column("campaign_type", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("content", sa.Text(), nullable=True),
        sa.Column("discount_code", sa.Text(), nullable=True),
        sa.Column("discount_amount", sa.Numeric(precision=10, scale=2), nullable=True),
        sa.Column("discount_type", sa.Text(), nullable=True),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("failure_reason", sa.Text(), nullable=True),
        sa.Column("scheduled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("audience_taken_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("options", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("is_deleted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("customer_segment_campaigns_pkey")),
    )
    op.create_index(
        "campaigns_live_idx",
        "customer_segment_campaigns",
        ["state"],
        unique=False,
        postgresql_where=sa.text("state IN ('scheduled', 'sending', 'active', 'paused') AND NOT is_deleted"),
    )
    op.create_index(
        op.f("customer_segment_campaigns_segment_id_idx"), "customer_segment_campaigns", ["segment_id"], unique=False
    )
    op.create_table(
        "campaign_state_changes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("from_state", sa.Text(), nullable=False),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("campaign_state_changes_pkey")),
    )
    op.create_index(
        op.f("campaign_state_changes_campaign_id_id_idx"), "campaign_state_changes", ["campaign_id", "id"], unique=False
    )
    op.create_table(
        "campaign_messages",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("occasion", sa.Text(collation="C"), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempt_token", sa.Uuid(), nullable=True),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempt_began_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("discount_code", sa.Text(), nullable=True),
        sa.Column("links", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("sms_segments", sa.SmallInteger(), nullable=True),
        sa.Column("traceparent", sa.Text(), nullable=True),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("bounced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("complained_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("unsubscribed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("machine_opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("clicked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "campaign_id", "occasion", name=op.f("campaign_messages_pkey")),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index("campaign_messages_campaign_idx", "campaign_messages", ["campaign_id", "customer_id"], unique=False)
    op.create_index(
        "campaign_messages_leased_idx",
        "campaign_messages",
        ["lease_expires_at"],
        unique=False,
        postgresql_where=sa.text("state = 'leased'"),
    )
    op.create_index(op.f("campaign_messages_message_id_idx"), "campaign_messages", ["message_id"], unique=True)
    op.create_index(
        "campaign_messages_waiting_idx",
        "campaign_messages",
        ["campaign_id", "due_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('pending', 'deferred')"),
    )
    op.create_table(
        "campaign_engagement",
        sa.Column("source", sa.Text(collation="C"), nullable=False),
        sa.Column("event_id", sa.Text(collation="C"), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_machine", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("source", "event_id", name=op.f("campaign_engagement_pkey")),
    )
    op.create_index(
        op.f("campaign_engagement_message_id_at_idx"), "campaign_engagement", ["message_id", "at"], unique=False
    )
    op.create_table(
        "campaign_engagement_waiting",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("cluster", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("timestamp_ms", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=True),
        sa.Column("value", sa.LargeBinary(), nullable=True),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("campaign_engagement_waiting_pkey")),
    )
    op.create_index(
        op.f("campaign_engagement_waiting_message_id_idx"), "campaign_engagement_waiting", ["message_id"], unique=False
    )
    op.create_index(
        op.f("campaign_engagement_waiting_cluster_topic_partition_offset_idx"),
        "campaign_engagement_waiting",
        ["cluster", "topic", "partition", "offset"],
        unique=True,
    )
    op.create_table(
        "campaign_codes",
        sa.Column("code", sa.Text(collation="C"), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("campaign_codes_pkey")),
    )
    op.create_index(op.f("campaign_codes_campaign_id_idx"), "campaign_codes", ["campaign_id"], unique=False)
    op.create_index(op.f("campaign_codes_customer_id_idx"), "campaign_codes", ["customer_id"], unique=False)
    op.create_table(
        "campaign_suppressions",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("address_hash", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("channel", "address_hash", name=op.f("campaign_suppressions_pkey")),
    )
    op.create_table(
        "campaign_soft_bounces",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("address_hash", sa.LargeBinary(), nullable=False),
        sa.Column("streak", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("channel", "address_hash", name=op.f("campaign_soft_bounces_pkey")),
    )
    op.create_table(
        "campaign_consents",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("is_subscribed", sa.Boolean(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("campaign_consents_pkey")),
    )
    op.create_index(op.f("campaign_consents_customer_id_idx"), "campaign_consents", ["customer_id"], unique=False)


def downgrade() -> None:
    """Drops them."""
    op.drop_table("campaign_consents")
    op.drop_table("campaign_soft_bounces")
    op.drop_table("campaign_suppressions")
    op.drop_table("campaign_codes")
    op.drop_table("campaign_engagement_waiting")
    op.drop_table("campaign_engagement")
    op.drop_table("campaign_messages")
    op.drop_table("campaign_state_changes")
    op.drop_table("customer_segment_campaigns")
