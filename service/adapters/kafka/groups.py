"""The consumer group as operators see it: who is in it, and moving its offsets from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    RebalanceInProgressError,
    UnknownMemberIdError,
    for_code,
)

from service.adapters.kafka.options import connection_options
from service.settings import Settings

GROUP_ID_NOT_FOUND: Final = 69


class GroupActiveError(Exception):
    """The group has members, and the broker lets nobody else move its offsets."""


async def count_members(settings: Settings) -> int:
    """How many members the group has; one that was killed counts until its session ends.

    Raises:
        KafkaError: the broker is out of reach.
    """
    admin = AIOKafkaAdminClient(**connection_options(settings), request_timeout_ms=10_000)
    try:
        await admin.start()
        [answer] = await admin.describe_consumer_groups([settings.consumer_group])
        [group] = answer.to_object()["groups"]
        code = group["error_code"]
        if code and code != GROUP_ID_NOT_FOUND:
            raise for_code(code)
        return len(group["members"])
    finally:
        await admin.close()


def owned_partitions(group: Mapping[str, Any]) -> set[tuple[str, int]]:
    """The partitions that a described group's members own.

    Raises:
        KafkaError: the group could not be described.
    """
    code = group["error_code"]
    if code and code != GROUP_ID_NOT_FOUND:
        raise for_code(code)
    found = set()
    for member in group["members"]:
        if member["member_assignment"]:
            assignment = ConsumerProtocolMemberAssignment.decode(member["member_assignment"])
            found |= {(place.topic, place.partition) for place in assignment.partitions()}
    return found


async def move_offsets(settings: Settings, offsets: Mapping[tuple[str, int], int]) -> None:
    """Commits these offsets for the group, which must have no members: as `kafka-consumer-groups` does (KIP-122).

    Raises:
        GroupActiveError: somebody has joined.
        KafkaError: the broker is out of reach.
    """
    consumer = AIOKafkaConsumer(
        **connection_options(settings), group_id=settings.consumer_group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        wanted = {TopicPartition(topic, partition): offset for (topic, partition), offset in offsets.items()}
        consumer.assign(list(wanted))
        await consumer.commit(wanted)
    except (CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError):
        raise GroupActiveError from None
    finally:
        await consumer.stop()
