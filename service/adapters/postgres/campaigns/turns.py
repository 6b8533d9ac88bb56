"""Whose turn it is with a campaign: who pauses or cancels it comes before the messages that are decided after.

Messages hold their campaign's row shared. PostgreSQL lets one holder after another in while somebody waits to change
the row, so that with several dispatchers a pause would wait for as long as there is something to send. Advisory locks
have a queue: who holds the row shared takes one first, and whoever wants to change it is waited for.
"""

from __future__ import annotations

from typing import Final

_KEY: Final = "7300007, hashtext({}::text)"
#: $1 is the campaign. For who changes it.
CHANGE: Final = f"SELECT pg_advisory_xact_lock({_KEY.format('$1::uuid')})"
#: $1 is the campaign. For who needs it to stay as it is.
SHARE: Final = f"SELECT pg_advisory_xact_lock_shared({_KEY.format('$1::uuid')})"
#: $1 are campaigns, taken in their order so that nobody waits crosswise.
SHARE_ALL: Final = f"""
SELECT pg_advisory_xact_lock_shared({_KEY.format("id")})
FROM (SELECT id FROM unnest($1::uuid[]) AS id ORDER BY hashtext(id::text) OFFSET 0) k
"""  # noqa: S608 - as above
