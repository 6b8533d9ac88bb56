"""Alembic's entry: runs the migrations on the connection that `service.adapters.postgres.migrate` hands over."""

from __future__ import annotations

from alembic import context

from service.adapters.postgres.tables import metadata
from service.crash import crash_point

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    compare_type=True,
    compare_server_default=False,
    transaction_per_migration=True,
    on_version_apply=lambda **_: crash_point("schema-written"),
)
with context.begin_transaction():
    context.run_migrations()
