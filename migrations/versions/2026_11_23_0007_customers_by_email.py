"""customers by e-mail address, whatever its case: imports look them up by it

Built beside the release that runs: CONCURRENTLY blocks no write, and waits for transactions without anyone queueing
behind it, so that the timeout against such queues does not apply here. A build that was cut short is begun again.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLE: Final = "customers"
NAME: Final = "customers_email_idx"


def upgrade() -> None:
    """Builds the index."""
    with op.get_context().autocommit_block():
        timeout = op.get_bind().execute(sa.text("SHOW lock_timeout")).scalar_one()
        op.execute("SET lock_timeout = 0")
        op.drop_index(NAME, TABLE, if_exists=True, postgresql_concurrently=True)
        op.create_index(
            NAME,
            TABLE,
            [sa.text("lower(email)")],
            postgresql_where=sa.text("email IS NOT NULL"),
            postgresql_concurrently=True,
        )
        op.execute(f"SET lock_timeout = '{timeout}'")


def downgrade() -> None:
    """Drops it."""
    op.drop_index(NAME, TABLE)
