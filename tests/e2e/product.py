"""The product through its public doors only: the console script, the HTTP API, the topics."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.topics import read_topics, topics_now

BASE = "/api/customer-segments"


class RequestFailed(Exception):
    """The API refused; `status` and `body` as it answered."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status}: {body}")
        self.status, self.body = status, body


@dataclass
class Change:
    """One record of the membership topic."""

    customer_id: str
    external_id: str
    segment_id: str
    sequence: int
    effective_at: str
    change: str
    event_id: str
    reason: str
    partition: int
    offset: int


@dataclass
class Product:
    """A stack that runs, and the commands beside it."""

    data_dir: Path
    env: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def stack(self) -> dict[str, Any]:
        """stack.json as it is now."""
        return json.loads((self.data_dir / "stack.json").read_text())

    def command(self, *arguments: str, timeout: float = 600, data: bytes | None = None) -> subprocess.CompletedProcess:
        """Runs one command beside the stack."""
        argv = [sys.executable, "-m", "service.cli.main", *arguments, "--data-dir", str(self.data_dir)]
        return subprocess.run(argv, env=self.env, capture_output=True, timeout=timeout, input=data, check=False)

    def run(self, *arguments: str, timeout: float = 600, data: bytes | None = None) -> str:
        """Runs one command that must succeed; gives its stdout."""
        done = self.command(*arguments, timeout=timeout, data=data)
        assert done.returncode == 0, f"{arguments}: {done.returncode} {done.stdout.decode()} {done.stderr.decode()}"
        return done.stdout.decode()

    def call(self, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        """Calls the API; gives `data` of the answer."""
        request = urllib.request.Request(
            self.stack["api_url"] + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {token or self.stack['admin_token']}",
                "Content-Type": "application/json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read())["data"]
        except urllib.error.HTTPError as error:
            raise RequestFailed(error.code, error.read().decode()) from None

    def create_segments(self, definitions: list[dict]) -> dict[str, str]:
        """Creates definitions of segments.json's form; gives key -> id."""
        ids = {}
        for one in definitions:
            body = {name: one[name] for name in ("segment_name", "segment_type", "criteria")}
            ids[one["key"]] = self.call("POST", BASE, {**body, "segment_name": one["key"]})["id"]
        return ids

    def members(self, segment_id: str) -> set[str]:
        """External ids of the members, by the export route."""
        request = urllib.request.Request(
            f"{self.stack['api_url']}{BASE}/{segment_id}/export?format=csv&fields=external_id",
            headers={"Authorization": f"Bearer {self.stack['admin_token']}"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            rows = list(csv.reader(io.TextIOWrapper(answer, encoding="utf-8", newline="")))
        assert rows[0] == ["external_id"]
        return {row[0] for row in rows[1:]}

    def changes(self) -> list[Change]:
        """Everything on the membership topic under read_committed, per partition in order."""
        return all_changes(self.stack["kafka_bootstrap"], "segment-membership")

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


def all_changes(bootstrap: str, topic: str) -> list[Change]:
    """All joined/left events of a topic; may be called beside a running loop."""
    return [_change(record) for record in topics_now(bootstrap, topic)]


async def read_changes(bootstrap: str, topic: str, **options: Any) -> list[Change]:
    """All joined/left events of a topic."""
    return [_change(record) for record in await read_topics(bootstrap, topic, **options)]


def _change(record: Any) -> Change:
    data = json.loads(record.value)
    headers = dict(record.headers)
    assert record.key.decode() == data["customer_id"] == headers["ce_subject"].decode()
    return Change(
        data["customer_id"],
        data["external_id"],
        data["segment_id"],
        data["sequence"],
        data["effective_at"],
        headers["ce_type"].decode().removeprefix("segment."),
        headers["ce_id"].decode(),
        data["reason"],
        record.partition,
        record.offset,
    )


@contextmanager
def running(data_dir: Path, port: int, *arguments: str, **settings: str) -> Iterator[Product]:
    """`segments up` in a process of its own, stopped at the end."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("SEGMENTS_")}
    env |= {f"SEGMENTS_{name.upper()}": value for name, value in settings.items()}
    data_dir.mkdir(parents=True, exist_ok=True)
    log = (data_dir.parent / f"{data_dir.name}.up.log").open("wb")
    argv = [
        sys.executable,
        "-m",
        "service.cli.main",
        "up",
        "--port",
        str(port),
        "--data-dir",
        str(data_dir),
        *arguments,
    ]
    product = Product(data_dir, env, subprocess.Popen(argv, env=env, stdout=log, stderr=subprocess.STDOUT))
    try:
        deadline = time.monotonic() + 180
        while not (data_dir / "stack.json").exists():
            assert product.process.poll() is None, Path(log.name).read_text()
            assert time.monotonic() < deadline, Path(log.name).read_text()
            time.sleep(0.1)
        yield product
    finally:
        if product.process.poll() is None:
            product.stop()
        log.close()
