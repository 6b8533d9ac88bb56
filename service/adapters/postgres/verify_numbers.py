"""Profiles against memberships: the statement of verify that knows how transitions are numbered (docs/decisions/0006).

A profile that counts less than the table would give a number away twice. A count that is odd for who is no member, or
even for a member, is drift of that membership, and found there.
"""

from __future__ import annotations

from typing import Any, Final

from service.adapters.postgres.criteria_sql import Statement
from service.app.verify import ProfileDrift

#: Counts are little-endian, four bytes a slot.
_COUNT: Final = " + ".join(
    f"CASE WHEN octet_length(p.ordinals) > s.slot * 4 + {byte}"
    f" THEN CAST(get_byte(p.ordinals, s.slot * 4 + {byte}) AS bigint) << {8 * byte} ELSE 0 END"
    for byte in range(4)
)

#: Customers whose profile has not counted all transitions that are stored, or whose open membership has another number.
NUMBERS: Final = Statement(
    "verify_numbers",
    "Customers whose transitions are not numbered as their memberships say.",
    f"""SELECT customer_id, coalesce(external_id, CAST(customer_id AS text)) AS external_id, differing
FROM (
    SELECT customer_id, count(*) AS differing
    FROM (
        SELECT m.customer_id, m.segment_id, max(m.ordinal + CAST(m.left_at IS NOT NULL AS integer)) AS least,
            max(m.ordinal) FILTER (WHERE m.left_at IS NULL) AS open
        FROM customer_segment_memberships m
        GROUP BY m.customer_id, m.segment_id
    ) AS told
        JOIN customer_segments s ON s.id = told.segment_id
        JOIN profiles p USING (customer_id)
        CROSS JOIN LATERAL (SELECT {_COUNT} AS counted) AS profile
    WHERE NOT p.is_over_limit AND counted % 2 = CAST(open IS NOT NULL AS integer)
        AND (least > counted OR open <> counted)
    GROUP BY customer_id
) AS judged LEFT JOIN customers USING (customer_id)""",  # noqa: S608 - built from constants
    {},
)


def number_faults(row: Any) -> ProfileDrift:
    """A row of NUMBERS in words."""
    return ProfileDrift(
        row.customer_id, row.external_id, [f"transitions: numbered otherwise in {row.differing} segments"]
    )
