"""Which instants a backtest looks at."""

from __future__ import annotations

import pytest

from service.app.backtest import STEPS_MAX, SpanError, moments_of
from service.core import instants
from tests.integration.backtest.support import DAY, NOW


class TestSpans:
    """Which instants are looked at."""

    def test_steps(self) -> None:
        """A, A + step, ... up to B, which is one of them where it fits; a date is the start of its UTC day."""
        day = instants.parse("2024-02-28T00:00:00Z")
        at = "2024-02-28T01:30:00+01:30"

        assert moments_of("2024-02-28", "2024-03-01", "1d", NOW) == [day, day + DAY, day + 2 * DAY]
        assert moments_of("2024-02-28", "2024-03-01", "1w", NOW) == [day]
        assert moments_of(at, "2024-02-28T23:59:59.999999Z", "12h", NOW) == [day, day + DAY // 2]
        assert moments_of(at, at, "30m", NOW) == [day]
        assert moments_of("2024-02-28", instants.to_text(day + (STEPS_MAX - 1) * instants.MINUTE), "1m", NOW)[-1] == (
            day + (STEPS_MAX - 1) * instants.MINUTE
        )
        assert moments_of(instants.to_text(NOW), instants.to_text(NOW), "1d", NOW) == [NOW]

    @pytest.mark.parametrize(
        ("first", "last", "step", "field", "said"),
        [
            ("2024-03-02", "2024-03-01", "1d", "from", "after to"),
            ("2024-03-01", "2024-05-02", "1d", "to", "nothing is known of the future"),
            ("2024-02-30", "2024-03-01", "1d", "from", "2024-02-29"),
            ("2024-03-01T00:00:00", "2024-03-02", "1d", "from", "offset"),
            ("2024-03-01", "", "1d", "to", "must be a date"),
            ("0001-01-01", "2024-03-01", "1d", "from", "must be a date"),
            ("2024-03-01", "2024-03-02", "d", "step", "whole number"),
            ("2024-03-01", "2024-03-02", "0h", "step", "whole number"),
            ("2024-03-01", "2024-03-02", "1.5d", "step", "whole number"),
            ("2024-03-01", "2024-03-02", "-1d", "step", "whole number"),
            ("2024-03-01", "2024-03-02", "1s", "step", "whole number"),
            ("2024-03-01", "2024-03-02", "1m", "step", "1441 steps; at most 1000"),
        ],
    )
    def test_refused(self, first: str, last: str, step: str, field: str, said: str) -> None:
        """What cannot be used is refused by a sentence, with the name of the option."""
        with pytest.raises(SpanError, match=said) as found:
            moments_of(first, last, step, NOW)

        assert found.value.field == field
