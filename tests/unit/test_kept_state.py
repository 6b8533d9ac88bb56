"""What profiles keep and store: only what is asked for, in a form with a number."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID
from zlib import crc32

import pytest

from service.core import instants
from service.core.criteria.needs import needs_of
from service.core.criteria.parse import parse_criteria
from service.core.profiles.codec import FORM, StateCorrupt, StateUnknown, decode_state, encode_state
from service.core.profiles.ledger import ActivityFact, Ledger, OrderFact
from service.core.profiles.profile import Profile
from service.core.profiles.shape import Shape

DAY = instants.DAY
VALUES = (1, Decimal("2.5"), "long text", True, None)


def windowed(figure: str, **more: object) -> Shape:
    """The shape for a figure of the property p of activities v within two days, and for other criteria."""
    return Shape().grown_for(needs_of([parse_criteria({**asking(figure), **more})]))


def asking(figure: str) -> dict[str, object]:
    """Criteria that ask for it."""
    test = {"property": "p", "operator": "gte", "value": 1}
    return {"activity": {"name": "v", figure: test, "window": {"days": 2}}}


def told(count: int = len(VALUES)) -> list[ActivityFact]:
    """Activities v, one a day from day 1 on."""
    return [ActivityFact("v", (1 + n) * DAY, {"p": VALUES[n % len(VALUES)]}) for n in range(count)]


def refolded(shape: Shape, evaluated_to: int, *facts: ActivityFact | OrderFact) -> Profile:
    """A profile at an instant, made anew from facts."""
    profile = Profile(UUID(int=1), "c")
    profile.evaluated_to = evaluated_to
    profile.refold(Ledger(True, facts), shape)
    return profile


class TestValues:
    """Values of properties."""

    def test_only_numbers_are_kept_where_only_numbers_count(self) -> None:
        """A sum has no use for a text, so it is not stored with every entry."""
        (series,) = refolded(windowed("sum"), DAY, *told()).behaviour.series.values()

        assert series.values == [1, Decimal("2.5"), None, None, None]

    def test_all_are_kept_where_different_ones_count(self) -> None:
        """The number of different values needs each."""
        (series,) = refolded(windowed("distinct"), DAY, *told()).behaviour.series.values()

        assert series.values == list(VALUES)

    def test_a_shape_that_begins_to_count_different_ones_is_a_new_one(self) -> None:
        """Profiles of the old one are folded anew."""
        needs = needs_of([parse_criteria(asking("distinct"))])
        shape = windowed("sum")
        grown = shape.grown_for(needs)

        assert grown.version == shape.version + 1
        assert [one.has_numbers_only for one in (*shape.series, *grown.series)] == [True, False]
        assert grown.grown_for(needs_of([])) is grown

    def test_an_older_shape_keeps_what_it_kept(self) -> None:
        """A shape from before numbers alone were kept goes on to keep all, so that its profiles stay as they are."""
        shape = windowed("sum")
        older = Shape(shape.version, series=tuple(one._replace(has_numbers_only=False) for one in shape.series))
        needs = needs_of([parse_criteria(asking("sum"))])

        assert older.grown_for(needs) is older


class TestRefold:
    """Profiles that are made anew from all facts."""

    def test_what_no_window_reaches_is_not_kept(self) -> None:
        """Neither activities nor orders at or before the horizon; totals count them all the same."""
        shape = windowed("sum", total_orders={"operator": "gte", "value": 1, "window": {"days": 2}})
        orders = [OrderFact(f"o{n}", "placed", (n * DAY, False, "", f"e{n}"), 100, [], False) for n in range(1, 11)]
        profile = refolded(shape, 10 * DAY, *reversed(told(10)), *orders)

        assert profile.entries.instants == [9 * DAY, 10 * DAY]
        assert profile.behaviour.series[0].instants == [9 * DAY, 10 * DAY]
        assert (profile.total_orders, profile.last_order_at) == (10, 10 * DAY)

    def test_facts_come_in_any_order(self) -> None:
        """The state is that of the order of time."""
        shape, facts = windowed("distinct"), told(30)

        assert encode_state(refolded(shape, 20 * DAY, *reversed(facts))) == encode_state(
            refolded(shape, 20 * DAY, *facts)
        )


def stored_as(body: bytes) -> bytes:
    """A state with a checksum that matches."""
    return crc32(body).to_bytes(4, "little") + body


class TestForm:
    """The form of a stored state."""

    def profile(self) -> Profile:
        """One with something of everything behavioral."""
        return refolded(windowed("distinct"), DAY, *told())

    def test_a_state_has_a_form_and_comes_back(self) -> None:
        """What was stored is read again, the same to the last byte."""
        state = encode_state(self.profile())
        again = Profile(UUID(int=1), "")
        decode_state(state, again)

        assert state[4] == FORM
        assert encode_state(again) == state

    def test_a_state_from_before_forms_is_read(self) -> None:
        """The list stood at once behind the checksum."""
        state = encode_state(self.profile())
        again = Profile(UUID(int=1), "")
        decode_state(stored_as(state[5:]), again)

        assert encode_state(again) == state

    def test_an_unknown_form_is_refused(self) -> None:
        """A state that a newer release wrote is not guessed at."""
        with pytest.raises(StateUnknown, match="has form 2"):
            decode_state(stored_as(b"\2" + encode_state(self.profile())[5:]), Profile(UUID(int=1), ""))

    def test_a_broken_state_is_refused(self) -> None:
        """The checksum covers the form."""
        state = bytearray(encode_state(self.profile()))
        state[4] ^= 1

        with pytest.raises(StateCorrupt):
            decode_state(bytes(state), Profile(UUID(int=1), ""))
