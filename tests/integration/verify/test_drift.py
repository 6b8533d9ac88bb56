"""Verify finds what does not follow from the facts of attributes and orders, and nothing else."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest

from service.adapters.postgres.verify import verify
from service.app.verify import VerifyError
from service.core.identity import customer_uuid
from tests.facts import Service
from tests.integration.verify.plain import CHANGES, NOW, apply_change, ids_of
from tests.integration.verify.support import drift_of


class TestDrift:
    """What verify finds."""

    @pytest.mark.parametrize("name", CHANGES)
    async def test_changes_by_hand_are_found(self, service: Service, name: str) -> None:
        """Each damage shows in the segments and the profile it concerns, with the customer, and nowhere else."""
        _, drift, fault = CHANGES[name]
        await apply_change(service, name)

        report = await verify(service.database, None, NOW)

        assert drift_of(report) == drift
        assert {one.external_id for each in report.segments for one in each.examples} <= {
            "c1",
            str(customer_uuid("c1")),
        }
        faults = [one for found in report.profiles.examples.values() for one in found]
        assert (fault in faults) if fault else not report.profiles.drifted
        assert len(report.profiles.drifted) == bool(fault)
        assert "example.com" not in json.dumps(report.to_json())

    async def test_only_segments_asked_for(self, service: Service) -> None:
        """With ids given the other segments are left out."""
        ids = await ids_of(service.database)

        report = await verify(service.database, [ids["big"]], NOW)

        assert [one.segment.name for one in report.segments] == ["big"]

    async def test_unknown_segment(self, service: Service) -> None:
        """An id that no kept segment has is a sentence, not silence."""
        unknown = uuid4()

        with pytest.raises(VerifyError, match=str(unknown)):
            await verify(service.database, [unknown], NOW)
