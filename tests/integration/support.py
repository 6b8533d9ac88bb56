"""Events as they come from Kafka, and commands run in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from service.cli.main import app
from service.core import instants


def event(number: int, kind: str, at: int, customer: str | None, sequence: str | None = None, **data: Any) -> bytes:
    """An event as it comes from Kafka."""
    envelope = {"specversion": "1.0", "id": f"e{number}", "type": kind, "time": instants.to_text(at)}
    if sequence is not None:
        envelope["sequence"] = sequence
    return json.dumps({**envelope, "data": {"customer_id": customer, **data}}).encode()


def commands(name: str, database_url: str, clock: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs the command `segments <name>` in this process, on this database, under a clock that stands still.

    What is given back takes the command's arguments, and as `stdin` what it may read.
    """
    monkeypatch.setenv("SEGMENTS_DATABASE_URL", database_url)
    monkeypatch.setenv("SEGMENTS_KAFKA_BOOTSTRAP", "nowhere:9092")
    monkeypatch.setenv("SEGMENTS_CLOCK", clock)
    return lambda *arguments, stdin="": CliRunner().invoke(app, [name, *arguments], input=stdin)
