"""`segments verify`: does what is stored follow from the facts?"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer
from rich.table import Table

from service.adapters.postgres.verify import verify as verify_database
from service.app.verify import Report, VerifyError
from service.bootstrap import DEFAULT_DATA_DIR, open_database
from service.cli.run import AsJson, CommandError, DataDir, command_settings, console, fail, print_json, run
from service.clock import make_clock
from service.core.instants import to_text
from service.settings import Settings


def verify(
    segment: Annotated[list[UUID] | None, typer.Option(help="Only this segment; may be given several times.")] = None,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Recompute membership and profiles from the facts alone and compare; exit code 1 on any drift."""
    report: Report = run(_verify(command_settings(data_dir), segment or None))
    if as_json:
        print_json(report.to_json())
    else:
        print_report(report)
    if report.has_drift:
        fail(_sentence(report))


async def _verify(settings: Settings, segment_ids: list[UUID] | None) -> Report:
    database = open_database(settings, "verify", pool_size=1)
    try:
        return await verify_database(database, segment_ids, make_clock(settings.fixed_clock)())
    except VerifyError as error:
        raise CommandError(str(error)) from None
    finally:
        await database.close()


def _sentence(report: Report) -> str:
    drifted = [one for one in report.segments if one.drift]
    memberships = sum(one.drift for one in drifted)
    return (
        f"Drift: {memberships} memberships in {len(drifted)} of {len(report.segments)} segments and "
        f"{len(report.profiles.drifted)} of {report.profiles.checked} profiles do not follow from the facts."
    )


def print_report(report: Report) -> None:
    """Prints what verify found: a table of segments, then examples."""
    table = Table("segment", "id", "members", "drift", "note")
    for one in report.segments:
        note = "backfill runs on; customers it has reached were compared" if one.segment.is_backfilling else ""
        columns = (one.segment.name, str(one.segment.segment_id), str(one.segment.members), str(one.drift), note)
        table.add_row(*columns, style="red" if one.drift else None)
    table.add_row("profiles", "", str(report.profiles.checked), str(len(report.profiles.drifted)), "", end_section=True)
    console.print(table)
    for one in report.segments:
        for found in one.examples:
            console.print(
                f"{one.segment.name}: {found.external_id} at {to_text(found.as_of)}:"
                f" membership {_word(found.is_stored)}, transitions {_word(found.is_counted)},"
                f" facts {_word(found.is_true)}",
                markup=False,
            )
    for customer, faults in report.profiles.examples.items():
        console.print(f"profile of {customer}: {'; '.join(faults)}", markup=False)
    if report.over_limit:
        console.print(f"{report.over_limit} customers have more entries than are kept; they were left out.")
    if report.overdue:
        console.print(f"{report.overdue} customers wait for a timer; they were compared as of their latest evaluation.")


def _word(is_member: bool) -> str:
    return "in" if is_member else "out"
