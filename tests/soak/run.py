"""The chaos soak: everything dies, again and again, under load; then the raw input says what must be there.

    python -m tests.soak.run --seconds 120 --seed 7       (make soak SECONDS=3600 SEED=7)

Prints its seed, each fault, and a table; exit code 1 if anything was wrong or did not recover. SOAK_REPORT names a
file for the same as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from service.adapters.postgres.database import Database
from service.core import instants
from tests import oracle, world
from tests.soak.report import Report, printed
from tests.soak.schedule import play
from tests.soak.segments import SEGMENTS, with_ids
from tests.soak.stage import Stage, fresh_folder, stage, start_load
from tests.soak.verdict import Config
from tests.soak.watch import Watch

PARTITIONS = 12
GRACE_MS = 1_000
RATE = 900
EVENTS_MIN = 100_000
#: The exactness of so many customers' whole histories is checked; it costs the oracle 0.1 s each.
EXACT_CUSTOMERS = 600
START_SECONDS_MAX = 60.0
SETTLE_SECONDS_MAX = 180.0


async def create_segments(made: Stage) -> dict[str, str]:
    """By the use case that the API calls; gives name -> id."""
    database = Database.connect(made.servers.database_url, role="soak", pool_size=1)
    ids: dict[str, str] = {}
    for name, criteria in SEGMENTS.items():
        now = instants.to_text(time.time_ns() // 1_000)
        ids |= await world.create(database, {name: with_ids(criteria, ids)}, now)
    await database.close()
    return ids


async def settle(made: Stage) -> int:
    """Waits until all input is applied, and all that time makes due until then; gives that instant. Ends the roles."""
    connection = await asyncpg.connect(made.servers.database_url)
    topics = [made.world.orders, made.world.customers]
    deadline = time.monotonic() + SETTLE_SECONDS_MAX

    async def until(question: str, *arguments: Any) -> None:
        while await connection.fetchval(question, *arguments):
            if time.monotonic() > deadline:
                raise AssertionError(f"after {SETTLE_SECONDS_MAX} s this still has rows: {question}")
            await asyncio.sleep(0.2)

    for place, end in (await input_ends(made, topics)).items():
        await until(BEHIND, place.topic, place.partition, end)
    at = time.time_ns() // 1_000
    await until(DUE, at)
    await made.end("timers", "consume")
    await until(UNSENT)
    await made.end("relay")
    await connection.close()
    return at


BEHIND = """
SELECT 1 WHERE $3::bigint > 0 AND NOT EXISTS (
    SELECT FROM input_frontier WHERE topic = $1 AND partition = $2 AND next_offset >= $3
)
"""
DUE = "SELECT 1 FROM profiles WHERE next_due_at <= $1 LIMIT 1"
UNSENT = "SELECT 1 FROM outbox LIMIT 1"


async def input_ends(made: Stage, topics: list[str]) -> dict[TopicPartition, int]:
    """Where the input ends; nobody publishes any more."""
    consumer = AIOKafkaConsumer(bootstrap_servers=made.servers.kafka_bootstrap, group_id=None)
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)]
        return await consumer.end_offsets(places)
    finally:
        await consumer.stop()


def judged(made: Stage, ids: dict[str, str], at: int, seed: int, folder: Path) -> dict[str, Any]:
    """The checker's verdict, from a process of its own that knows nothing but the addresses."""
    literal = {name: oracle.segment_id(name) for name in ids}
    config = Config(
        bootstrap=made.servers.kafka_bootstrap,
        database_url=made.servers.database_url,
        inputs=[made.world.orders, made.world.customers],
        output=made.world.membership,
        dead=made.world.dead,
        partitions=PARTITIONS,
        at=at,
        segments=ids,
        criteria={name: with_ids(criteria, literal) for name, criteria in SEGMENTS.items()},
        grace_us=(GRACE_MS - 100) * 1_000,
        exact_customers=EXACT_CUSTOMERS,
        seed=seed,
    )
    path = folder / "check.json"
    path.write_text(json.dumps(asdict(config)))
    answer = subprocess.run([sys.executable, "-m", "tests.soak.checker", str(path)], stdout=subprocess.PIPE, check=True)
    return json.loads(answer.stdout)


