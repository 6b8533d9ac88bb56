"""Customers by e-mail address (app.imports.EmailBook)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import text

from service.adapters.postgres.database import Database
from service.app.pins import Named

#: Some thousand look-ups in customers_email_idx, however many customers there are.
_BY_INDEX: Final = text(
    "SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)"
)
_CUSTOMERS: Final = text("""
SELECT given.email, c.customer_id, c.external_id
FROM unnest(CAST(:emails AS text[])) AS given(email)
CROSS JOIN LATERAL (
    SELECT customer_id, external_id FROM customers WHERE lower(email) = lower(given.email) AND email IS NOT NULL LIMIT 2
) c
""")


class PostgresEmails:
    """Looks addresses up, each time in a snapshot of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def customers_of(self, emails: Sequence[str]) -> list[tuple[str, Named]]:
        """See EmailBook. Two customers of an address are enough to say that it is not one's own."""
        async with self._database.snapshot() as connection:
            await connection.execute(_BY_INDEX)
            rows = await connection.execute(_CUSTOMERS, {"emails": list(emails)})
            return [(row[0], Named(row[1], row[2])) for row in rows]
