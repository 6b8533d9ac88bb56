"""cancelled campaigns call back what was asked of downstream services; soft bounces are counted from the messages"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds how far a cancelled campaign has been called back, nothing of those of before; drops an unused table."""
    op.add_column("customer_segment_campaigns", sa.Column("recalled_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("customer_segment_campaigns", sa.Column("recalled_up_to", sa.Uuid(), nullable=True))
    op.execute("UPDATE customer_segment_campaigns SET recalled_at = now() WHERE state = 'cancelled'")
    op.drop_table("campaign_soft_bounces")


def downgrade() -> None:
    """The other way round."""
    op.create_table(
        "campaign_soft_bounces",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("address_hash", sa.LargeBinary(), nullable=False),
        sa.Column("streak", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("channel", "address_hash", name=op.f("campaign_soft_bounces_pkey")),
    )
    op.drop_column("customer_segment_campaigns", "recalled_up_to")
    op.drop_column("customer_segment_campaigns", "recalled_at")
