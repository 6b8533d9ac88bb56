"""Campaigns from a join, from a due instant and to a mail server: real roles on servers of their own.

    python -m benchmarks.dispatch                # about 6 minutes
    python -m benchmarks.dispatch --quick
    python -m benchmarks.dispatch --only joins

joins: customers come at a steady rate and join a segment for which an SMS campaign listens. A message's time runs from
the receipt of `segment.joined` by a subscriber of the membership topic to that of `campaign.message.requested` by one
of the messages' topic, both in one process with read_committed.
mails: one campaign to many customers, to an SMTP server in a process of its own that keeps nothing; before and after
it the bare client of `benchmarks.mail` sends as many mails of nearly the same size to the same server.
audience: from the instant at which a campaign is due to the commit of a message for each member.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from benchmarks import machine, mail
from benchmarks.command import arguments
from benchmarks.latency import summary
from benchmarks.preview import fill
from benchmarks.stack import Roles, Run, running_servers
from benchmarks.throughput import HEADERS
from service.adapters.kafka.options import connection_options
from service.adapters.postgres.campaigns.store import PostgresCampaigns
from service.core import instants
from service.core.campaigns.model import Campaign, Options
from service.logs import configure_logs
from service.stack.servers import Servers

DROPPED_SECONDS: Final = 3
TICK_SECONDS: Final = 0.01
LOOK_SECONDS: Final = 0.25
SECONDS_MAX: Final = 900
SECRET: Final = "a secret of the benchmark, long enough for links"  # noqa: S105
SEGMENT: Final = UUID(int=2)
#: One segment, all are in it, and may be written to. $1 is its id.
MEMBERS: Final = (
    """INSERT INTO customer_segments (id, segment_name, segment_type, status, criteria, version, introduced, since,
    is_kept, backfill_state, created_by, customer_count)
SELECT CAST($1 AS uuid), 'Everybody', 'dynamic', 'active', '{}', 1, 1, 0, true, 'done', 'benchmark', count(*)
FROM profiles""",
    """INSERT INTO segment_versions (segment_id, version, criteria, created_by)
VALUES (CAST($1 AS uuid), 1, '{}', 'benchmark')""",
    """INSERT INTO customer_segment_memberships (customer_id, segment_id, ordinal, joined_at, membership_source,
    segment_version) SELECT customer_id, CAST($1 AS uuid), 1, now(), 'event', 1 FROM profiles""",
)
CONSENTS: Final = "UPDATE customers SET email_subscribed = true, sms_subscribed = true, phone = '+12025550123'"
BEGIN: Final = """
UPDATE customer_segment_campaigns SET activated_at = now(), started_at = CASE WHEN state = 'active' THEN now() END,
    scheduled_at = now() WHERE id = $1 RETURNING scheduled_at
