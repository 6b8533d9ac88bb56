"""Options as the database has them, also those of a release to come."""

from __future__ import annotations

import msgspec
import pytest

from service.adapters.postgres.campaigns.rows import _read_options
from service.app.campaigns.definitions import CampaignDefinition
from service.core.campaigns.model import CodeGenerator, FrequencyCap, Options, QuietHours

SAID = Options(
    code_generator=CodeGenerator("K-"),
    quiet_hours=QuietHours("22:00", "07:00"),
    frequency_caps=(FrequencyCap(1, 60, "sms"),),
    holdout_percent=10,
)


class TestStoredOptions:
    """What a newer release writes can be read by this one while both run."""

    def test_unknown_fields_are_left_out(self) -> None:
        """At any depth."""
        stored = msgspec.to_builtins(SAID) | {"send_time": "best"}
        stored["code_generator"]["length"] = 12
        stored["quiet_hours"]["days"] = ["sunday"]
        stored["frequency_caps"] = [one | {"scope": "brand"} for one in stored["frequency_caps"]]
        assert _read_options(msgspec.json.encode(stored).decode()) == SAID

    @pytest.mark.parametrize("text", ['{"priority": "high"}', "[]", '{"quiet_hours": 7, "x": 1}'])
    def test_what_is_no_form_of_options_is_refused(self, text: str) -> None:
        """A known field of another kind is no matter of releases."""
        with pytest.raises(msgspec.ValidationError):
            _read_options(text)

    def test_files_of_definitions_stay_strict(self) -> None:
        """Who writes a field that there is not is told."""
        assert msgspec.structs.asdict(SAID)
        with pytest.raises(msgspec.ValidationError, match="unknown field"):
            msgspec.convert({"options": {"send_time": "best"}, "id": "1"}["options"], Options)
        assert CampaignDefinition.__struct_config__.forbid_unknown_fields
