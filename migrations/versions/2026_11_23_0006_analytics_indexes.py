"""orders, refunds and cancellations by time: what analytics ask of late"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

from migrations.beside import beside_the_release, build_index

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

#: Name, table, what the index holds beside the instant, which rows, column of the instant.
INDEXES: Final = (
    ("orders_placed_idx", "orders", "placed_at", ["customer_id", "amount"], None),
    ("refunds_time_idx", "refunds", "time", None, None),
    ("order_facts_cancelled_idx", "order_facts", "time", None, sa.text("kind = 'cancelled'")),
)


def upgrade() -> None:
    """Builds all of them."""
    with beside_the_release():
        for name, table, column, held, rows in INDEXES:
            build_index(name, table, [column], postgresql_include=held, postgresql_where=rows)


def downgrade() -> None:
    """Drops all of them."""
    for name, table, *_ in INDEXES:
        op.drop_index(name, table)
