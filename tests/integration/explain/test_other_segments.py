"""Explanations where pins, other segments or the segment's own kind and status decide."""

from __future__ import annotations

import pytest

from service.app import explain as use_case
from service.core import instants
from service.core.identity import customer_uuid
from tests.facts import Service
from tests.integration.explain.support import DAY, NOW, START, explained, insert, pin


class TestOtherSegments:
    """member_of, pins, static segments, drafts."""

    async def test_the_change_of_another_segment(self, service: Service) -> None:
        """A change of a segment that is named, however far away, is a change of this one."""
        inner = await insert(service, {"not_member_of": str(service.ids["logins"])})
        outer = await insert(service, {"member_of": str(inner)})
        answer = await explained(service, outer)

        assert answer["changes_at"] == instants.to_text(START + 25 * DAY)
        assert answer["predicates"][0]["value"] is False
        assert (await explained(service, inner))["predicates"] == [
            {
                "path": "criteria.not_member_of",
                "criteria": {"not_member_of": str(service.ids["logins"])},
                "value": True,
                "verdict": False,
            }
        ]

    async def test_pins_of_other_segments(self, service: Service) -> None:
        """A pin decides whatever the criteria say, and time changes nothing about it."""
        await pin(service, service.ids["logins"], is_included=False)
        segment = await insert(service, {"member_of": str(service.ids["logins"])})
        answer = await explained(service, segment)

        assert answer["predicates"][0]["value"] is False
        assert answer["changes_at"] is None

    @pytest.mark.parametrize(("is_included", "word"), [(True, "included"), (False, "excluded")])
    async def test_own_pin(
        self, service: Service, monkeypatch: pytest.MonkeyPatch, is_included: bool, word: str
    ) -> None:
        """A pinned customer's conditions are shown, and nothing changes by time, so that nobody looks for it."""
        monkeypatch.setattr(use_case, "LOOKS_MAX", 0)
        await pin(service, service.ids["logins"], is_included)
        answer = await explained(service, "logins")

        assert (answer["pin"], answer["changes_at"]) == (word, None)
        assert answer["predicates"][0]["verdict"] is True
        assert "pinned" in answer["notes"][0]
        assert "too many" not in answer["notes"][-1]

    async def test_kinds_of_other_segments(self, service: Service) -> None:
        """Drafts, archived and deleted segments have no members; a static one only those who are pinned."""
        kinds: list[tuple[dict, bool, bool]] = [
            ({}, True, True),
            ({"segment_type": "behavioral"}, True, True),
            ({"segment_type": "static"}, False, True),
            ({"status": "draft"}, False, False),
            ({"status": "archived"}, False, False),
            ({"is_deleted": True}, False, False),
        ]
        for columns, is_member, is_member_by_pin in kinds:
            named = await insert(service, {}, **columns)
            segment = await insert(service, {"member_of": str(named)})
            before = await explained(service, segment)
            await pin(service, named, is_included=True)
            after = await explained(service, segment)

            assert before["predicates"][0]["value"] is is_member, columns
            assert after["predicates"][0]["value"] is is_member_by_pin, columns

    async def test_a_long_chain(self, service: Service) -> None:
        """Segments that name one another many times over are each judged once."""
        last = service.ids["logins"]
        for _ in range(300):
            last = await insert(service, {"any": [{"member_of": str(last)}, {"not": {"not_member_of": str(last)}}]})
        answer = await explained(service, last)

        assert [one["verdict"] for one in answer["predicates"]] == [True, False]
        assert answer["changes_at"] == instants.to_text(START + 25 * DAY)

    async def test_segments_without_members(self, service: Service) -> None:
        """A draft or archived segment has no members, whatever its conditions say, and the answer says so."""
        for status in ("draft", "archived"):
            await service.run("UPDATE customer_segments SET status = :status", status=status)
            answer = await explained(service, "logins")

            assert (answer["member"], answer["changes_at"]) == (False, None)
            assert answer["predicates"][0]["verdict"] is True
            assert len(answer["notes"]) == 1
            assert status in answer["notes"][0]

    async def test_a_draft_that_names_others(self, service: Service) -> None:
        """The conditions of a draft are judged by the segments that it names, and time changes nothing yet."""
        draft = await insert(service, {"member_of": str(service.ids["logins"])}, status="draft")
        answer = await explained(service, draft)

        assert (answer["predicates"][0]["value"], answer["changes_at"]) == (True, None)

    async def test_static(self, service: Service) -> None:
        """A static segment has no conditions; who is pinned is a member, known or not."""
        segment = await insert(service, {}, segment_type="static")
        before = await explained(service, segment)
        await pin(service, segment, is_included=True)
        await pin(service, segment, True, "stranger")
        ordinal = {"segment": segment, "at": instants.to_datetime(NOW)}
        for customer in ("ada", "stranger"):
            await service.run(
                """
                INSERT INTO customer_segment_memberships
                    (customer_id, segment_id, ordinal, joined_at, membership_source, segment_version)
                VALUES (:customer, :segment, 1, :at, 'manual', 1)
                """,
                customer=customer_uuid(customer),
                **ordinal,
            )
        after = [await explained(service, segment, customer) for customer in ("ada", "stranger")]

        assert (before["member"], before["since"], before["pin"], before["predicates"]) == (False, None, None, [])
        assert "static" in before["notes"][0]
        for answer in after:
            assert (answer["member"], answer["pin"], answer["changes_at"]) == (True, "included", None)
            assert answer["since"] == instants.to_text(NOW)

    async def test_pinned_without_events(self, service: Service) -> None:
        """Nobody without events satisfies a condition."""
        await pin(service, service.ids["everybody"], True, "stranger")
        answer = await explained(service, "never", "stranger")

        assert (answer["member"], answer["predicates"][0]["verdict"]) == (False, False)
        assert "No event" in answer["notes"][0]
