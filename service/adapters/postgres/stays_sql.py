"""Stays in a segment: half-open, by the instants at which they took effect; one that ended as it began never was."""

from __future__ import annotations

from typing import Final

_STAYS: Final = """
    SELECT customer_id, joined_at, left_at FROM customer_segment_memberships
    WHERE segment_id = :segment_id AND joined_at <= :as_of AND """

#: All stays of :segment_id that began by :as_of. Open ones and ended ones apart, for each has an index.
STAYS: Final = f"""stays AS (
    {_STAYS} left_at IS NULL
    UNION ALL
    {_STAYS} left_at IS NOT NULL AND left_at > joined_at
)"""

#: The members of :segment_id at :as_of.
MEMBERS_THEN: Final = f"""members AS (
    SELECT customer_id FROM ({_STAYS} left_at IS NULL UNION ALL {_STAYS} left_at > :as_of) AS held
)"""  # noqa: S608 - built from constants

#: The members of :segment_id as they are.
MEMBERS_NOW: Final = """members AS (
    SELECT customer_id FROM customer_segment_memberships WHERE segment_id = :segment_id AND left_at IS NULL
)"""

#: How many stays began and ended at which of the ascending :moments, the first of them :first, the last :as_of. A place
#: counts the moments before an instant. Stays that ended by the first moment touch none of them.
FLOW: Final = """/* segment_flow - Joins and leaves of a segment by moment. */
SELECT joined_place, left_place, count(*) AS stays
FROM (
    SELECT CASE WHEN joined_at <= :first THEN 0
            ELSE width_bucket(joined_at - interval '1 microsecond', CAST(:moments AS timestamptz[])) END
            AS joined_place,
        CAST(NULL AS integer) AS left_place
    FROM customer_segment_memberships
    WHERE segment_id = :segment_id AND left_at IS NULL AND joined_at <= :as_of
    UNION ALL
    SELECT width_bucket(joined_at - interval '1 microsecond', CAST(:moments AS timestamptz[])),
        CASE WHEN left_at <= :as_of
            THEN width_bucket(left_at - interval '1 microsecond', CAST(:moments AS timestamptz[])) END
    FROM customer_segment_memberships
    WHERE segment_id = :segment_id AND left_at > :first AND left_at > joined_at AND joined_at <= :as_of
) AS placed
GROUP BY joined_place, left_place
"""

#: Members at :window_ago whose stay ended by :as_of, and who are members then by another stay. Few left, so that each
#: of them is looked up.
RETURNED: Final = """/* segment_returned - Who left and came back. */
SELECT count(*)
FROM customer_segment_memberships AS past CROSS JOIN LATERAL (
    SELECT FROM customer_segment_memberships
    WHERE customer_id = past.customer_id AND segment_id = :segment_id AND joined_at <= :as_of
        AND (left_at IS NULL OR left_at > :as_of)
    LIMIT 1
) AS held
WHERE segment_id = :segment_id AND joined_at <= :window_ago AND left_at > :window_ago AND left_at <= :as_of
"""
