"""The topics of the service, created where they are missing (CONTRACT section 7)."""

from __future__ import annotations

from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from service.adapters.kafka.options import MESSAGE_BYTES_MAX, connection_options
from service.settings import Settings

#: The relay's marker: what its last transaction sent. One partition, compacted.
MARKER_SUFFIX: Final = "-relay"

#: Copies of each partition, where there are so many brokers.
REPLICATION_MAX: Final = 3

_KEPT: Final = {"retention.ms": "-1", "message.timestamp.type": "LogAppendTime"}


def marker_topic(settings: Settings) -> str:
    """Where the relay notes which outbox rows its last transaction held."""
    return settings.membership_topic + MARKER_SUFFIX


def wanted_topics(settings: Settings, replication: int) -> list[NewTopic]:
    """Topics with their settings."""

    def topic(name: str, partitions: int, **options: str) -> NewTopic:
        return NewTopic(name, partitions, replication, topic_configs={**_KEPT, **options})

    large = {"max.message.bytes": str(MESSAGE_BYTES_MAX)}
    return [
        topic(settings.orders_topic, settings.partitions, **large),
        topic(settings.customers_topic, settings.partitions, **large),
        topic(settings.membership_topic, settings.partitions),
        topic(settings.dead_letter_topic, settings.partitions, **large),
        topic(settings.messages_topic, settings.partitions),
        topic(settings.engagement_topic, settings.partitions),
        topic(marker_topic(settings), 1, **{"cleanup.policy": "compact", "segment.ms": "3600000"}),
    ]


async def create_topics(settings: Settings) -> list[str]:
    """Creates what is missing; gives the names of what was created.

    Raises:
        KafkaError: the broker refused or is out of reach.
    """
    admin = AIOKafkaAdminClient(**connection_options(settings))
    try:
        await admin.start()
        present = set(await admin.list_topics())
        brokers = len((await admin.describe_cluster())["brokers"])
        wanted = wanted_topics(settings, min(REPLICATION_MAX, brokers))
        missing = [topic for topic in wanted if topic.name not in present]
        if missing:
            response = await admin.create_topics(missing)
            _raise_unless_created(response)
        return [topic.name for topic in missing]
    finally:
        await admin.close()


def _raise_unless_created(response: Any) -> None:
    for name, code, *rest in response.topic_errors:
        if code and for_code(code) is not TopicAlreadyExistsError:
            reason = rest[0] if rest and rest[0] else for_code(code).__name__
            raise for_code(code)(f"The topic {name} could not be created: {reason}")
