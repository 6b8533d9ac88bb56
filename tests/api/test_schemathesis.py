"""The API against its own OpenAPI document: schemathesis makes up requests, good and bad, and reads the answers."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from subprocess import PIPE, STDOUT, run
from uuid import uuid4

from service.adapters.kafka.topics import create_topics
from service.adapters.postgres.database import Database
from service.api.app import token_rules
from service.app.tokens import Permission
from service.settings import load_settings
from service.stack.group import Servers
from tests.api.support import BASE, BIG, add_many, settings
from tests.api.test_serve import serving

EXAMPLES = 3
#: An Idempotency-Key that comes with another request is refused, whatever its schema says.
LEFT_OUT = "positive_data_acceptance"


async def test_answers_are_as_documented(
    database: Database, database_url: str, session_servers: Servers, tmp_path: Path
) -> None:
    """No 5xx, no undocumented status, no answer beside its schema, no request beside its schema that is accepted."""
    tool = Path(sys.executable).with_name("schemathesis")
    secret = token_rules(settings()).issue("u-1", "Ursula Main", list(Permission), ttl_seconds=3_600)
    topics = {f"{one}_topic": f"{uuid4()}-{one}" for one in ("orders", "customers", "membership", "dead_letter")}
    bootstrap = session_servers.kafka_bootstrap
    await create_topics(load_settings(kafka_bootstrap=bootstrap, partitions=1, **topics))
    # Errors alone, for nobody reads the log while the tool runs.
    changes = {"kafka_bootstrap": bootstrap, "log_level": "ERROR", **topics}
    environment = {f"SEGMENTS_{name.upper()}": value for name, value in changes.items()}
    async with serving(database_url, **environment) as (_, client):
        made = await client.post(BASE, json={"segment_name": "Big", "criteria": BIG})
        await add_many(database, made.json()["data"]["id"], 150)
        address = str(client.base_url).rstrip("/") + "/openapi.json"
        rest = f"--checks all --exclude-checks {LEFT_OUT} --phases examples,coverage,fuzzing --no-color".split()
        rest += f"--max-examples {EXAMPLES} --seed 1 --continue-on-failure --generation-database none".split()
        command = [tool, "run", address, "--header", f"Authorization: Bearer {secret}", *rest]
        done = await asyncio.to_thread(run, command, stdout=PIPE, stderr=STDOUT, text=True, cwd=tmp_path)

    assert done.returncode == 0, re.sub(r"Bearer [\w.-]+", "Bearer ...", done.stdout)
