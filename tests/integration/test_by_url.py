"""Roles one by one against servers that are named by URL, SASL on: what containers would run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.adapters.postgres.database import Database
from service.settings import load_settings
from service.stack.group import Servers
from service.stack.servers import start_servers
from tests import oracle, shop
from tests.world import create, members, world

USER, PASSWORD = "segments-user", "a password for tests"


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    """A stack whose broker asks for a password."""
    for name in ("SEGMENTS_DATABASE_URL", "SEGMENTS_KAFKA_BOOTSTRAP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SEGMENTS_STACK", "embedded")
    with tempfile.TemporaryDirectory(prefix="segments-sasl-") as folder:
        Path(folder).chmod(0o755)
        with start_servers(load_settings(), Path(folder), fsync=False, sasl=(USER, PASSWORD)) as servers:
            yield servers


def options(password: str) -> dict[str, str]:
    """Settings of a client with SASL."""
    return {
        "kafka_security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_username": USER,
        "sasl_password": password,
    }


class TestByUrl:
    """Everything by settings in the environment."""

    async def test_roles_one_by_one_with_sasl(self, guarded: Servers) -> None:
        """migrate, two consumers, relay, timers and the commands work with SASL, three partitions, by URL alone."""
        with world(guarded.kafka_bootstrap, guarded.database_url, shop.CLOCK, **options(PASSWORD)) as made:
            database = Database.connect(guarded.database_url, role="tests")
            await create(database, shop.SEGMENTS, shop.CLOCK)
            made.start_all(workers=2)
            events = shop.events(customers=40, count=600, seed=11)
            made.publish(events, "--topic", made.orders)
            made.wait_idle()

            assert await members(database) == oracle.members_at(events, shop.SEGMENTS, shop_clock())
            made.verify()
            made.run("doctor")
            assert [made.stop(role, slot) for role, slot in STOPS] == [0, 0, 0, 0]
            await database.close()

    async def test_a_wrong_password_is_one_sentence(self, guarded: Servers) -> None:
        """A command that the broker turns away ends with exit code 1 and one sentence, without a traceback."""
        with world(guarded.kafka_bootstrap, guarded.database_url, shop.CLOCK, **options(PASSWORD)) as made:
            made.env["SEGMENTS_SASL_PASSWORD"] = "wrong"  # noqa: S105 - the point of the test
            done = made.command("publish", "-", data=b"{}\n")

        assert done.returncode == 1
        assert b"Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


STOPS = [("consume", 0), ("consume", 1), ("relay", 0), ("timers", 0)]


def shop_clock() -> int:
    """The shop's clock in microseconds."""
    return oracle.micros(shop.CLOCK)
