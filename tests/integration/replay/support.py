"""What must be the same before and after input is read again."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from service.adapters.postgres.database import Database
from service.settings import Settings, load_settings
from tests.e2e.product import Change
from tests.integration.test_dead_letters import letters_of
from tests.world import World, members

GARBAGE = b'{broken\n{"specversion":"1.0"}\n["no event"]\n'
MEMBERSHIPS = """
SELECT customer_id, segment_id, ordinal, joined_at, left_at, membership_source, left_reason, recorded_at
FROM customer_segment_memberships ORDER BY 1, 2, 3
"""
LETTERS = 'SELECT id, cluster, topic, partition, "offset", reason FROM dead_letters ORDER BY id'


class Outcome(NamedTuple):
    """All that may not change."""

    members: dict[str, set[str]]
    memberships: list[tuple]
    changes: list[Change]
    letters: list[tuple]
    letters_sent: int


class Told(NamedTuple):
    """What was published into the world, and what came of it."""

    ids: dict[str, str]
    events: list[dict]
    outcome: Outcome


async def outcome_of(made: World, database: Database) -> Outcome:
    """Members, every stay, every published change, every dead letter."""
    async with database.session() as connection:
        memberships = [tuple(row) for row in await connection.fetch(MEMBERSHIPS)]
        letters = [tuple(row) for row in await connection.fetch(LETTERS)]
    return Outcome(await members(database), memberships, made.changes(), letters, len(letters_of(made)))


async def tell(made: World, database: Database, ids: dict[str, str], events: list[dict]) -> Told:
    """Remembers how things are now."""
    return Told(ids, events, await outcome_of(made, database))


def settings_of(made: World) -> Settings:
    """The settings that the world's roles have."""
    names = {name.removeprefix("SEGMENTS_").lower(): value for name, value in made.env.items() if "SEGMENTS_" in name}
    return load_settings(**names)


def replay(made: World, topic: str, source: str, *options: str) -> dict[str, Any]:
    """Runs `segments replay` and reads what it says."""
    return json.loads(made.run("replay", "--topic", topic, "--from", source, "--json", *options))


def refused(made: World, *options: str) -> str:
    """Runs `segments replay`, which must refuse with one sentence and without a traceback."""
    done = made.command("replay", *options)
    said = done.stderr.decode()
    assert done.returncode == 1, (done.stdout, said)
    assert said.count("\n") == 1, said
    return said


async def ends(kafka: str, topic: str, partitions: int) -> dict[int, int]:
    """Where each partition ends."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, group_id=None)
    await consumer.start()
    try:
        found = await consumer.end_offsets([TopicPartition(topic, number) for number in range(partitions)])
        return {place.partition: offset for place, offset in found.items()}
    finally:
        await consumer.stop()
