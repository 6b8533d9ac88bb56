"""The console script `segments`: every command, one line each."""

from __future__ import annotations

import logging

import typer

from service.cli import (
    backtest,
    dead_letters,
    definitions,
    doctor,
    explain,
    export,
    publish,
    rebuild,
    replay,
    roles,
    schema,
    serve,
    status,
    token,
    up,
    verify,
)

app = typer.Typer(
    name="segments",
    help="Customer segmentation, event-driven: membership kept in PostgreSQL, joined/left events out through Kafka.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

app.command()(up.up)
app.command()(serve.serve)
app.command()(roles.consume)
app.command()(roles.relay)
app.command()(roles.timers)
app.command()(roles.dispatch)
app.command()(schema.migrate)
app.command()(publish.publish)
app.command("wait-idle")(status.wait_idle)
app.command()(status.status)
app.command()(verify.verify)
app.command()(rebuild.rebuild)
app.command("explain")(explain.explain_command)
app.command()(backtest.backtest)
app.command()(export.export)
app.command()(replay.replay)
app.add_typer(dead_letters.app, name="dead-letters")
app.command("export-definitions")(definitions.export_definitions)
app.command("import-definitions")(definitions.import_definitions)
app.command()(token.token)
app.command()(doctor.doctor)


def main() -> None:
    """Entry of the console script."""
    # Commands say what is wrong in one sentence; roles set up logs of their own.
    logging.basicConfig(level=logging.CRITICAL + 1)
    app()


if __name__ == "__main__":
    main()
