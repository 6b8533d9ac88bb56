"""facts of orders without a customer: what they come to is summed for each answer of analytics"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

from migrations.beside import beside_the_release, build_index

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLE: Final = "order_facts"
NAME: Final = "order_facts_guests_idx"
GUESTS: Final = "customer_id = '00000000-0000-0000-0000-000000000000'"


def upgrade() -> None:
    """Builds the index; facts of customers are not in it and cost nothing more to write."""
    with beside_the_release():
        build_index(
            NAME,
            TABLE,
            ["order_id"],
            postgresql_include=["kind", "time", "total", "is_test"],
            postgresql_where=sa.text(GUESTS),
        )


def downgrade() -> None:
    """Drops it."""
    op.drop_index(NAME, TABLE)
