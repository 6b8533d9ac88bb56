"""orders that name discount codes, by time: what campaigns' codes are looked for in"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

from migrations.beside import beside_the_release, build_index

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLE: Final = "order_facts"
NAME: Final = "order_facts_codes_idx"


def upgrade() -> None:
    """Builds the index; facts without codes, nearly all, are not in it and cost nothing more to write."""
    with beside_the_release():
        build_index(NAME, TABLE, ["time"], postgresql_where=sa.text("discount_codes IS NOT NULL"))


def downgrade() -> None:
    """Drops it."""
    op.drop_index(NAME, TABLE)
