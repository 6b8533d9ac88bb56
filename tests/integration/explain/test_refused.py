"""What cannot be explained, and who else may be meant."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from service.app import explain as use_case
from service.app.explain import CustomerMissing, ExplainError
from service.core.identity import customer_uuid
from tests.facts import Service
from tests.integration.explain.support import DAY, NOW, event, explained, order


class TestRefused:
    """What cannot be explained."""

    async def test_unknown_customers(self, service: Service) -> None:
        """Ids that nobody has heard of, impossible ids and guests are unknown."""
        await service.take([order(300, "placed", 0, "g", None, total=5)], NOW)
        for customer in ("bob", "", "x" * 129, "\ud800", str(UUID(int=0)), str(uuid4())):
            with pytest.raises(CustomerMissing, match="no customer"):
                await explained(service, "everybody", customer)

    async def test_erased(self, service: Service) -> None:
        """Of an erased customer nothing is said but that."""
        await service.take([event(301, "customer.deleted", 20 * DAY)], NOW)

        with pytest.raises(CustomerMissing, match="erased"):
            await explained(service, "everybody")

    async def test_too_many_facts(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        """Beyond a limit nothing is explained."""
        monkeypatch.setattr(use_case, "FACTS_MAX", 5)

        with pytest.raises(ExplainError, match="more than 5 facts"):
            await explained(service, "everybody")

    async def test_by_uuid(self, service: Service) -> None:
        """A customer may be named by UUID."""
        assert await explained(service, "mixed", str(customer_uuid("ada")).upper()) == await explained(service, "mixed")

    async def test_over_limit(self, service: Service) -> None:
        """Who is beyond the limits of a profile is told."""
        await service.run("UPDATE profiles SET is_over_limit = true")

        assert "stand still" in (await explained(service, "logins"))["notes"][0]
