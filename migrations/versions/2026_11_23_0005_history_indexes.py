"""a segment's history in order: open stays by their begin, ended ones by their end

Built beside the release that runs: CONCURRENTLY blocks no write, and waits for transactions without anyone queueing
behind it, so that the timeout against such queues does not apply here. A build that was cut short is begun again.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

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
    with op.get_context().autocommit_block():
        timeout = op.get_bind().execute(sa.text("SHOW lock_timeout")).scalar_one()
        op.execute("SET lock_timeout = 0")
        for name, columns, stays in INDEXES:
            op.drop_index(name, TABLE, if_exists=True, postgresql_concurrently=True)
            op.create_index(name, TABLE, columns, postgresql_where=sa.text(stays), postgresql_concurrently=True)
        op.execute(f"SET lock_timeout = '{timeout}'")


def downgrade() -> None:
    """Drops both."""
    for name, _, stays in INDEXES:
        op.drop_index(name, TABLE, postgresql_where=sa.text(stays))