"""
LOOK: Final = """
SELECT state, audience_taken_at IS NOT NULL, extract(epoch FROM clock_timestamp())
FROM customer_segment_campaigns WHERE id = $1
"""
STATES: Final = "SELECT state, count(*) FROM campaign_messages WHERE campaign_id = $1 GROUP BY state"


def main() -> None:
    """Command line."""
    parser = arguments("dispatch", __doc__, "5 s of joins, 5,000 mails, 50,000 members")
    parser.add_argument("--only", choices=("joins", "mails", "audience"))
    parser.add_argument("--rate", type=int, default=500, help="joins a second")
    parser.add_argument("--connections", type=int, default=8, help="to the mail server")
    chosen = parser.parse_args()
    configure_logs("console", "WARNING", "benchmark")
    logs = Path(tempfile.mkdtemp(prefix="segments-bench-logs-"))
    with running_servers(chosen.folder) as servers:
        found = asyncio.run(_measure(servers, chosen, logs))
    print(f"logs of the roles: {logs}")
    if chosen.output:
        chosen.output.write_text(json.dumps(found, indent=1))


async def _measure(servers: Servers, chosen: argparse.Namespace, logs: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"machine": await machine.description(servers.database_url)}
    if chosen.only in (None, "joins"):
        found["joins"] = one = await joins(servers, logs, chosen.rate, 5 if chosen.quick else 30)
        print(
            f"joined to message, {one['rate_reached']:.0f} joins/s: {one['milliseconds']} ms,"
            f" each once; load {one['load']}"
        )
    if chosen.only in (None, "mails"):
        found["mails"] = one = await mails(servers, logs, 5_000 if chosen.quick else 100_000, chosen.connections)
        print(
            f"{one['mails']:,} mails: {one['rate']:,.0f}/s, the server alone {one['bare']}, ratio {one['ratio']:.2f};"
            f" dispatcher {one['mb_start']:.0f} MB, most {one['mb_max']:.0f} MB; load {one['load']}"
        )
    if chosen.only in (None, "audience"):
        found["audience"] = one = await audience(servers, logs, 50_000 if chosen.quick else 1_000_000)
        print(f"audience of {one['members']:,}: {one['seconds']:.1f} s; load {one['load']}")
    return found


async def joins(servers: Servers, logs: Path, rate: int, seconds: int) -> dict[str, Any]:
    """Milliseconds from joined to message, the first seconds left out.

    Raises:
        RuntimeError: somebody got no message, or more than one.
    """
    run = _run(servers, "joins")
    await run.prepare([{}])
    async with run.database() as database, database.session() as connection:
        segment_id = await connection.fetchval("SELECT id FROM customer_segments")
    with Roles(run, logs) as roles:
        for role in ("consume", "relay", "timers", "dispatch"):
            roles.start(role)
        await _begin(run, _campaign(segment_id, "sms", trigger="on_joined", state="active"))
        joined: dict[str, float] = {}
        asked: dict[str, list[float]] = {}
        reading = asyncio.create_task(_read(run, joined, asked))
        count = rate * seconds
        started = time.perf_counter()
        await _come(run, rate, count)
        reached = count / (time.perf_counter() - started)
        async with asyncio.timeout(60):
            while len(asked) < count:  # noqa: ASYNC110 - of the reader, which has no end
                await asyncio.sleep(LOOK_SECONDS)
        await asyncio.sleep(1)  # a second message of somebody would be here by now
        reading.cancel()
        roles.check()
    await run.drop()
    if any(len(times) != 1 for times in asked.values()) or set(asked) != set(joined):
        msg = f"{len(joined)} joined, messages by customer: {Counter(map(len, asked.values()))}"
        raise RuntimeError(msg)
    late = [(asked[one][0] - at) * 1e3 for one, at in joined.items() if at >= started + DROPPED_SECONDS]
    return {"rate_reached": reached, "milliseconds": summary(late), "load": machine.load()}


async def _come(run: Run, rate: int, count: int) -> None:
    """Customers register, each when it is due."""
    producer = AIOKafkaProducer(**connection_options(run.settings), enable_idempotence=True)
    await producer.start()
    started, sent = time.perf_counter(), 0
    try:
        while sent < count:
            due = min(count, int((time.perf_counter() - started) * rate) + 1)
            for number in range(sent, due):
                event = _registered(f"customer-{number}")
                await producer.send(run.settings.customers_topic, json.dumps(event).encode(), headers=HEADERS)
            sent = due
            await asyncio.sleep(TICK_SECONDS)
    finally:
        await producer.stop()


def _registered(customer: str) -> dict[str, Any]:
    data = {"customer_id": customer, "name": customer, "phone": "+12025550123", "sms_subscribed": True}
    head = {"specversion": "1.0", "id": uuid4().hex, "source": "/benchmark", "type": "customer.registered"}
    return head | {"time": instants.to_text(time.time_ns() // 1_000), "data": data}


async def _read(run: Run, joined: dict[str, float], asked: dict[str, list[float]]) -> None:
    """Notes receipts, by customer."""
    settings = run.settings
    options = connection_options(settings) | {"isolation_level": "read_committed", "enable_auto_commit": False}
    consumer = AIOKafkaConsumer(**options, auto_offset_reset="earliest", fetch_max_wait_ms=50)
    await consumer.start()
    topics = (settings.membership_topic, settings.messages_topic)
    consumer.assign([TopicPartition(topic, number) for topic in topics for number in range(run.partitions)])
    try:
        while True:
            found: Mapping[TopicPartition, list[ConsumerRecord]] = await consumer.getmany(timeout_ms=50)
            now = time.perf_counter()
            for place, records in found.items():
                for one in records:
                    if place.topic == settings.membership_topic:
                        joined[one.key.decode()] = now
                    else:
                        asked.setdefault(one.key.decode(), []).append(now)
    finally:
        await consumer.stop()


async def mails(servers: Servers, logs: Path, count: int, connections: int) -> dict[str, Any]:
    """Mails a second of a campaign beside what the server takes.

    Raises:
        RuntimeError: not everybody got one.
    """
    with mail.sink() as port:
        run = await _filled(
            servers, "mails", count, SMTP_URL=f"smtp://127.0.0.1:{port}", SMTP_CONNECTIONS_MAX=connections
        )
        await mail.bare(port, count // 20, connections)
        before = await mail.bare(port, count // 2, connections)
        with Roles(run, logs) as roles:
            process = psutil.Process(roles.start("dispatch"))
            roles.start("relay")
            await asyncio.sleep(3)
            start_mb = process.memory_info().rss / machine.MB
            made = _campaign(SEGMENT, "email", subject="15 % off for {{ customer.name }}", content=mail.HTML)
            due = await _begin(run, made)
            ended, memory = await _until(run, made.id, "sent", process)
            roles.check()
            states = await _states(run, made.id)
        after = await mail.bare(port, count // 2, connections)
    await run.drop()
    if states != {"sent": count}:
        raise RuntimeError(states)
    rate = count / (ended - due)
    return {
        "mails": count,
        "rate": rate,
        "bare": [round(before), round(after)],
        "ratio": rate / statistics.mean((before, after)),
        "mb_start": start_mb,
        "mb": memory,
        "mb_max": max(memory),
        "load": machine.load(),
    }


async def audience(servers: Servers, logs: Path, count: int) -> dict[str, Any]:
    """Seconds until each member has a message that waits."""
    run = await _filled(servers, "audience", count)
    with Roles(run, logs) as roles:
        roles.start("dispatch")
        await asyncio.sleep(3)
        made = _campaign(SEGMENT, "sms")
        due = await _begin(run, made)
        ended, _ = await _until(run, made.id, None, None)
        roles.check()
    states = await _states(run, made.id)
    await run.drop()
    if sum(states.values()) != count:
        raise RuntimeError(states)
    return {"members": count, "seconds": ended - due, "load": machine.load()}


def _run(servers: Servers, name: str, **extra: object) -> Run:
    settings = {"CAMPAIGN_SECRET": SECRET, "PUBLIC_URL": "http://shop.example", **extra}
    environment = {f"SEGMENTS_{key}": str(value) for key, value in settings.items()}
    return Run(servers, f"dispatch-{name}-{time.time_ns() // 1_000_000}", extra=environment)


async def _filled(servers: Servers, name: str, members: int, **extra: object) -> Run:
    run = _run(servers, name, **extra)
    await run.prepare([])
    await fill(run.database_url, {"customers": members, "orders": 1_000, "activities": 1_000})
    async with run.database() as database, database.session() as connection:
        await connection.execute("DELETE FROM customer_segments")
        for statement in MEMBERS:
            await connection.execute(statement, SEGMENT)
        await connection.execute(CONSENTS)
        await connection.execute("VACUUM (ANALYZE)")
    return run


def _campaign(segment_id: UUID, channel: str, **said: Any) -> Campaign:
    """To everybody, at any hour, as often as it likes."""
    options = Options(quiet_hours=False, frequency_caps=())
    values = {"campaign_name": "Benchmark", "campaign_type": channel, "channel": channel, "created_by": "benchmark"}
    values |= {"trigger": "once", "state": "scheduled", "content": mail.TEXT}
    return Campaign(id=uuid4(), segment_id=segment_id, options=options, **(values | said))


async def _begin(run: Run, made: Campaign) -> float:
    """Stores a campaign that is due now, or listens from now on; gives that instant, seconds since 1970."""
    async with run.database() as database:
        async with database.transaction() as connection:
            await PostgresCampaigns(connection).insert(made)
        async with database.session() as connection:
            return float((await connection.fetchval(BEGIN, made.id)).timestamp())


async def _until(
    run: Run, campaign_id: UUID, state: str | None, process: psutil.Process | None
) -> tuple[float, list[float]]:
    """When the campaign is in this state (None: has its audience), and the megabytes of a process until then."""
    memory = []
    async with run.database() as database, database.session() as connection, asyncio.timeout(SECONDS_MAX):
        while True:
            found, is_taken, now = await connection.fetchrow(LOOK, campaign_id)
            if process is not None:
                memory.append(process.memory_info().rss / machine.MB)
            if found == state or (state is None and is_taken):
                return float(now), memory
            await asyncio.sleep(LOOK_SECONDS if state else TICK_SECONDS)


async def _states(run: Run, campaign_id: UUID) -> dict[str, int]:
    async with run.database() as database, database.session() as connection:
        return dict(await connection.fetch(STATES, campaign_id))


if __name__ == "__main__":
    main()
