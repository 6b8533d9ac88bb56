"""One corrupt profile does not hold up everybody else."""

from __future__ import annotations

import json

from service.adapters.postgres.database import Database
from tests import shop
from tests.world import World, create, members


class TestCorruptProfile:
    """A profile whose state does not match its checksum."""

    async def test_backfills_and_batches_go_on_without_it(self, made: World, database: Database) -> None:
        """Others are backfilled and their events applied; the one is counted, its event set aside, verify finds it."""
        made.start_all()
        events = shop.events(customers=12, count=200, seed=31)
        made.publish(events, "--topic", made.orders)
        made.wait_idle()
        victim = "c0003"
        async with database.batch() as connection:
            done = await connection.execute(
                "UPDATE profiles p SET state = '\\x00' FROM customers c "
                "WHERE c.customer_id = p.customer_id AND c.external_id = $1",
                victim,
            )
            assert done == "UPDATE 1"

        await create(database, {"everybody": {}}, shop.CLOCK)
        made.publish(
            [
                {**events[-1], "id": f"late-{n}", "data": {**events[-1]["data"], "customer_id": c}}
                for n, c in enumerate((victim, "c0004"))
            ]
        )
        made.wait_idle()

        customers = {event["data"]["customer_id"] for event in events}
        assert (await members(database))["everybody"] == customers - {victim}
        status = json.loads(made.run("status", "--json"))
        assert status["customers_set_aside"] == 1
        assert status["dead_letters"] == {"not_applicable": 1}
        assert made.command("verify").returncode == 1
