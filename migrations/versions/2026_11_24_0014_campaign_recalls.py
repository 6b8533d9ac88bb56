"""cancelled campaigns call back what was asked of downstream services"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the instant at which all of a cancelled campaign was called back; of those of before nothing is."""
    op.add_column("customer_segment_campaigns", sa.Column("recalled_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE customer_segment_campaigns SET recalled_at = now() WHERE state = 'cancelled'")


def downgrade() -> None:
    """Drops it."""
    op.drop_column("customer_segment_campaigns", "recalled_at")
