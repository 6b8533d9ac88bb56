"""What the evaluator costs: compiling all segments' criteria, and evaluating them over the rows of a batch.

    python -m benchmarks.evaluate
    python -m benchmarks.evaluate --segments 1000 --rows 1 50 2000 --rounds 40

No database and no broker. Each figure is CPU time of this thread, median (min, max) of the rounds, which take turns
among all sizes, so that a slow moment of the machine hits every size once.
"""

from __future__ import annotations

import argparse
import gc
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import numpy as np

from benchmarks.criteria_mix import Segments, rows_of
from service.core.criteria import plan as plan_module
from service.core.criteria.attribute_keys import AttributeKeys
from service.core.criteria.plan import Plan, compile_plan
from service.core.criteria.program import Step
from service.core.criteria.thresholds import Thresholds

#: Where to look, what to call it.
STEPS: Final[tuple[tuple[Any, str, str], ...]] = (
    (plan_module, "_columns", "rows to columns"),
    (Thresholds, "_derive", "ages, averages"),
    (Thresholds, "fill", "thresholds"),
    (AttributeKeys, "tested", "attribute tests"),
    (plan_module, "_pack", "pack"),
    (Step, "run", "and/or"),
    (plan_module, "_unpack", "unpack"),
)


class Shares:
    """Which part of the evaluation's time each step takes; a second counts once, for the innermost step."""

    def __init__(self) -> None:
        self.seconds = {name: 0.0 for _, _, name in STEPS}
        self._inner = [0.0]

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Timers around the steps."""
        originals = [(owner, attribute, getattr(owner, attribute)) for owner, attribute, _ in STEPS]
        for (owner, attribute, original), (_, _, name) in zip(originals, STEPS, strict=True):
            setattr(owner, attribute, self._timed(original, name))
        try:
            yield
        finally:
            for owner, attribute, original in originals:
                setattr(owner, attribute, original)

    def _timed(self, original: Callable[..., Any], name: str) -> Callable[..., Any]:
        def timed(*arguments: Any, **options: Any) -> Any:
            self._inner.append(0.0)
            started = time.thread_time()
            found = original(*arguments, **options)
            spent = time.thread_time() - started
            self.seconds[name] += spent - self._inner.pop()
            self._inner[-1] += spent
            return found

        return timed

    def line(self, total: float) -> str:
        """All steps with their percentage of these seconds."""
        found = {**self.seconds, "everything else": total - sum(self.seconds.values())}
        return ", ".join(f"{name} {100 * seconds / total:.0f} %" for name, seconds in found.items())


class Size(NamedTuple):
    """One size under measurement; times in seconds."""

    segments: int
    plan: Plan
    rows: list[list[int]]
    array: np.ndarray[Any, np.dtype[np.int64]]
    from_rows: list[float]
    from_array: list[float]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--segments", type=int, nargs="+", default=[10, 100, 1_000])
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 50, 2_000])
    parser.add_argument("--rounds", type=int, default=30)
    chosen = parser.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}; ms of CPU\n")
    gc.disable()  # as the consume role does
    sizes = []
    for count in chosen.segments:
        plan = _compile(count)
        sizes += [_size(count, plan, rows) for rows in chosen.rows]
    for _ in range(chosen.rounds):
        for size in sizes:
            size.from_rows.append(_seconds(size.plan.evaluate, size.rows))
            size.from_array.append(_seconds(size.plan.evaluate, size.array))
    for size in sizes:
        _report(size, chosen.rounds)


def _compile(count: int, runs: int = 7) -> Plan:
    segments, slots = Segments(count).by_slot()
    seconds = [_seconds(compile_plan, segments, slots) for _ in range(runs)]
    print(f"{count:6,} segments: compile {_spread(seconds)}")
    return compile_plan(segments, slots)


def _size(segments: int, plan: Plan, count: int) -> Size:
    rows = rows_of(plan, count)
    return Size(segments, plan, rows, np.array(rows, dtype=np.int64), [], [])


def _report(size: Size, rounds: int) -> None:
    cells = len(size.rows) * size.segments
    each = [statistics.median(seconds) / cells * 1e9 for seconds in (size.from_rows, size.from_array)]
    shares = Shares()
    with shares.installed():
        total = sum(_seconds(size.plan.evaluate, size.rows) for _ in range(rounds))
    rows, columns = size.array.shape
    print(
        f"\n{size.segments:6,} segments x {rows:,} rows of {columns} columns"
        f"\n       rows as lists   {_spread(size.from_rows)}, {each[0]:.2f} ns a row and segment"
        f"\n       rows as an array {_spread(size.from_array)}, {each[1]:.2f} ns a row and segment"
        f"\n       as lists: {shares.line(total)}"
    )


def _seconds(work: Callable[..., object], *arguments: object) -> float:
    started = time.thread_time()
    work(*arguments)
    return time.thread_time() - started


def _spread(seconds: Sequence[float]) -> str:
    found = [1e3 * one for one in seconds]
    return f"{statistics.median(found):.3f} ({min(found):.3f}, {max(found):.3f})"


if __name__ == "__main__":
    main()
