"""The last step of a recovery: the statements of app.recover.RecoverStore."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final
from uuid import UUID

from service.adapters.postgres.database import CATALOGUE_LOCK
from service.adapters.postgres.store import PostgresStore
from service.app.outgoing import encode_outbox
from service.app.ports import DeadLetter
from service.app.recover import Difference, Named, Published, Renumbered
from service.core.instants import from_datetime
from service.core.segments.walk import Transition

#: The last published ordinals, for this transaction alone.
MAKE_PUBLISHED: Final = """
CREATE TEMPORARY TABLE IF NOT EXISTS published (
    customer_id uuid NOT NULL, external_id text NOT NULL, segment_id uuid NOT NULL, ordinal bigint NOT NULL,
    PRIMARY KEY (customer_id, segment_id)
) ON COMMIT DROP
"""
NOTE_PUBLISHED: Final = """
INSERT INTO published SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::bigint[])
ON CONFLICT (customer_id, segment_id) DO UPDATE SET ordinal = GREATEST(published.ordinal, EXCLUDED.ordinal)
"""
HOLD_CATALOGUE: Final = "SELECT pg_advisory_xact_lock($1)"

#: Topic and table side by side. A membership that has ended counts one more than the ordinal of its join.
_COMPARED: Final = """
    SELECT customer_id, segment_id, coalesce(p.ordinal, 0) AS published, coalesce(m.ordinal, 0) AS stored, m.at,
        m.reason
    FROM published p
    FULL JOIN (
        SELECT DISTINCT ON (customer_id, segment_id) customer_id, segment_id,
            CASE WHEN left_at IS NULL THEN ordinal ELSE ordinal + 1 END AS ordinal,
            coalesce(left_at, joined_at) AS at, coalesce(left_reason, membership_source) AS reason
        FROM customer_segment_memberships ORDER BY customer_id, segment_id, ordinal DESC
    ) m USING (customer_id, segment_id)
"""
COUNTS: Final = f"""
SELECT count(*) FILTER (WHERE published % 2 = 1 AND stored % 2 = 1),
    count(*) FILTER (WHERE published % 2 = 1 AND (s.id IS NULL OR (k.customer_id IS NULL AND e.customer_id IS NULL)))
FROM ({_COMPARED}) AS compared
LEFT JOIN profiles k USING (customer_id) LEFT JOIN erasures e USING (customer_id)
LEFT JOIN customer_segments s ON s.id = segment_id
"""  # noqa: S608 - built from constants
_NAMED: Final = "s.id, s.slot, s.segment_name, s.version, s.status = 'active' AND NOT s.is_deleted"
DIFFERENCES: Final = f"""
SELECT customer_id, c.external_id, k.ordinals, published, stored, at, reason, {_NAMED}
FROM ({_COMPARED}) AS compared
JOIN profiles k USING (customer_id) JOIN customers c USING (customer_id)
JOIN customer_segments s ON s.id = segment_id
WHERE published <> stored
ORDER BY customer_id
"""  # noqa: S608 - built from constants
ERASED: Final = f"""
SELECT customer_id, p.external_id, p.ordinal, {_NAMED}
FROM published p JOIN erasures USING (customer_id) JOIN customer_segments s ON s.id = p.segment_id
WHERE p.ordinal % 2 = 1
"""  # noqa: S608 - built from constants
#: Far above all ordinals and then down again, for no two may be equal in between.
RENUMBER: Final = tuple(
    f"""
UPDATE customer_segment_memberships m SET ordinal = m.ordinal {change}
FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS u (customer_id, segment_id, shift)
WHERE m.customer_id = u.customer_id AND m.segment_id = u.segment_id
"""  # noqa: S608 - built from constants
    for change in ("+ u.shift + 1000000000000", "- 1000000000000")
)
PUT_ORDINALS: Final = """
UPDATE profiles p SET ordinals = u.ordinals
FROM unnest($1::uuid[], $2::bytea[]) AS u (customer_id, ordinals) WHERE p.customer_id = u.customer_id
"""
IS_RECOVERING: Final = "SELECT recovering IS NOT NULL FROM catalogue"
END: Final = "UPDATE catalogue SET recovering = NULL"


class PostgresRecovery(PostgresStore):
    """One transaction's statements."""

    async def note_published(self, last: Sequence[Published]) -> None:
        """See RecoverStore."""
        if last:
            await self.connection.execute(NOTE_PUBLISHED, *zip(*last, strict=True))

    async def hold_catalogue(self) -> bool:
        """See RecoverStore."""
        await self.connection.execute("ANALYZE published")
        await self.connection.execute(HOLD_CATALOGUE, CATALOGUE_LOCK)
        await self.merge_memberships()
        return bool(await self.connection.fetchval(IS_RECOVERING))

    async def counts(self) -> tuple[int, int]:
        """See RecoverStore."""
        agreed, forgotten = await self.connection.fetchrow(COUNTS)
        return agreed, forgotten

    async def differences(self) -> AsyncIterator[Difference]:
        """See RecoverStore."""
        async for row in self.connection.cursor(DIFFERENCES, prefetch=5_000):
            customer_id, external_id, ordinals, published, stored, at, reason, *named = row
            instant = None if at is None else from_datetime(at)
            yield Difference(customer_id, external_id, ordinals, Named(*named), published, stored, instant, reason)

    async def erased_members(self) -> AsyncIterator[tuple[UUID, str, Named, int]]:
        """See RecoverStore."""
        async for customer_id, external_id, ordinal, *named in self.connection.cursor(ERASED):
            yield customer_id, external_id, Named(*named), ordinal

    async def renumber(self, memberships: Sequence[Renumbered]) -> None:
        """See RecoverStore."""
        columns = list(zip(*memberships, strict=True))
        for statement in RENUMBER:
            await self.connection.execute(statement, *columns)

    async def put_ordinals(self, ordinals: Sequence[tuple[UUID, bytes]]) -> None:
        """See RecoverStore."""
        await self._exactly(len(ordinals), PUT_ORDINALS, *zip(*ordinals, strict=True))

    async def write_outbox(
        self, transitions: Sequence[Transition], recorded_at: int, letters: Sequence[DeadLetter]
    ) -> None:
        """See RecoverStore; what was suppressed until now was counted when it was stored."""
        found = encode_outbox(self._outgoing, transitions, recorded_at, letters, is_counted=True)
        await self._write_outbox_rows(found)

    async def make(self) -> None:
        """Makes room for what was published; first of all."""
        await self.connection.execute(MAKE_PUBLISHED)

    async def end_recovery(self) -> None:
        """See RecoverStore."""
        await self.connection.execute(END)
