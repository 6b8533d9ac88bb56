"""refunds without an amount: of the order in full"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Lets the amount be missing; takes a moment, whatever the size of the table."""
    op.alter_column("refunds", "amount", nullable=True)


def downgrade() -> None:
    """Forgets refunds in full, which the release before could not have stored."""
    op.execute("DELETE FROM refunds WHERE amount IS NULL")
    op.alter_column("refunds", "amount", nullable=False)
