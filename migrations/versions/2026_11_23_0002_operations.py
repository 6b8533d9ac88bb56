"""what leaves, what was set aside, how far the input is applied"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates all of it."""
    op.create_table(
        "counters",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("counters_pkey")),
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("cluster", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=True),
        sa.Column("value", sa.LargeBinary(), nullable=True),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("redrives", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("redriven_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("dead_letters_pkey")),
        sa.UniqueConstraint(
            "cluster", "topic", "partition", "offset", name=op.f("dead_letters_cluster_topic_partition_offset_key")
        ),
    )
    op.create_index(op.f("dead_letters_customer_id_idx"), "dead_letters", ["customer_id"], unique=False)
    op.create_index(op.f("dead_letters_reason_id_idx"), "dead_letters", ["reason", "id"], unique=False)
    op.create_table(
        "erasures",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("erasures_pkey")),
    )
    op.create_table(
        "input_frontier",
        sa.Column("cluster", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("cluster", "topic", "partition", name=op.f("input_frontier_pkey")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("counts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("outbox_pkey")),
    )
    op.execute("ALTER TABLE outbox ALTER COLUMN payload SET STORAGE EXTERNAL")
    op.create_table(
        "pauses",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pauses_pkey")),
    )
    op.create_table(
        "workers",
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("records_per_second", sa.Float(), nullable=False),
        sa.Column("mean_per_second", sa.Float(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("member", name=op.f("workers_pkey")),
    )


def downgrade() -> None:
    """Drops all of it."""
    op.drop_table("workers")
    op.drop_table("pauses")
    op.drop_table("outbox")
    op.drop_table("input_frontier")
    op.drop_table("erasures")
    op.drop_index(op.f("dead_letters_reason_id_idx"), table_name="dead_letters")
    op.drop_index(op.f("dead_letters_customer_id_idx"), table_name="dead_letters")
    op.drop_table("dead_letters")
    op.drop_table("counters")
