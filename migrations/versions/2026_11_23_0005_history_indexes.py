"""a segment's history in order: open stays by their begin, ended ones by their end"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

from migrations.beside import beside_the_release, build_index

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLE: Final = "customer_segment_memberships"
#: Name, columns, which stays.
INDEXES: Final = (
    ("memberships_open_idx", ["segment_id", "joined_at", "customer_id"], "left_at IS NULL"),
    ("memberships_ended_idx", ["segment_id", "left_at", "customer_id"], "left_at IS NOT NULL"),
)


def upgrade() -> None:
    """Builds both."""
    with beside_the_release():
        for name, columns, stays in INDEXES:
            build_index(name, TABLE, columns, postgresql_where=sa.text(stays))


def downgrade() -> None:
    """Drops both."""
    for name, _, stays in INDEXES:
        op.drop_index(name, TABLE, postgresql_where=sa.text(stays))
