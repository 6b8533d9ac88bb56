"""joins and leaves that wait to be merged into the table of memberships (docs/decisions/0017)"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLE: Final = "membership_changes"
ARRAYS: Final = ("customer_ids", "segment_ids", "ordinals", "instants", "reasons", "segment_versions")


def upgrade() -> None:
    """Makes the table. Its arrays hold ids and instants, which do not compress: they are stored as they are."""
    op.create_table(
        TABLE,
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("changes", sa.Integer, nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("customer_ids", postgresql.ARRAY(sa.Uuid), nullable=False),
        sa.Column("segment_ids", postgresql.ARRAY(sa.Uuid), nullable=False),
        sa.Column("ordinals", postgresql.ARRAY(sa.BigInteger), nullable=False),
        sa.Column("instants", postgresql.ARRAY(sa.DateTime(timezone=True)), nullable=False),
        sa.Column("reasons", postgresql.ARRAY(sa.Text), nullable=False),
        sa.Column("segment_versions", postgresql.ARRAY(sa.Integer), nullable=False),
    )
    for name in ARRAYS:
        op.execute(f"ALTER TABLE {TABLE} ALTER COLUMN {name} SET STORAGE EXTERNAL")


def downgrade() -> None:
    """Drops it; only where nothing waits: what does is in no other table."""
    op.execute(
        f"DO $$ BEGIN IF EXISTS (SELECT FROM {TABLE}) THEN RAISE EXCEPTION "
        "'Membership changes wait to be merged; let the relay run until wait-idle returns.'; END IF; END $$"
    )
    op.drop_table(TABLE)
