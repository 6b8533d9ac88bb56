"""Stored profiles against the facts: the statements of verify that know the columns of profiles and customers."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from service.adapters.postgres.criteria_sql import Statement, statement
from service.adapters.postgres.fact_figures import LATEST, NOT_GUEST, SEEN, Figures, instant_sql, microseconds_sql
from service.app.verify import ProfileDrift
from service.core.criteria.fields import LOCATION_PARTS
from service.core.identity import customer_uuid
from service.core.instants import to_text
from service.core.profiles.codec import is_intact

_FIGURES: Final = ("total_orders", "total_spent", "first_seen_at", "registered_at", "last_order_at", "last_login_at")
_TEXTS: Final = ("name", "first_name", "email", "phone", "locale", "timezone", "customer_type")
_FLAGS: Final = ("email_subscribed", "sms_subscribed", "push_subscribed")
_ATTRIBUTES: Final = (*_TEXTS, *LOCATION_PARTS.values(), *_FLAGS)

#: Profiles; a stub was once pinned and never had facts. When the last pin goes it stays, for the numbers of its next
#: transitions, and is in no segment.
STANDING: Final = """standing AS (
    SELECT customer_id, first_seen_at = CAST('-9223372036854775808' AS bigint) AND NOT EXISTS (
            SELECT FROM customer_segment_memberships m WHERE m.customer_id = profiles.customer_id AND left_at IS NULL
        ) AS is_stub
    FROM profiles
)"""

#: Customers who are in one place and not in the other, or still there though erased.
PROFILES_ALONE: Final = statement(
    "verify_profiles_alone",
    "Facts without a profile, profiles without facts, and what an erasure left behind.",
    [
        SEEN,
        STANDING,
        "pinned AS (SELECT DISTINCT customer_id FROM pins)",
        f"ordering AS (SELECT DISTINCT customer_id FROM orders WHERE {NOT_GUEST})",  # noqa: S608 - built from constants
    ],
    """SELECT customer_id, coalesce(external_id, CAST(customer_id AS text)) AS external_id, faults
