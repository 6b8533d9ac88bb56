"""`segments serve`: the HTTP API."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

import typer
from aiokafka.admin import AIOKafkaAdminClient

from service.adapters.kafka.options import connection_options
from service.adapters.postgres.pulse import watched
from service.bootstrap import open_database
from service.cli.run import run_role
from service.clock import make_clock
from service.settings import Settings

CONNECTIONS: Final = 10


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes any free one.")] = 8000,
) -> None:
    """Serve the HTTP API; /docs shows it."""

    async def work(settings: Settings, stop: asyncio.Event) -> None:
        await _serve(settings, host, port, stop)

    run_role("serve", work)


async def _serve(settings: Settings, host: str, port: int, stop: asyncio.Event) -> None:
    from service.api.app import build_app
    from service.api.server import serve_api
    from service.api.tidying import tidying

    async def broker_check() -> None:
        await check_broker(settings)

    database = open_database(settings, "serve", pool_size=CONNECTIONS)
    probe = open_database(settings, "serve-pulse", pool_size=1)
    try:
        app = build_app(settings, database, make_clock(settings.fixed_clock), broker_check)
        try:
            async with watched(database, probe, settings.database_silence_seconds_max), tidying(database):
                await serve_api(app, app.state.traffic, host, port, stop)
        finally:
            await app.state.intake.publisher.close()
            await app.state.broker.close()
    finally:
        await database.close()


async def check_broker(settings: Settings) -> None:
    """Asks the broker for its metadata, on a connection of its own.

    Raises:
        KafkaError: the broker does not answer.
        SettingsError: none is named.
    """
    client = AIOKafkaAdminClient(**connection_options(settings))
    try:
        await client.start()
        await client.describe_cluster()
    finally:
        await client.close()
