"""Every look-up of the hot path goes through the index it was written for, whatever is known about the tables.

Plans are kept for a connection's life, so that one made on an empty table stays; and a partial index that fits may look
cheaper than the key, and scan a whole segment for each customer.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.adapters.postgres import batch_sql as sql
from service.adapters.postgres import membership_changes as changes
from service.adapters.postgres.database import Database
from tests.facts import Service
from tests.integration.verify import plain

#: Both begin with the customer, who has few.
OF_REFUNDS = {"refunds_pkey", "refunds_order_idx"}
#: Statement -> the indexes it may use.
LOOK_UPS = {
    "lock_profiles": (sql.LOCK_PROFILES, {"profiles_pkey"}),
    "lock_due": (sql.LOCK_DUE, {"profiles_due_idx"}),
    "erased": (sql.ERASED, {"erasures_pkey"}),
    "orders_touched": (sql.ORDERS_TOUCHED, {"order_facts_pkey"}),
    "refunds_of_orders": (sql.REFUNDS_OF_ORDERS, OF_REFUNDS),
    "refunds_touched": (sql.REFUNDS_TOUCHED, OF_REFUNDS),
    "known_customer_facts": (sql.KNOWN_CUSTOMER_FACTS, {"customer_facts_pkey"}),
    "known_activities": (sql.KNOWN_ACTIVITIES, {"activities_pkey"}),
    "update_profiles": (sql.UPDATE_PROFILES, {"profiles_pkey"}),
    "update_customers": (sql.UPDATE_CUSTOMERS, {"customers_pkey"}),
    "update_orders": (sql.UPDATE_ORDERS, {"orders_pkey"}),
    "delete_orders": (sql.DELETE_ORDERS, {"orders_pkey"}),
    "close_memberships": (sql.CLOSE_MEMBERSHIPS, {"customer_segment_memberships_pkey"}),
    "merged_closes": (changes.CLOSE, {"customer_segment_memberships_pkey", "erasures_pkey", "membership_changes_pkey"}),
    "merged_opens": (changes.OPEN, {"erasures_pkey", "membership_changes_pkey"}),
}
SCANS = {"Index Scan", "Index Only Scan", "Bitmap Index Scan"}


@pytest.fixture
async def hot(database_url: str) -> Any:
    """A pool as batches have it."""
    made = Database.connect(database_url, role="tests", pool_size=2, is_hot=True)
    yield made
    await made.close()


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """All nodes of a plan."""
    return [plan, *(node for part in plan.get("Plans", ()) for node in nodes(part))]


async def used(hot: Database, statement: str) -> set[str]:
    """The indexes a statement looks into, and the tables it scans."""
    async with hot.session() as connection:
        arguments = ", ".join("NULL" for _ in (await connection.prepare(statement)).get_parameters())
        await connection.execute(f"PREPARE one AS {statement}")
        (row,) = await connection.fetch(f"EXPLAIN (FORMAT JSON) EXECUTE one ({arguments})")
        await connection.execute("DEALLOCATE one")
    plan = json.loads(row[0]) if isinstance(row[0], str) else row[0]  # as the pool decodes JSON
    found = nodes(plan[0]["Plan"])
    scanned = {f"scan of {node['Relation Name']}" for node in found if node["Node Type"] == "Seq Scan"}
    return {node["Index Name"] for node in found if node["Node Type"] in SCANS} | scanned


@pytest.mark.parametrize("state", ["empty", "filled", "analyzed"])
async def test_look_ups_use_their_index(database: Database, hot: Database, state: str) -> None:
    """On tables of which nothing is known yet, on small ones, and with statistics."""
    if state != "empty":
        await plain.sound_service(database)
    if state == "analyzed":
        await Service(database, "EUR").run("ANALYZE")
    wrong = {}
    for name, (statement, allowed) in LOOK_UPS.items():
        found = await used(hot, statement)
        if found - allowed or not found:
            wrong[name] = found
    assert not wrong
