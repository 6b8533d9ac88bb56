"""`kafka-consumer-groups --reset-offsets`, Kafka's own, works just as well."""

from __future__ import annotations

import subprocess

from service.adapters.postgres.database import Database
from service.stack.artifacts import cache_dir
from service.stack.kafka import tool_command
from tests.integration.replay.support import Told, outcome_of, replay
from tests.world import World, until

TOOL = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"


def reset(made: World, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs the tool on both input topics of this world."""
    group = made.env["SEGMENTS_CONSUMER_GROUP"]
    options = ("--bootstrap-server", made.kafka, "--group", group, "--reset-offsets", *options)
    command = tool_command(cache_dir(made.folder), TOOL, *options, "--topic", made.orders, "--topic", made.customers)
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


async def test_reset_to_earliest(made: World, database: Database, told: Told) -> None:
    """Refused while consumers run; then all is read again from the earliest, and nothing changes."""
    active = reset(made, "--to-earliest", "--execute")
    assert "can only be reset if the group" in active.stdout + active.stderr
    assert [made.stop("consume", slot) for slot in (0, 1)] == [0, 0]
    until(lambda: replay(made, made.orders, "earliest")["active_members"] == 0)

    done = reset(made, "--to-earliest", "--execute")
    assert done.returncode == 0, done.stdout + done.stderr
    for topic in (made.orders, made.customers):
        assert {one["current"] for one in replay(made, topic, "earliest")["partitions"]} == {0}
    made.start("consume", 0)
    made.start("consume", 1)
    made.wait_idle()

    assert await outcome_of(made, database) == told.outcome
    made.verify()
