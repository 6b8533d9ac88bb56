"""`segments rebuild`: makes what is stored follow from the facts again, and publishes the differences."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from service.adapters.postgres.repair import PostgresBase
from service.app.pins import Contention
from service.app.rebuild import Rebuilt
from service.app.rebuild import rebuild as rebuild_base
from service.app.repair import RepairStopped
from service.app.verify import VerifyError
from service.bootstrap import DEFAULT_DATA_DIR, open_batches, open_database
from service.cli.run import AsJson, CommandError, DataDir, command_settings, console, fail, print_json, run
from service.cli.verify import print_report
from service.clock import make_clock
from service.crash import arm
from service.settings import Settings


def rebuild(
    emit: Annotated[bool, typer.Option("--emit", help="Repair, and publish the differences of membership.")] = False,
    segment: Annotated[list[UUID] | None, typer.Option(help="Only this segment; may be given several times.")] = None,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Recompute profiles and membership from the facts; a dry run that shows what differs, unless --emit is given.

    With --emit every customer who differs is repaired as a whole, and only net differences of membership are published,
    with the reason rebuild.
    """
    found: Rebuilt = run(_rebuild(command_settings(data_dir), segment or None, is_emitting=emit))
    if as_json:
        print_json(found.to_json())
    else:
        print_report(found.report)
        for segment_id, count in found.counts.items():
            console.print(f"count of {segment_id}: stored {count.stored}, by the facts {count.told}", markup=False)
        console.print(_sentence(found), markup=False)
    repaired = found.repaired
    if repaired is not None and repaired.set_aside:
        listed = ", ".join(map(str, repaired.set_aside[:10]))
        fail(f"{len(repaired.set_aside)} customers could not be recounted and stay as they are: {listed}.")


async def _rebuild(settings: Settings, segment_ids: list[UUID] | None, *, is_emitting: bool) -> Rebuilt:
    arm(settings.crash_at)
    database = open_database(settings, "rebuild", pool_size=2)
    base = PostgresBase(database, open_batches(settings, database).repairs)
    try:
        with _bar() as note:
            return await rebuild_base(
                base, make_clock(settings.fixed_clock), segment_ids, is_emitting=is_emitting, note=note
            )
    except (VerifyError, RepairStopped) as error:
        raise CommandError(str(error)) from None
    except Contention:
        msg = (
            "Others kept changing the same customers; what is repaired so far stays, and the same again does the rest."
        )
        raise CommandError(msg) from None
    finally:
        await database.close()


def _sentence(found: Rebuilt) -> str:
    """What was done, or what --emit would do."""
    if not found.differs:
        return "Everything follows from the facts; there is nothing to repair."
    repaired = found.repaired
    if repaired is not None:
        return (
            f"Repaired {repaired.customers} customers and {len(found.counts)} counts of members;"
            f" published {repaired.joined.total()} joined and {repaired.left.total()} left."
        )
    memberships = sum(one.drift for one in found.report.segments)
    return (
        f"Dry run: --emit would repair {len(found.customer_ids)} customers ({memberships} memberships,"
        f" {len(found.report.profiles.drifted)} profiles, {len(found.stale)} timers or pins)"
        f" and {len(found.counts)} counts of members, and publish the differences of membership."
        " Nothing has been changed."
    )


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal; what is given takes how many customers are done, of how many."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    hidden = not sys.stderr.isatty()
    with Progress(*columns, transient=True, disable=hidden, console=Console(stderr=True)) as bar:
        task = bar.add_task("verify", total=None)

        def note(done: int, total: int) -> None:
            bar.update(task, description="rebuild", completed=done, total=total)

        yield note
