"""What lies on topics, read to the end that they have now."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

#: Records of the largest tests come whole.
FETCH_BYTES = 50_000_000


async def read_topics(kafka: str, *topics: str, **options: Any) -> list[ConsumerRecord]:
    """All records of these topics under read_committed, in order of topic, partition and offset."""
    settings = {"isolation_level": "read_committed", "group_id": None, "fetch_max_bytes": FETCH_BYTES, **options}
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, **settings)
    await consumer.start()
    try:
        for topic in topics:
            consumer._client.add_topic(topic)
        await consumer._client.force_metadata_update()
        places = [TopicPartition(one, number) for one in topics for number in consumer.partitions_for_topic(one)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        # seek, not seek_to_beginning: that one races with the client's own reset to the end after assign.
        for place, begin in (await consumer.beginning_offsets(places)).items():
            consumer.seek(place, begin)
        found: list[ConsumerRecord] = []
        while any([await consumer.position(place) < ends[place] for place in places]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += records
        return sorted(found, key=lambda one: (one.topic, one.partition, one.offset))
    finally:
        await consumer.stop()


def topics_now(kafka: str, *topics: str) -> list[ConsumerRecord]:
    """As `read_topics`, for tests without a loop of their own or beside one that runs."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(lambda: asyncio.run(read_topics(kafka, *topics))).result()
