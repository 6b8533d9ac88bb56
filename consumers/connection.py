"""How consumers connect: FastStream's broker with this service's settings."""

from __future__ import annotations

import os
from typing import Any, Final

from faststream.kafka import KafkaBroker
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from service.adapters.kafka.options import connection_options
from service.settings import Settings

GRACEFUL_SECONDS_MAX: Final = 10.0


def member_id(settings: Settings, *roles: str) -> str | None:
    """A static id for each worker slot: a worker that is started again gets its partitions back at once."""
    slot = os.environ.get("SEGMENTS_WORKER")
    return "-".join((settings.consumer_group, *roles, slot)) if slot else None


def make_broker(settings: Settings) -> KafkaBroker:
    """FastStream's broker with this service's connection settings; creates no topics."""
    options = connection_options(settings)
    return KafkaBroker(
        options["bootstrap_servers"].split(","),
        security=_security(options),
        allow_auto_create_topics=False,
        graceful_timeout=GRACEFUL_SECONDS_MAX,
        logger=None,
    )


def _security(options: dict[str, Any]) -> BaseSecurity | None:
    context = options.get("ssl_context")
    if "sasl_mechanism" not in options:
        return BaseSecurity(ssl_context=context) if context else None
    kinds: dict[str, type[SASLPlaintext | SASLScram256 | SASLScram512]] = {
        "PLAIN": SASLPlaintext,
        "SCRAM-SHA-256": SASLScram256,
        "SCRAM-SHA-512": SASLScram512,
    }
    return kinds[options["sasl_mechanism"]](
        options["sasl_plain_username"],
        options["sasl_plain_password"],
        ssl_context=context,
        use_ssl=context is not None,
    )