def errors_logged(folder: Path) -> dict[str, int]:
    """How often the roles logged something as an error, by its message."""
    found: Counter[str] = Counter()
    for path in folder.glob("*.log"):
        for line in path.read_text(errors="replace").splitlines():
            if line.startswith("{") and json.loads(line).get("level") == "error":
                found[json.loads(line)["event"]] += 1
            elif line.startswith("Traceback"):
                found["Traceback"] += 1
    return dict(found)


async def soak(seconds: float, seed: int, folder: Path, only: str = "") -> Report:
    """One soak from beginning to end."""
    async with stage(folder, PARTITIONS, GRACE_MS) as made:
        ids = await create_segments(made)
        for role, slot in (("consume", 0), ("consume", 1), ("relay", 0), ("timers", 0)):
            made.start(role, slot)
        watch = Watch(
            made.servers.kafka_bootstrap,
            made.servers.database_url,
            made.world.membership,
            made.world.customers,
            PARTITIONS,
        )
        watching = asyncio.create_task(watch.run())
        assert None not in await watch.wait_recovered(time.monotonic(), START_SECONDS_MAX), made.world.logs()
        load = start_load(folder, load_config(made, seed, seconds, folder))
        started = time.monotonic()
        injected = await play(made, watch, seed, seconds, only)
        load.terminate()
        code = await asyncio.to_thread(load.wait)
        assert code == 0, f"the load ended with {code}: {(folder / 'load.log').read_text()[-2000:]}"
        lasted = time.monotonic() - started
        watch.stop()
        await watching
        at = await settle(made)
        verify = await asyncio.to_thread(made.world.command, "verify", timeout=600)
        sys.stdout.write(f"{lasted:8.1f} s  all is applied; the checker reads everything\n")
        sys.stdout.flush()
        verdict = await asyncio.to_thread(judged, made, ids, at, seed, folder)
        return Report(
            seed=seed,
            seconds=round(lasted, 1),
            injected=injected,
            load=json.loads((folder / "load-report.json").read_text()),
            verdict=verdict,
            observer_changes=watch.compared,
            observer_wrong=watch.wrong,
            observer_faults=watch.faults,
            died_by_themselves=made.died_by_themselves,
            errors_logged=errors_logged(made.world.folder),
            is_verified=verify.returncode == 0,
            load_average=os.getloadavg()[1],
        )


def load_config(made: Stage, seed: int, seconds: float, folder: Path) -> dict[str, Any]:
    """What the load needs to know."""
    return {
        "bootstrap": made.servers.kafka_bootstrap,
        "orders": made.world.orders,
        "customers": made.world.customers,
        "seed": seed,
        "rate": RATE,
        "events_min": min(EVENTS_MIN, int(seconds * RATE)),
        "report": str(folder / "load-report.json"),
    }


def main() -> int:
    """Runs it; 0 if all is right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120, help="how long faults are injected, at least one round")
    parser.add_argument("--seed", type=int, default=None, help="chooses faults and events; random if left out")
    parser.add_argument("--only", default="", help="faults whose names hold this, such as relay; none for no fault")
    parser.add_argument("--keep", action="store_true", help="keep the folder with data and logs")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    folder = fresh_folder()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # brokers that are away are no news here
    sys.stdout.write(f"seed {seed}, folder {folder}\n")
    sys.stdout.flush()
    try:
        report = asyncio.run(soak(options.seconds, seed, folder, options.only))
    except BaseException:
        options.keep = True
        raise
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.write(printed(report))
    if target := os.environ.get("SOAK_REPORT"):
        Path(target).write_text(json.dumps(report.as_json(), indent=2) + "\n")
    return 0 if report.is_right else 1


if __name__ == "__main__":
    sys.exit(main())
