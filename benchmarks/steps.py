"""Timers around the steps of the worker's batch path: each second counts once, for the innermost step.

CPU time rather than the wall's, so that other work on the machine does not disturb much: this thread's, and for
statements the backend's. Waiting is what a statement took beside this thread's work: backend, disk, and others' turns.
"""

from __future__ import annotations

import functools
import gc
import inspect
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import asyncpg

from consumers import apply
from service.adapters.postgres import batch_sql, store
from service.app import batch, ingest
from service.core.criteria.plan import Plan
from service.core.segments.walk import Walk, _Settled

#: Where to look, what to call it. Steps stand in the order of the path.
STEPS: Final[tuple[tuple[Any, str, str], ...]] = (
    (apply.Applier, "_wait_for_outbox", "outbox limit: rest"),
    (apply, "decode_batch", "decode events"),
    (ingest, "run_batch", "batch: rest"),
    (store.PostgresStore, "catalogue", "catalogue: rest"),
    (store.PostgresStore, "lock_profiles", "profiles: rows to objects"),
    (store.PostgresStore, "touched_facts", "facts lookup: keys, rows to objects"),
    (store.PostgresStore, "known_ids", "known ids: keys, rows to objects"),
    (batch, "_new_events", "new events: rest"),
    (batch, "_profile", "decode profile state"),
    (batch._Walker, "walk_all", "walk: rest"),  # noqa: SLF001 - timed from outside
    (batch._Walker, "walk_again", "walk again (whole ledger)"),  # noqa: SLF001
    (Walk, "add", "walk: apply events, edges, columns"),
    (Walk, "_sweep", "sweep: gather, edges, columns"),
    (Walk, "transitions", "transitions: find, ordinals"),
    (_Settled, "settle", "transitions: previous rows, pins, frozen"),
    (Plan, "evaluate", "evaluate criteria"),
    (batch, "next_due", "next edge"),
    (store.PostgresStore, "write_facts", "facts: build rows"),
    (store.PostgresStore, "write_profiles", "profiles: encode state, build rows"),
    (store.PostgresStore, "write_orders", "orders: build rows"),
    (store.PostgresStore, "write_memberships", "memberships: build rows"),
    (store.PostgresStore, "write_outbox", "outbox: encode"),
    (store.PostgresStore, "advance_frontier", "frontier: rest"),
)
_NAMES: Final = {value: name.lower() for name, value in vars(batch_sql).items() if isinstance(value, str)}


class Cost(NamedTuple):
    """Seconds of a step: CPU of this thread, CPU of the database's backend, and waiting for the database."""

    python: float = 0.0
    backend: float = 0.0
    waiting: float = 0.0


class Steps:
    """Collects costs by step; install before a batch, uninstall after it. One task at a time.

    What the timers themselves cost is measured first and taken out.

    Args:
        backend: pid of the database's backend.
    """

    def __init__(self, backend: int) -> None:
        self._sums: dict[str, list[float]] = {}
        self._schedule = Path(f"/proc/{backend}/schedstat")
        self._inner = [0.0]  # CPU of inner steps, by depth
        self._undo: list[Callable[[], None]] = []
        self._started = self._collecting = 0.0
        self._within = self._beside = 0.0
        self._calibrate()

    def ordered(self) -> list[tuple[str, Cost]]:
        """Steps with their costs, the costliest first."""
        found = {name: Cost(*some) for name, some in self._sums.items()}
        return sorted(found.items(), key=lambda one: -sum(one[1][:2]))

    def install(self) -> None:
        """Puts the timers in."""
        for owner, attribute, name in STEPS:
            self._patch(owner, attribute, _always(name))
        for method in ("fetch", "fetchval", "fetchrow", "execute"):
            self._patch(asyncpg.Connection, method, _statement)
        for method in ("copy_records_to_table", "copy_to_table"):
            self._patch(asyncpg.Connection, method, lambda arguments: f"SQL copy {arguments[1]}")
        gc.callbacks.append(self._collect)
        self._inner = [0.0]
        self._started = time.thread_time()

    def uninstall(self) -> None:
        """Takes the timers out again; what no step took is the rest."""
        spent = time.thread_time() - self._started
        gc.callbacks.remove(self._collect)
        for undo in reversed(self._undo):
            undo()
        self._undo.clear()
        self._add("everything else", spent - self._inner[0])

    def _calibrate(self, calls: int = 20_000) -> None:
        """What one timer costs: within the step it times, and beside it."""
        nothing = self._wrapped(lambda: None, _always("nothing"))
        started = time.thread_time()
        for _ in range(calls):
            nothing()
        total = (time.thread_time() - started) / calls
        self._within = self._sums.pop("nothing")[0] / calls
        self._beside = total - self._within
        self._inner = [0.0]

    def _collect(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._collecting = time.thread_time()
        else:
            spent = time.thread_time() - self._collecting
            self._add("garbage collection", spent)
            self._inner[-1] += spent

    def _add(self, name: str, python: float, backend: float = 0.0, waiting: float = 0.0) -> None:
        sums = self._sums.setdefault(name, [0.0, 0.0, 0.0])
        sums[0] += python
        sums[1] += backend
        sums[2] += waiting

    def _end(self, name: str, started: float) -> float:
        spent = time.thread_time() - started
        self._add(name, spent - self._inner.pop() - self._within)
        self._inner[-1] += spent + self._beside
        return spent

    def _backend(self) -> float:
        return int(self._schedule.read_bytes().split()[0]) / 1e9

    def _patch(self, owner: Any, attribute: str, name_of: Callable[[tuple[Any, ...]], str]) -> None:
        original = getattr(owner, attribute)
        wrapped = self._wrapped(original, name_of)
        setattr(owner, attribute, wrapped)
        self._undo.append(lambda: setattr(owner, attribute, original))

    def _wrapped(self, original: Any, name_of: Callable[[tuple[Any, ...]], str]) -> Any:
        if inspect.iscoroutinefunction(original):

            @functools.wraps(original)
            async def waited(*arguments: Any, **options: Any) -> Any:
                name = name_of(arguments)
                is_statement = name.startswith("SQL ")
                wall, backend = time.perf_counter(), self._backend() if is_statement else 0.0
                self._inner.append(0.0)
                started = time.thread_time()
                try:
                    return await original(*arguments, **options)
                finally:
                    spent = self._end(name, started)
                    if is_statement:
                        waiting = time.perf_counter() - wall - spent
                        self._add(name, 0.0, self._backend() - backend, waiting)

            return waited

        @functools.wraps(original)
        def called(*arguments: Any, **options: Any) -> Any:
            self._inner.append(0.0)
            started = time.thread_time()
            try:
                return original(*arguments, **options)
            finally:
                self._end(name_of(arguments), started)

        return called


def _always(name: str) -> Callable[[tuple[Any, ...]], str]:
    return lambda _: name


def _statement(arguments: tuple[Any, ...]) -> str:
    text = arguments[1]
    return f"SQL {_NAMES.get(text) or ' '.join(text.split()[:3])}"
