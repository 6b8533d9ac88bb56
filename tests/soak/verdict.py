"""What the checker is asked, and what it says."""

from __future__ import annotations

from dataclasses import dataclass, field

FAULTS_KEPT = 10


@dataclass
class Config:
    """Where to look, and what to hold it against.

    Attributes:
        at: the instant at which memberships are compared, in microseconds; everything was applied before it.
        segments: id by name.
        criteria: by name, with the oracle's ids of other segments.
        grace_us: timers promise exact instants for events that reach the topic within this time.
        exact_customers: for so many customers the whole history is computed, not only the membership in the end.
    """

    bootstrap: str
    database_url: str
    inputs: list[str]
    output: str
    dead: str
    partitions: int
    at: int
    segments: dict[str, str]
    criteria: dict[str, dict]
    grace_us: int
    exact_customers: int
    seed: int


@dataclass
class Verdict:
    """Figures and faults of one partition, or of all."""

    records: int = 0
    events: int = 0
    customers: int = 0
    changes: int = 0
    stays: int = 0
    memberships: int = 0
    in_order: int = 0
    exact: int = 0
    wrong: int = 0
    faults: list[str] = field(default_factory=list)
    open: dict[str, int] = field(default_factory=dict)

    def complain(self, fault: str) -> None:
        """Counts a fault, and keeps the first ones."""
        self.wrong += 1
        if len(self.faults) < FAULTS_KEPT:
            self.faults.append(fault)

    def add(self, other: Verdict) -> None:
        """Sums up."""
        for name in ("records", "events", "customers", "changes", "stays", "memberships", "in_order", "exact", "wrong"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.faults = (self.faults + other.faults)[:FAULTS_KEPT]
        for name, count in other.open.items():
            self.open[name] = self.open.get(name, 0) + count
