"""Since when the answer holds, and when time alone will change it."""

from __future__ import annotations

import pytest

from service.app import explain as use_case
from service.core import instants
from tests.facts import Service
from tests.integration.explain.support import DAY, HOUR, NOW, SEGMENTS, START, event, explained


class TestTime:
    """Since when, and when it will change."""

    async def test_instants(self, service: Service) -> None:
        """Since is the stored instant, of the latest leaving too; changes_at is exactly t + W, or null for never."""
        found = {}
        for key in SEGMENTS:
            answer = await explained(service, key)
            days = [
                None if at is None else (instants.parse(at) - START) / DAY
                for at in map(answer.get, ("since", "changes_at"))
            ]
            found[key] = (answer["member"], *days)

        assert found == {
            "everybody": (True, 0, None),
            "logins": (True, 10, 25),
            "quiet": (False, None, 25),
            "spenders": (True, 4, 34),
            "shoppers": (True, 4, 34),
            "mixed": (False, 12, 34),
            "never": (False, None, None),
            "viewers": (True, 17, 22),
            "converted": (True, 18, None),
            "abandoned": (False, None, 26),
        }

    async def test_the_walk_of_changes(self, service: Service) -> None:
        """From change to change of any segment the answers follow the stored membership, until nothing changes."""
        now, seen = NOW, set()
        while changes := {
            key: found for key in SEGMENTS if (found := (await explained(service, key, now=now))["changes_at"])
        }:
            was = {key: (await explained(service, key, now=now))["member"] for key in SEGMENTS}
            now = instants.parse(min(changes.values()))
            await service.fire(now)
            for key, is_member in was.items():
                is_due = key in changes and instants.parse(changes[key]) == now
                answer = await explained(service, key, now=now)
                assert (answer["member"] is not is_member) is is_due, (key, now)
                assert answer["notes"] == []
            seen.add(now)

        assert len(seen) == 6
        await service.fire(now + 1_000 * DAY)
        assert [(await explained(service, key, now=now + 1_000 * DAY))["notes"] for key in SEGMENTS] == [[]] * len(
            SEGMENTS
        )

    async def test_events_that_wait_for_their_time(self, service: Service) -> None:
        """A fact whose time has not come changes the membership when it comes."""
        service.rules = service.rules._replace(is_clock_fixed=False)
        await service.take([event(200, "customer.updated", 20 * DAY + HOUR // 60, customer_type="individual")], NOW)
        answer = await explained(service, "never")

        assert answer["changes_at"] == instants.to_text(NOW + HOUR // 60)
        assert answer["predicates"][0]["value"] == "business"
        await service.fire(NOW + HOUR)
        assert (await explained(service, "never", now=NOW + HOUR))["since"] == answer["changes_at"]

    async def test_a_timer_that_has_not_fired(self, service: Service) -> None:
        """Where what is stored lags behind the facts, the answer says so."""
        answer = await explained(service, "logins", now=START + 25 * DAY)

        assert (answer["member"], answer["predicates"][0]["verdict"]) == (True, False)
        assert len(answer["notes"]) == 1
        assert "the customer is out, and stored as in" in answer["notes"][0]

    async def test_too_many_instants(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where not all instants are looked at the answer says so instead of claiming that nothing changes."""
        monkeypatch.setattr(use_case, "LOOKS_MAX", 0)
        answer = await explained(service, "logins")
        nothing = await explained(service, "never")

        assert answer["changes_at"] is None
        assert "too many instants" in answer["notes"][0]
        assert nothing["notes"] == []
