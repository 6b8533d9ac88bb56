"""What a soak has to say: a table for people, JSON for machines."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import Any

from tests.soak.faults import FAULTS
from tests.soak.schedule import RECOVERY_SECONDS_MAX, Injected


@dataclass
class Report:
    """Everything that one soak found."""

    seed: int
    seconds: float
    injected: list[Injected]
    load: dict[str, int]
    verdict: dict[str, Any]
    observer_changes: int
    observer_wrong: int
    observer_faults: list[str]
    died_by_themselves: list[str]
    errors_logged: dict[str, int]
    is_verified: bool
    load_average: float  # of the machine, over five minutes

    @property
    def wrong(self) -> int:
        """How many results were wrong, in the end or while the observer looked."""
        return int(self.verdict["wrong"]) + self.observer_wrong + (not self.is_verified)

    @property
    def lost(self) -> list[str]:
        """Faults after which nothing came through any more for a minute."""
        return [f"{one.kind} at {one.at_seconds} s" for one in self.injected if one.is_lost]

    @property
    def is_right(self) -> bool:
        """Nothing wrong, and everything recovered."""
        return self.wrong == 0 and not self.lost

    def by_kind(self) -> dict[str, dict[str, Any]]:
        """Figures of each kind of fault."""
        found = {}
        for kind, fault in FAULTS.items():
            mine = [one for one in self.injected if one.kind == kind]
            events = [one.events_seconds for one in mine if one.events_seconds is not None]
            timers = [one.timers_seconds for one in mine if one.timers_seconds is not None]
            found[kind] = {
                "injected": len(mine),
                "measured": len(events),
                "counts_from": fault.counts_from,
                "goal_seconds": fault.goal_seconds,
                "events_median": _rounded(statistics.median(events)) if events else None,
                "events_max": _rounded(max(events)) if events else None,
                "timers_median": _rounded(statistics.median(timers)) if timers else None,
                "timers_max": _rounded(max(timers)) if timers else None,
                "lost": sum(one.is_lost for one in mine),
            }
        return found

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {**asdict(self), "wrong": self.wrong, "lost": self.lost, "by_kind": self.by_kind()}


def _rounded(seconds: float) -> float:
    return round(seconds, 1)


def printed(report: Report) -> str:
    """The table, and what was wrong."""
    verdict = report.verdict
    lines = [
        "",
        f"{'fault':28} {'injected':>8} {'measured':>8}  {'events: median, max':>20}  {'timers: median, max':>20}  from",
    ]
    for kind, row in report.by_kind().items():
        is_slow = (row["events_max"] or 0) > row["goal_seconds"]
        events, timers = (
            f"{_told(row[f'{one}_median'])} s, {_told(row[f'{one}_max'])} s" for one in ("events", "timers")
        )
        slow = f"  above the goal of {row['goal_seconds']:.0f} s" if is_slow else ""
        lines.append(
            f"{kind:28} {row['injected']:8} {row['measured']:8}  {events:>20}  {timers:>20}  {row['counts_from']}{slow}"
        )
    lines += [
        "",
        f"seed {report.seed}; {report.seconds} s; {len(report.injected)} faults",
        f"load average of the machine {report.load_average:.1f}",
        f"events {verdict['events']} of {verdict['customers']} customers in {verdict['records']} records",
        f"the load's producer started over {report.load['renewed']} times",
        f"changes published {verdict['changes']}, seen by the observer during the faults {report.observer_changes}",
        f"memberships in the end {verdict['memberships']}",
        f"whole history compared of {verdict['exact']} of {verdict['in_order']} customers whose events came in order",
        f"errors logged {report.errors_logged or 0}; roles that ended by themselves {report.died_by_themselves or 0}",
        f"segments verify {'clean' if report.is_verified else 'FOUND DRIFT'}",
        f"not recovered within {RECOVERY_SECONDS_MAX:.0f} s: {report.lost or 0}",
        f"wrong results {report.wrong}",
        *[f"  the checker: {fault}" for fault in verdict["faults"]],
        *[f"  the observer: {fault}" for fault in report.observer_faults],
    ]
    return "\n".join(lines) + "\n"


def _told(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f}"
