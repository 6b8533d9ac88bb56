"""`segments up` as an operator meets it: kills, restarts, commands beside it."""

from __future__ import annotations

import json
import os
import signal
import smtplib
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from service.core import instants
from tests import oracle, shop
from tests.e2e.product import BASE, Product, RequestFailed, running
from tests.e2e.test_sets import free_port
from tests.world import folded, until

VICTIMS = ("consume", "relay", "timers", "serve", "postgres", "kafka", "mail")


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Product]:
    """A stack of this test's own, its clock fixed after the shop's last event."""
    with running(tmp_path / "data dir", free_port(), clock=shop.CLOCK, partitions="3") as made:
        yield made


def create(product: Product) -> dict[str, str]:
    """The shop's segments by HTTP; name -> id."""
    return {
        name: product.call("POST", BASE, {"segment_name": name, "segment_type": "dynamic", "criteria": criteria})["id"]
        for name, criteria in shop.SEGMENTS.items()
    }


def is_open(url: str) -> bool:
    """Whether somebody listens there."""
    place = urlsplit(url)
    try:
        socket.create_connection((place.hostname or "", place.port or 0), timeout=1).close()
    except OSError:
        return False
    return True


def lines(events: list[dict]) -> bytes:
    """NDJSON."""
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


class TestKilled:
    """kill -9 of everything that `up` started."""

    def test_whatever_dies_comes_back_and_nothing_is_lost(self, product: Product) -> None:
        """Each role and each server, killed between batches of input, is started again; the end is exact."""
        ids = create(product)
        addresses = {name: product.stack[name] for name in ("database_url", "kafka_bootstrap", "api_url")}
        events = shop.events(customers=50, count=1_200, seed=21)
        size = len(events) // len(VICTIMS)
        for number, victim in enumerate(VICTIMS):
            product.run("publish", "-", "--topic", "orders", data=lines(events[number * size : (number + 1) * size]))
            before = product.stack["pids"][victim]
            os.kill(before[0], signal.SIGKILL)
            until(lambda: product.stack["pids"].get(victim) not in (None, [], before), 60)  # noqa: B023 - ends before the next
            until(lambda: product.command("doctor").returncode == 0, 60)
        product.run("publish", "-", "--topic", "orders", data=lines(events[len(VICTIMS) * size :]))
        product.run("wait-idle", "--timeout", "120")

        expected = oracle.members_at(events, shop.SEGMENTS, instants.parse(shop.CLOCK))
        assert {name: product.members(ids[name]) for name in ids} == expected
        by_id = folded(product.changes())
        assert {name: by_id.get(ids[name], set()) for name in ids} == expected
        product.run("verify")
        assert {name: product.stack[name] for name in addresses} == addresses


class TestMail:
    """Without SEGMENTS_SMTP_URL there is somebody who takes mails, and shows them."""

    def test_it_is_taken_and_shown(self, product: Product) -> None:
        """stack.json says where; what is sent there lies in the data folder and on the page, also after a kill."""
        for number in (1, 2):
            server = urlsplit(product.stack["smtp_url"])
            with smtplib.SMTP(server.hostname or "", server.port or 0, timeout=10) as client:
                client.sendmail("shop@example.com", ["ada@example.org"], f"Subject: mail {number}\r\n\r\nHello")
            with urllib.request.urlopen(product.stack["inbox_url"], timeout=10) as answer:
                assert f"mail {number}</a>" in answer.read().decode()
            assert len(list((product.data_dir / "inbox").glob("*.eml"))) == number
            before = product.stack["pids"]["mail"]
            os.kill(before[0], signal.SIGKILL)
            until(lambda: product.stack["pids"]["mail"] not in ([], before), 30)  # noqa: B023 - ends before the next
            until(lambda: is_open(product.stack["smtp_url"]) and is_open(product.stack["inbox_url"]), 30)

    def test_the_roles_know(self, product: Product) -> None:
        """They get its address, that of the API for links, and a secret of their own that outlives a restart."""
        [pid] = product.stack["pids"]["serve"]
        given = dict(one.split("=", 1) for one in Path(f"/proc/{pid}/environ").read_text().split("\0") if "=" in one)
        assert given["SEGMENTS_SMTP_URL"] == product.stack["smtp_url"]
        assert given["SEGMENTS_PUBLIC_URL"] == product.stack["api_url"]
        secret = product.data_dir / "campaign-secret"
        assert given["SEGMENTS_CAMPAIGN_SECRET"] == secret.read_text().strip()
        assert secret.stat().st_mode & 0o777 == 0o600
        assert given["SEGMENTS_CAMPAIGN_SECRET"] != given["SEGMENTS_JWT_SECRET"]