FROM (
    SELECT customer_id, c.external_id, array_remove(ARRAY[
        CASE WHEN e.customer_id IS NOT NULL AND s.customer_id IS NOT NULL THEN 'erased, and has facts' END,
        CASE WHEN e.customer_id IS NOT NULL AND p.customer_id IS NOT NULL THEN 'erased, and has a profile' END,
        CASE WHEN e.customer_id IS NOT NULL AND c.customer_id IS NOT NULL THEN 'erased, and is in customers' END,
        CASE WHEN e.customer_id IS NOT NULL AND n.customer_id IS NOT NULL THEN 'erased, and has pins' END,
        CASE WHEN e.customer_id IS NOT NULL AND o.customer_id IS NOT NULL THEN 'erased, and has orders' END,
        CASE WHEN e.customer_id IS NULL AND p.customer_id IS NULL AND s.customer_id IS NOT NULL
            THEN 'has facts and no profile' END,
        CASE WHEN e.customer_id IS NULL AND p.customer_id IS NULL AND n.customer_id IS NOT NULL
            THEN 'has pins and no profile' END,
        CASE WHEN e.customer_id IS NULL AND p.customer_id IS NULL AND o.customer_id IS NOT NULL
            THEN 'has orders and no profile' END,
        CASE WHEN p.customer_id IS NOT NULL AND s.customer_id IS NULL AND n.customer_id IS NULL AND NOT is_stub
            THEN 'has a profile and no facts' END,
        CASE WHEN p.customer_id IS NOT NULL AND c.customer_id IS NULL THEN 'has a profile and is not in customers' END,
        CASE WHEN e.customer_id IS NULL AND p.customer_id IS NULL AND c.customer_id IS NOT NULL
            THEN 'is in customers and has no profile' END
    ], NULL) AS faults
    FROM seen s
        FULL JOIN standing p USING (customer_id)
        FULL JOIN customers c USING (customer_id)
        FULL JOIN erasures e USING (customer_id)
        FULL JOIN pinned n USING (customer_id)
        FULL JOIN ordering o USING (customer_id)
) AS found
WHERE cardinality(faults) > 0""",
    {},
)

#: Every profile's state, for its checksum, and the id it goes by.
STATES: Final = Statement(
    "verify_states",
    "Every profile's state and the id it goes by.",
    "SELECT p.customer_id, c.external_id, p.state"
    " FROM profiles p LEFT JOIN customers c USING (customer_id) WHERE NOT p.is_over_limit",
    {},
)

#: Traits by the facts: each key from the latest fact that names it, without those set to null. A fact whose traits are
#: null as a whole names all keys.
_TRAITS: Final = f"""told_traits AS (
    SELECT customer_id, jsonb_object_agg(key, value) AS told
    FROM (
        SELECT DISTINCT ON (customer_id, key) customer_id, key, value
        FROM (
            SELECT customer_id, time, sequence, event_id, (pair).key COLLATE "C" AS key, (pair).value AS value
            FROM (
                SELECT customer_id, time, sequence, event_id, jsonb_each(traits) AS pair
                FROM (
                    SELECT customer_id, time, sequence, event_id, data -> 'traits' AS traits,
                        bool_or(jsonb_typeof(data -> 'traits') = 'null')
                            OVER (PARTITION BY customer_id {LATEST}) AS is_removed
                    FROM subjects JOIN customer_facts USING (customer_id)
                    WHERE time <= as_of AND jsonb_typeof(data -> 'traits') IN ('object', 'null')
                ) AS facts
                WHERE NOT is_removed
            ) AS pairs
        ) AS named
        {LATEST.replace("ORDER BY", "ORDER BY customer_id, key,")}
    ) AS latest
    WHERE value <> 'null'
    GROUP BY customer_id
)"""  # noqa: S608 - built from constants

#: Every profile at the latest instant at which it was evaluated. All that was applied lies at or before it: an event
#: moves it to its own time, a late one is applied at once, and one whose time has not come waits until it has. So the
#: facts up to it are those that were applied. Who has more than a profile keeps is left out.
EVALUATED: Final = f"""subjects AS (
    SELECT customer_id, {instant_sql("evaluated_to")} AS as_of FROM profiles WHERE NOT is_over_limit
)"""  # noqa: S608 - built from constants


def profile_statement() -> Statement:
    """Profiles whose columns, or whose customer's, differ: (ids, figures stored and told, names of attributes)."""
    figures = Figures()
    told = {
        "total_orders": figures.total_orders(),
        "total_spent": figures.total_spent(),
        "first_seen_at": microseconds_sql("CASE WHEN first_at <= as_of THEN first_at END"),
        "registered_at": microseconds_sql(figures.registered_at()),
        "last_order_at": microseconds_sql(figures.last_order_at()),
        "last_login_at": microseconds_sql(figures.last_login_at()),
    }
    # No instant is NULL in the columns that may be, and the least bigint in first_seen_at.
    stored = ", ".join(f"nullif(p.{name}, CAST('-9223372036854775808' AS bigint))" for name in _FIGURES)
    differ = [
        f"CASE WHEN CAST(c.{name} AS text) IS DISTINCT FROM ({figures.attribute(name)} #>> '{{}}') THEN '{name}' END"
        for name in _ATTRIBUTES
    ]
    differ.append("CASE WHEN c.traits IS DISTINCT FROM coalesce(told, '{}') THEN 'traits' END")
    query = f"""SELECT * FROM (
    SELECT customer_id, coalesce(c.external_id, CAST(customer_id AS text)) AS external_id,
        CAST(ARRAY[{stored}] AS numeric[]) AS stored,
        CAST(ARRAY[{", ".join(told[name] for name in _FIGURES)}] AS numeric[]) AS told,
        CASE WHEN c.customer_id IS NOT NULL THEN array_remove(ARRAY[{", ".join(differ)}], NULL) ELSE '{{}}' END
            AS attributes
    FROM {figures.source()}
        JOIN profiles p USING (customer_id)
        LEFT JOIN customers c USING (customer_id)
        LEFT JOIN seen USING (customer_id)
        LEFT JOIN told_traits USING (customer_id)
) AS judged
WHERE stored <> told OR cardinality(attributes) > 0"""  # noqa: S608 - built from constants and parameters
    sentence = "Profiles and customers whose columns are not what the facts say."
    tables = [SEEN, EVALUATED, _TRAITS, *figures.tables()]
    return statement("verify_profiles", sentence, tables, query, figures.parameters)


def profile_faults(row: Any) -> ProfileDrift:
    """A row of `profile_statement` in words; figures with their values, personal data by name alone."""
    faults = [
        f"{name}: stored {_shown(name, stored)}, by the facts {_shown(name, told)}"
        for name, stored, told in zip(_FIGURES, row.stored, row.told, strict=True)
        if stored != told
    ]
    faults += [f"{name}: differs from the facts" for name in row.attributes]
    return ProfileDrift(row.customer_id, row.external_id, faults)


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "nothing"
    return to_text(int(value)) if name.endswith("_at") else str(int(value))


def state_faults(row: Any) -> list[str]:
    """What is wrong with a profile's state or id."""
    faults = []
    if not is_intact(row.state):
        faults.append("state: the checksum does not match")
    if row.external_id is not None and _uuid_of(row.external_id) != row.customer_id:
        faults.append("external_id: belongs to another customer")
    return faults


def _uuid_of(external_id: str) -> UUID | None:
    try:
        return customer_uuid(external_id)
    except ValueError:
        return None
