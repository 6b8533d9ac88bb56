"""Dead letters published again: as they came, once, and never in a circle."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from service.adapters.postgres.database import Database
from service.adapters.postgres.letters import REDRIVE_LOCK
from tests import shop
from tests.integration.test_dead_letters import ORDER, cloud, encoded, send
from tests.topics import read_topics
from tests.world import World, create, members

HOSTILE = [("x-shop", b"\xff\x00\\u0000"), ("x-reason", b"not ours"), ("n", None), ("empty", b"")]


async def records_of(made: World, topic: str, start: int) -> list[Any]:
    """What lies on a topic, in the order of time, from the start-th record on."""
    found = await read_topics(made.kafka, topic, isolation_level="read_uncommitted")
    return sorted(found, key=lambda one: one.timestamp)[start:]


def listed(made: World, *options: str) -> list[dict]:
    """The dead letters, oldest first."""
    return json.loads(made.run("dead-letters", "list", "--json", *options))["items"][::-1]


def redrive(made: World, *options: str, code: int = 0) -> tuple[dict, str]:
    """Runs the command; gives its JSON and what it complains of."""
    done = made.command("dead-letters", "redrive", "--json", *options)
    assert done.returncode == code, (done.stdout, done.stderr)
    return json.loads(done.stdout or b"{}"), done.stderr.decode()


async def test_redriven_as_they_came_and_once(made: World, database: Database) -> None:
    """Bytes, key and headers go out unchanged, without ours; marked, they are not taken a second time by accident.

    What fails again is a new letter at a new place; what is cut off is refused; what is mended meanwhile is applied.
    """
    await create(database, {"buyers": {"total_orders": {"operator": "gte", "value": 1}}}, shop.CLOCK)
    good = encoded(cloud(data={**ORDER, "currency": "EUR"}))
    bad = b"{broken \xff\x00"
    await send(made, [(b"good", good, []), (b"k\xff", bad, HOSTILE), (None, b'{"y":"' + b"y" * 2_000_000 + b'"}', [])])
    made.start("consume")
    made.start("relay")
    made.start("timers")
    made.wait_idle()
    first = listed(made)
    assert [(one["reason"], one["redrives"]) for one in first] == [
        ("wrong_currency", 0),
        ("invalid_data", 0),
        ("too_large", 0),
    ]

    # The service learns to take what it refused.
    assert made.stop("consume") == 0
    made.env["SEGMENTS_CURRENCY"] = "EUR"
    made.start("consume")
    report, _ = redrive(made, "--topic", made.orders)
    ids = [one["id"] for one in first]
    assert report == {"redriven": ids[:2], "refused": [], "waiting": 0, "lost": 1}
    made.wait_idle()

    sent = await records_of(made, made.orders, 3)
    assert sorted((one.key, one.value, one.headers) for one in sent) == sorted(
        [(b"good", good, ()), (b"k\xff", bad, (HOSTILE[0], HOSTILE[2], HOSTILE[3]))]
    )
    assert await members(database) == {"buyers": {"good"}}
    second = listed(made)
    assert [(one["reason"], one["redrives"]) for one in second] == [
        ("wrong_currency", 1),
        ("invalid_data", 1),
        ("too_large", 0),
        ("invalid_data", 0),
    ]
    assert (second[1]["redriven_at"] is None, second[3]["redriven_at"]) == (False, None)
    assert second[3]["offset"] != second[1]["offset"] or second[3]["partition"] != second[1]["partition"]

    assert "redriven" in made.run("dead-letters", "list")
    _, said = redrive(made, str(ids[0]), str(ids[2]), "999999", code=1)
    assert "was redriven at" in said
    assert "was cut off" in said
    assert "There is no dead letter 999999." in said
    assert redrive(made, str(ids[0]), "--again")[0]["redriven"] == [ids[0]]
    assert redrive(made, "--reason", "wrong_currency")[0] == {"redriven": [], "refused": [], "waiting": 0, "lost": 0}
    assert redrive(made, "--reason", "invalid_data", "--limit", "1")[0]["redriven"] == [second[3]["id"]]
    made.wait_idle()
    assert [one["redrives"] for one in listed(made, "--reason", "wrong_currency")] == [2]
    assert await members(database) == {"buyers": {"good"}}
    assert len(made.changes()) == 1
    made.verify()


async def test_what_cannot_be_asked(made: World, database: Database) -> None:
    """Neither ids nor a filter, both, erased letters, topics nobody reads, and another redrive: one sentence each."""
    async with database.session() as connection:
        await connection.execute(
            'INSERT INTO dead_letters (reason, error, topic, partition, "offset", value, headers) VALUES'
            " ('erased', '', $1, 0, 0, NULL, '[]'), ('invalid_data', '', 'former', 0, 0, 'x', '[]'),"
            " ('invalid_data', '', $1, 0, 1, 'x', '[[\"headers-left-out\", \"9\"]]')",
            made.orders,
        )
        ids = [str(row[0]) for row in await connection.fetch("SELECT id FROM dead_letters ORDER BY id")]
        assert "Say which" in redrive(made, code=1)[1]
        assert "Say which" in redrive(made, ids[0], "--reason", "erased", code=1)[1]
        said = redrive(made, *ids, code=1)[1]
        assert all(part in said for part in ("has no bytes", "no input topic now", "without its headers"))
        assert redrive(made, "--since", "2020-01-01T00:00:00Z")[0] == {
            "redriven": [],
            "refused": [],
            "waiting": 0,
            "lost": 3,
        }
        await connection.execute("SELECT pg_advisory_lock($1)", REDRIVE_LOCK)
        done = await asyncio.to_thread(redrive, made, ids[1], code=1)
        assert "Another redrive is under way" in done[1]