class TestCommands:
    """Commands beside a stack find it by its data folder."""

    def test_they_tell_what_is(self, product: Product) -> None:
        """status, doctor, token, export and verify answer in the contract's shapes."""
        ids = create(product)
        events = shop.events(customers=20, count=200, seed=22)
        out = product.run("publish", "-", data=lines(events))
        assert out.splitlines()[-1].startswith("published 200 events in ")
        product.run("wait-idle")

        status = json.loads(product.run("status", "--json"))
        assert {"lag", "outbox", "dead_letters", "due_timers", "segments", "roles"} <= set(status)
        assert set(status["lag"]) == {"orders", "customers"}
        assert set(status["lag"]["orders"]) == {"0", "1", "2"}
        assert {"id", "name", "count", "version", "backfill"} <= set(status["segments"][0])
        product.run("doctor")
        report = json.loads(product.run("verify", "--json", "--segment", ids["readers"]))
        assert [one["drift"] for one in report["segments"]] == [0]
        token = product.run("token", "--sub", "u1", "--name", "U", "--permissions", "customer_segments:read").strip()
        assert product.call("GET", f"{BASE}/{ids['readers']}", token=token)["segment_name"] == "readers"
        with pytest.raises(RequestFailed) as refused:
            product.call("DELETE", f"{BASE}/{ids['readers']}", token=token)
        assert refused.value.status == 403
        target = product.data_dir / "out.csv"
        product.run("export", "readers", "--format", "csv", "--fields", "external_id", "-o", str(target))
        assert set(target.read_text().split()[1:]) == product.members(ids["readers"])

    def test_a_second_up_on_the_same_folder_is_refused(self, product: Product) -> None:
        """A second `up` on a folder in use ends with one sentence, and the first goes on."""
        done = product.command("up", "--port", str(free_port()))

        assert done.returncode == 1
        assert b"Traceback" not in done.stderr
        assert product.call("GET", BASE)["total"] == 0
        product.run("status")

    def test_a_taken_port_is_refused(self, product: Product, tmp_path: Path) -> None:
        """A port on which something listens is refused before anything starts: its answers are not ours."""
        port = product.stack["api_url"].rsplit(":", 1)[1]
        done = Product(tmp_path / "other", product.env).command("up", "--port", port)

        assert done.returncode == 1
        assert b"--port" in done.stderr

    def test_wait_idle_says_what_is_busy(self, product: Product) -> None:
        """With nobody to apply the input, wait-idle ends with exit code 1 and says what is left."""
        workers = product.stack["pids"]["consume"]
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        try:
            product.run("publish", "-", data=lines(shop.events(customers=5, count=20, seed=23)))
            done = product.command("wait-idle", "--timeout", "1")
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)

        assert done.returncode == 1
        assert b"records of input not applied" in done.stderr


class TestWallClock:
    """The clock on the wall: timers fire by themselves."""

    def test_a_window_that_ends_is_left_without_an_event(self, tmp_path: Path) -> None:
        """A customer whose window of a minute ends leaves at exactly that instant, published by time alone."""
        with running(tmp_path / "data", free_port(), partitions="1") as product:
            criteria = {"last_order_date": {"operator": "within_last", "minutes": 1}}
            body = {"segment_name": "just now", "segment_type": "dynamic", "criteria": criteria}
            product.call("POST", BASE, body)
            at = time.time_ns() // 1_000 - 57 * instants.SECOND
            event = {
                "specversion": "1.0",
                "id": "w1",
                "source": "/t",
                "type": "order.placed",
                "time": instants.to_text(at),
                "data": {"order_id": "o1", "customer_id": "c1", "currency": "USD", "total": 5},
            }
            product.run("publish", "-", data=lines([event]))
            until(lambda: [one.change for one in product.changes()] == ["joined", "left"], 60)

            joined, left = product.changes()
            assert instants.parse(joined.effective_at) == at
            assert (instants.parse(left.effective_at), left.reason) == (at + instants.MINUTE, "time")
