"""Stored memberships against the facts: the statement of verify that knows who is in which segment."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final
from uuid import UUID

from service.adapters.postgres.criteria_sql import Statement, criteria_sql, statement
from service.adapters.postgres.fact_figures import SEEN, Figures, instant_sql
from service.adapters.postgres.known_segments import Segments
from service.app.verify import KeptSegment
from service.core.instants import to_datetime
from service.core.profiles.codec import decode_state, is_intact
from service.core.profiles.profile import Profile

#: What a stored membership is made of; a sound one is none of it or all.
TRUE, STORED, COUNTED = 1, 2, 4
SOUND: Final = (0, TRUE | STORED | COUNTED)


def membership_statement(segments: Sequence[KeptSegment], known: Segments, now: int) -> Statement:
    """Customers with drift in any of these segments: (ids, as_of, marks by segment, state).

    The instant of a customer and segment is one at which what is stored must hold:

    - now, since every change that time alone brings has been made by then;
    - where that is not so (a timer has not fired, or the service's clock was ahead of this one) the latest instant at
      which the customer was evaluated: nothing changes between it and the timer;
    - not before the definition's own instant where the customer was there before the definition: it was evaluated at
      that instant, and holds from then on.

    Pins hold at every instant, for what is stored follows them at once. But then it is what holds at that moment, which
    may lie after the instant that is looked at; the state, given where the customer has not been evaluated up to now,
    says of which segments that is so (`held_after`).

    Args:
        segments: whose memberships to compare.
        known: these and all that they may refer to.
        now: microseconds.
    """
    figures = Figures(known)
    marks = ",\n    ".join(_marks(segment, figures) for segment in segments)
    now_at = figures.bind(to_datetime(now), "timestamptz")
    query = f"""SELECT customer_id, coalesce(external_id, CAST(customer_id AS text)), as_of, marks,
    CASE WHEN as_of < {now_at} THEN profiles.state END
FROM (
    SELECT customer_id, as_of, ARRAY[{marks}] AS marks
    FROM {figures.source()} JOIN standing USING (customer_id)
) AS judged LEFT JOIN customers USING (customer_id) LEFT JOIN profiles USING (customer_id)
WHERE NOT marks <@ ARRAY[{SOUND[0]}, {SOUND[1]}]"""  # noqa: S608 - built from constants and parameters
    tables = [SEEN, *_standing(segments, figures, now), _subjects(segments, figures), *figures.tables()]
    sentence = "Customers whose stored membership is not what the facts say."
    return statement("verify_memberships", sentence, tables, query, figures.parameters)


def _standing(segments: Sequence[KeptSegment], figures: Figures, now: int) -> list[str]:
    """Everybody who has facts, a profile, a membership or a pin, but for those with more than a profile keeps."""
    listed = figures.bind([segment.segment_id for segment in segments], "uuid[]")
    live = f"""live AS (
    SELECT customer_id, array_agg(segment_id) AS segment_ids
    FROM customer_segment_memberships
    WHERE left_at IS NULL AND segment_id = ANY({listed})
    GROUP BY customer_id
)"""  # noqa: S608 - built from constants and parameters
    now_us = figures.bind(now, "bigint")
    standing = f"""standing AS (
    SELECT customer_id, born, mark, ordinals, segment_ids,
        CASE WHEN next_due_at <= {now_us} OR evaluated_to > {now_us} THEN {instant_sql("evaluated_to")}
            ELSE {figures.bind(to_datetime(now), "timestamptz")} END AS settled_at
    FROM seen
        FULL JOIN profiles USING (customer_id)
        FULL JOIN live USING (customer_id)
        FULL JOIN (SELECT DISTINCT customer_id FROM pins WHERE segment_id = ANY({listed})) AS held USING (customer_id)
    WHERE NOT coalesce(is_over_limit, false)
)"""  # noqa: S608 - as above
    return [live, standing]


def _subjects(segments: Sequence[KeptSegment], figures: Figures) -> str:
    """Each customer at the instant that holds for most segments, and at later ones of definitions, mostly none."""
    floors = sorted({(segment.introduced, segment.since) for segment in segments})
    introduced = figures.bind([floor[0] for floor in floors], "bigint[]")
    since = figures.bind([to_datetime(floor[1]) for floor in floors], "timestamptz[]")
    latest = figures.bind(to_datetime(max(floor[1] for floor in floors)), "timestamptz")
    return f"""subjects AS (
    SELECT customer_id, settled_at AS as_of FROM standing
    UNION
    SELECT customer_id, since
    FROM (SELECT * FROM standing WHERE settled_at < {latest}) AS early
        JOIN unnest({introduced}, {since}) AS floors (introduced, since) ON born < introduced AND settled_at < since
)"""  # noqa: S608 - built from constants and parameters


def _marks(segment: KeptSegment, figures: Figures) -> str:
    """The sum of what says member: the facts, the open membership, an odd count; 0 at other segments' instants."""
    introduced = figures.bind(segment.introduced, "bigint")
    since = figures.bind(to_datetime(segment.since), "timestamptz")
    own = f"as_of = CASE WHEN born < {introduced} THEN greatest(settled_at, {since}) ELSE settled_at END"
    if segment.is_backfilling:
        own += f" AND coalesce(mark >= {introduced}, true)"
    place = figures.bind(segment.slot * 4, "integer")
    is_true = f"CAST({figures.member(segment.segment_id, criteria_sql)} AS integer)"
    is_stored = f"CAST({figures.bind(segment.segment_id, 'uuid')} = ANY(segment_ids) AS integer)"
    # Counts are little-endian, four bytes each; the last bit stands in the first byte.
    is_odd = f"CASE WHEN octet_length(ordinals) > {place} THEN get_byte(ordinals, {place}) & 1 ELSE 0 END"
    summed = f"{TRUE} * {is_true} + {STORED} * coalesce({is_stored}, 0) + {COUNTED} * {is_odd}"
    return f"CASE WHEN {own} THEN {summed} ELSE 0 END"


def held_after(state: bytes | None, as_of: int) -> Collection[int]:
    """Slots of the segments whose membership was changed by hand at a later instant than this, and stands since then.

    Args:
        state: of a profile that has not been evaluated up to now; None of any other.
        as_of: microseconds.
    """
    if state is None or not is_intact(state):
        return ()
    profile = Profile(UUID(int=0), "")
    decode_state(state, profile)
    return [slot for slot, at in profile.held.items() if at > as_of]
