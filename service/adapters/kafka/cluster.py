"""Which cluster this is: its offsets mean nothing in another one."""

from __future__ import annotations

from aiokafka.admin import AIOKafkaAdminClient

from service.adapters.kafka.options import connection_options
from service.settings import Settings


async def cluster_id(settings: Settings) -> str:
    """The id that the broker's cluster was given when it was made; empty where it has none.

    Raises:
        KafkaError: the broker is out of reach.
    """
    admin = AIOKafkaAdminClient(**connection_options(settings), request_timeout_ms=10_000)
    try:
        await admin.start()
        return (await admin.describe_cluster()).get("cluster_id") or ""
    finally:
        await admin.close()
