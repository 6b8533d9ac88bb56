"""The whole language through `segments up` and public doors only, against the contract read literally."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.core import instants
from service.core.instants import DAY, to_text
from tests import oracle, shop
from tests.e2e.product import BASE, Change, Product, RequestFailed, running
from tests.e2e.test_sets import free_port
from tests.offline import collapsed
from tests.world import folded

CUSTOMERS = 40
NOW = instants.parse(shop.CLOCK)


def told(events: list[dict]) -> bytes:
    """Events as NDJSON."""
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def create(product: Product, name: str, criteria: Any, ids: dict[str, str]) -> str:
    """Creates a segment; names of others in its criteria become their ids."""
    text = json.dumps(criteria)
    for other, segment_id in ids.items():
        text = text.replace("{" + other + "}", segment_id)
    return str(product.call("POST", BASE, {"segment_name": name, "criteria": json.loads(text)})["id"])


def transitions(changes: list[Change], names: dict[str, str]) -> list[tuple[str, str, int, str]]:
    """As the oracle gives them."""
    rows = ((one.external_id, names[one.segment_id], instants.parse(one.effective_at), one.change) for one in changes)
    return collapsed(rows)


def members_as_of(product: Product, segment_id: str, at: int) -> set[str]:
    """Members at a past instant, page by page."""
    found: set[str] = set()
    cursor = ""
    while True:
        path = f"{BASE}/{segment_id}/customers?limit=7&as_of={to_text(at)}{cursor}"
        page = product.call("GET", path)
        found |= {one["external_id"] for one in page["customers"]}
        if page["next_cursor"] is None:
            assert page["total"] == len(found)
            return found
        cursor = f"&cursor={page['next_cursor']}"


@pytest.fixture(scope="module")
def history() -> list[dict]:
    """Orders, attributes and activities of forty customers."""
    events = shop.events(CUSTOMERS, 700, seed=8) + shop.visits(CUSTOMERS, 900, seed=8)
    return sorted(events, key=oracle.stamp)


def test_the_language(history: list[dict], tmp_path: Path) -> None:
    """Transitions, members, past members, backtest and explain all say what the oracle says."""
    with running(tmp_path / "data", free_port(), "--workers", "2", clock=shop.CLOCK, partitions="3") as product:
        ids: dict[str, str] = {}
        for name, criteria in {**shop.SEGMENTS, **shop.BEHAVIOUR}.items():
            ids[name] = create(product, name, criteria, ids)
        product.run("publish", "-", "--topic", "orders", data=told(history))
        product.run("wait-idle", "--timeout", "120")

        names = {segment_id: name for name, segment_id in ids.items()}
        definitions = {name: product.call("GET", f"{BASE}/{ids[name]}")["criteria"] for name in ids}
        literal = json.loads(with_ids(json.dumps(definitions), {ids[name]: oracle.segment_id(name) for name in ids}))
        expected = oracle.transitions(history, literal, NOW)
        changes = product.changes()
        assert transitions(changes, names) == sorted(expected)
        folded(changes)
        product.run("verify")
        members = oracle.members_at(history, literal, NOW)
        assert {name: product.members(ids[name]) for name in ids} == members
        assert {name for _, name, _, _ in expected} == set(ids)
        check_the_past(product, ids, definitions, expected, tmp_path)
        check_explain(product, ids, members)


def with_ids(text: str, ids: dict[str, str]) -> str:
    """The text with ids replaced."""
    for one, other in ids.items():
        text = text.replace(one, other)
    return text


def check_the_past(
    product: Product, ids: dict[str, str], definitions: dict[str, dict], expected: list, folder: Path
) -> None:
    """as_of folds the recorded history; backtest asks the facts."""
    moments = [NOW - days * DAY for days in (0, 20, 37, 60)]
    for name, criteria in definitions.items():
        segment_id = ids[name]
        for at in moments[1:3]:
            was: set[str] = set()
            for customer, segment, when, change in expected:
                if segment == name and when <= at:
                    (was.add if change == "joined" else was.discard)(customer)
            assert members_as_of(product, segment_id, at) == was
        asked = {"from": to_text(moments[3]), "to": to_text(moments[0]), "step": "20d"}
        if name in shop.BEHAVIOUR:
            path = folder / "criteria.json"
            path.write_text(json.dumps(criteria))
            options = [option for key, value in asked.items() for option in (f"--{key}", value)]
            steps = json.loads(product.run("backtest", str(path), *options, "--members", "--json"))["steps"]
        else:
            body = {"criteria": criteria, "members": True, **asked}
            steps = product.call("POST", f"{BASE}/backtest", body)["steps"]
        assert [instants.parse(step["at"]) for step in steps] == [NOW - days * DAY for days in (60, 40, 20, 0)]
        was = set()
        for step in steps:
            found = set(step["members"])
            assert step["members"] == sorted(found)
            assert (step["count"], step["joined"], step["left"]) == (len(found), len(found - was), len(was - found))
            was = found
        assert was == product.members(segment_id)


def check_explain(product: Product, ids: dict[str, str], members: dict[str, set[str]]) -> None:
    """Every verdict of `explain` agrees with the membership."""
    for name, segment_id in ids.items():
        for customer in ("c0001", "c0002"):
            path = f"{BASE}/{segment_id}/customers/{customer}/explain"
            answer = product.call("GET", path)
            assert answer["member"] == (customer in members[name]), (name, customer)
            assert answer["predicates"] or name == "everybody"
    answer = json.loads(product.run("explain", "c0001", ids["left the cart"], "--json"))
    assert set(answer) >= {"member", "since", "changes_at", "predicates"}


def test_by_hand(history: list[dict], tmp_path: Path) -> None:
    """Static lists, pins, edits, a cancelled backfill and references, with input going on: no drift, no odd change."""
    half = len(history) // 2
    with running(tmp_path / "data", free_port(), clock=shop.CLOCK, partitions="2") as product:
        ids = {"looked often": create(product, "looked often", shop.BEHAVIOUR["looked often"], {})}
        body = {"segment_name": "list", "segment_type": "static", "customer_ids": ["c0001", "c0002", "stranger"]}
        ids["list"] = product.call("POST", BASE, body)["id"]
        ids["listed"] = create(product, "listed", {"member_of": ids["list"]}, {})
        product.run("publish", "-", data=told(history[:half]))
        product.call("POST", f"{BASE}/{ids['looked often']}/customers", {"customer_ids": ["c0003"]})
        product.call("DELETE", f"{BASE}/{ids['looked often']}/customers", {"customer_ids": ["c0004"]})
        wider = {"activity": {"name": "viewed", "count": {"operator": "gte", "value": 2}, "window": {"days": 50}}}
        product.call("PUT", f"{BASE}/{ids['looked often']}", {"criteria": wider})
        product.run("publish", "-", data=told(history[half:]))
        product.call("DELETE", f"{BASE}/{ids['list']}/customers", {"customer_ids": ["c0002"]})
        with pytest.raises(RequestFailed) as refused:
            product.call("PUT", f"{BASE}/{ids['looked often']}", {"criteria": {"member_of": ids["looked often"]}})
        assert refused.value.status == 422
        with pytest.raises(RequestFailed) as needed:
            product.call("DELETE", f"{BASE}/{ids['list']}")
        assert needed.value.status == 409
        product.run("wait-idle", "--timeout", "120")

        assert product.members(ids["list"]) == {"c0001", "stranger"}
        assert product.members(ids["listed"]) == {"c0001"}
        expected = oracle.members_at(history, {"wider": wider}, NOW)["wider"]
        assert product.members(ids["looked often"]) == (expected | {"c0003"}) - {"c0004"}
        by_id = folded(product.changes())
        assert {key: by_id.get(key, set()) for key in ids.values()} == {
            key: product.members(key) for key in ids.values()
        }
        product.run("verify")
        product.call("DELETE", f"{BASE}/{ids['looked often']}/pins")
        product.run("wait-idle")
        assert product.members(ids["looked often"]) == expected
        product.run("verify")
