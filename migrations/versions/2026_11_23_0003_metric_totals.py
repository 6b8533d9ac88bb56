"""what the roles have counted, for /metrics: sums over all processes and restarts"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates one small table; the release before does not look at it."""
    op.create_table(
        "metric_totals",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", "labels", name=op.f("metric_totals_pkey")),
        postgresql_with={"fillfactor": "50"},
    )


def downgrade() -> None:
    """Drops it."""
    op.drop_table("metric_totals")
