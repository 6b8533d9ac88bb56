"""What verify found last is kept for /metrics."""

from __future__ import annotations

from service.adapters.postgres import counters
from service.adapters.postgres.gauges import read_gauges
from service.adapters.postgres.verify import verify
from service.app import metrics
from service.app.metrics import Values
from tests.facts import Service
from tests.integration.verify.plain import NOW, apply_change, ids_of


async def gauges(service: Service) -> Values:
    """What /metrics would ask for."""
    async with service.database.session() as connection:
        return await read_gauges(connection, NOW)


async def test_all_of_it_is_noted(service: Service) -> None:
    """A look at everything notes how many customers differ, and when; a look at one segment does not."""
    ids = await ids_of(service.database)
    before = await gauges(service)
    await verify(service.database, None, NOW)
    sound = await gauges(service)
    for change in ("a membership is lost", "a total is changed"):
        await apply_change(service, change)
    await verify(service.database, [ids["big"]], NOW)
    unnoted = await gauges(service)
    report = await verify(service.database, None, NOW)
    found = await gauges(service)

    assert (metrics.DRIFT.name, ()) not in before
    assert (sound[metrics.DRIFT.name, ()], unnoted[metrics.DRIFT.name, ()]) == (0, 0)
    assert found[metrics.DRIFT.name, ()] == len(report.customer_ids) > 0
    assert found[metrics.VERIFIED.name, ()] > sound[metrics.VERIFIED.name, ()]


async def test_a_database_that_cannot_be_written_to(service: Service) -> None:
    """Verify answers all the same."""
    async with service.database.session() as connection:
        database = await connection.fetchval("SELECT current_database()")
        await connection.execute(f'ALTER DATABASE "{database}" SET default_transaction_read_only = on')
    await service.database.engine.dispose()
    report = await verify(service.database, None, NOW)

    assert not report.has_drift
    async with service.database.session() as connection:
        assert await connection.fetchval(counters.VALUE, counters.DRIFT_CUSTOMERS) is None
