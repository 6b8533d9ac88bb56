"""What became of a batch, counted once it is committed: whole batches at a time, so that no event waits for it."""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np

from service.app import metrics
from service.app.batch import Outcome
from service.app.ingest import Decoded
from service.app.tally import Tally

#: The type of what could not be read.
UNKNOWN: Final = "unknown"


def count_batch(tally: Tally, decoded: Decoded, outcome: Outcome, now: int, seconds: float) -> None:
    """Counts every event of the batch exactly once, by type and outcome; some records hold several.

    applied: its fact was stored now. duplicate: all of it was known, dead letters read again among them. stale: of a
    customer erased before. dead: set aside for any other reason.

    Args:
        tally: where to.
        decoded: the batch.
        outcome: what became of it.
        now: the clock after the commit, microseconds.
        seconds: from decoding to commit.
    """
    fresh = {(letter.topic, letter.partition, letter.offset) for letter in outcome.letters}
    erased = {id(event) for event in outcome.erased}
    found: Counter[tuple[str, ...]] = Counter(
        (event.type, "duplicate") for some in decoded.events.values() for event in some
    )
    applied = [event for some in outcome.fresh.values() for event in some]
    if erased:
        applied = [event for event in applied if id(event) not in erased]
        for event in outcome.erased:
            one = decoded.places[id(event)]
            if (one.topic, one.partition, one.offset) in fresh:
                found[event.type, "stale"] += 1
                found[event.type, "duplicate"] -= 1
    for kind, number in Counter(event.type for event in applied).items():
        found[kind, "applied"] += number
        found[kind, "duplicate"] -= number
    for letter in decoded.letters:
        is_new = (letter.topic, letter.partition, letter.offset) in fresh
        found[UNKNOWN, "dead" if is_new else "duplicate"] += 1
    tally.count_all(metrics.EVENTS, found)
    tally.count_all(metrics.LETTERS, Counter((letter.topic, letter.reason) for letter in outcome.letters))
    ages = now - np.fromiter((event.at for event in applied), np.int64, len(applied))
    tally.observe_all(metrics.EVENT_AGE, np.maximum(ages, 0) / 1_000_000)
    tally.observe(metrics.PROCESSING, seconds)
