"""Indexes on tables that the release before goes on to write to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import op


@contextmanager
def beside_the_release() -> Iterator[None]:
    """For `build_index`: outside of any transaction, and without the timeout that other migrations have.

    CONCURRENTLY blocks no write, and waits for transactions without anyone queueing behind it, so that the timeout
    against such queues does not apply.
    """
    with op.get_context().autocommit_block():
        timeout = op.get_bind().execute(sa.text("SHOW lock_timeout")).scalar_one()
        op.execute("SET lock_timeout = 0")
        yield
        op.execute(f"SET lock_timeout = '{timeout}'")


def build_index(name: str, table: str, columns: Sequence[Any], **options: Any) -> None:
    """Builds an index; one whose build was cut short is begun again."""
    op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
    op.create_index(name, table, columns, postgresql_concurrently=True, **options)
