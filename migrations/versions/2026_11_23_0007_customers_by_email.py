"""customers by e-mail address, whatever its case: imports look them up by it"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

from migrations.beside import beside_the_release, build_index

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLE: Final = "customers"
NAME: Final = "customers_email_idx"


def upgrade() -> None:
    """Builds the index."""
    with beside_the_release():
        build_index(NAME, TABLE, [sa.text("lower(email)")], postgresql_where=sa.text("email IS NOT NULL"))


def downgrade() -> None:
    """Drops it."""
    op.drop_index(NAME, TABLE)
