"""dead letters that were not redriven, by reason: /metrics counts them"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

from migrations.beside import beside_the_release, build_index

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLE: Final = "dead_letters"
NAME: Final = "dead_letters_waiting_idx"


def upgrade() -> None:
    """Builds the index."""
    with beside_the_release():
        build_index(NAME, TABLE, ["reason"], postgresql_where=sa.text("redriven_at IS NULL"))


def downgrade() -> None:
    """Drops it."""
    op.drop_index(NAME, TABLE)
