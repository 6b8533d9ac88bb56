"""Tokens of previews: what they hold for, and for how long."""

from __future__ import annotations

from uuid import UUID

import pytest

from service.app.campaigns.preview_tokens import LASTS, is_valid, make_token

KEY, CAMPAIGN, NOW = b"k" * 32, UUID(int=7), 1_700_000_000_000_000
TOKEN = make_token(KEY, CAMPAIGN, 3, NOW)


@pytest.mark.parametrize("now", [NOW, NOW + LASTS, NOW - 1_000_000])
def test_holds(now: int) -> None:
    """It holds for 15 minutes, also on a machine whose clock is a second behind."""
    assert is_valid(KEY, TOKEN, CAMPAIGN, 3, now)


@pytest.mark.parametrize(
    ("key", "token", "campaign", "revision", "now"),
    [
        (b"l" * 32, TOKEN, CAMPAIGN, 3, NOW),
        (KEY, TOKEN, UUID(int=8), 3, NOW),
        (KEY, TOKEN, CAMPAIGN, 4, NOW),
        (KEY, TOKEN, CAMPAIGN, 3, NOW + LASTS + 1),
        (KEY, TOKEN, CAMPAIGN, 3, NOW - 3_600_000_000),
        (KEY, TOKEN.replace("v1", "v2"), CAMPAIGN, 3, NOW),
        (KEY, TOKEN[:-1] + ("A" if TOKEN[-1] != "A" else "Q"), CAMPAIGN, 3, NOW),
        (KEY, TOKEN[:-8], CAMPAIGN, 3, NOW),
        (KEY, "", CAMPAIGN, 3, NOW),
        (KEY, "v1.", CAMPAIGN, 3, NOW),
        (KEY, "v1.ü", CAMPAIGN, 3, NOW),
    ],
)
def test_does_not_hold(key: bytes, token: str, campaign: UUID, revision: int, now: int) -> None:
    """Not for another campaign or revision, not later, not altered, not with another key."""
    assert not is_valid(key, token, campaign, revision, now)
