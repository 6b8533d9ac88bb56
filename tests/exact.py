"""The data sets with known answers: a folder named by SEGMENTS_TEST_DATA (its format: that folder's README)."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.core import instants

CURRENCIES = {
    "online_retail_2011": "GBP",
    "complete_journey_a": "USD",
    "edge_cases": "EUR",
    "edge_cases_shuffled": "EUR",
}


@dataclass(frozen=True)
class DataSet:
    """One set of events with its definitions and expected answers."""

    folder: Path
    name: str

    @property
    def currency(self) -> str:
        """The currency of its orders."""
        return CURRENCIES[self.name]

    def lines(self) -> Iterator[bytes]:
        """Events as they stand in the file."""
        with gzip.open(self.folder / f"{self.name}.events.ndjson.gz") as file:
            yield from file

    def segments(self) -> list[dict]:
        """Definitions that apply to this set."""
        file = "segments_edge.json" if self.name.startswith("edge") else "segments.json"
        found = json.loads((self.folder / file).read_text())
        entries = found["segments"] if isinstance(found, dict) else found
        return [one for one in entries if self.name in one["applies_to"]]

    def memberships(self) -> list[dict]:
        """Expected results at several instants."""
        with gzip.open(self.folder / "expected" / f"{self.name}.membership.json.gz") as file:
            return json.load(file)["results"]

    def transitions(self) -> tuple[dict, list[tuple[str, str, int, str]]] | None:
        """The head and the expected transitions; None where the set has none."""
        path = self.folder / "expected" / f"{self.name}.transitions.ndjson.gz"
        if not path.exists():
            return None
        with gzip.open(path) as file:
            head = json.loads(next(file))
            rows = [json.loads(line) for line in file]
        return head, [(r["customer_id"], r["segment_id"], instants.parse(r["at"]), r["change"]) for r in rows]


def data_folder() -> Path | None:
    """The folder of the sets, or None where none is named; a named one must exist."""
    named = os.environ.get("SEGMENTS_TEST_DATA")
    if not named:
        return None
    folder = Path(named)
    if not (folder / "segments.json").exists():
        raise FileNotFoundError(f"SEGMENTS_TEST_DATA names {folder}, which holds no segments.json")
    return folder


def data_sets() -> list[str]:
    """Names of the sets at hand."""
    return list(CURRENCIES) if data_folder() else []
