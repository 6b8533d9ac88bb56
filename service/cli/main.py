"""The console script `segments`: every command, one line each."""

from __future__ import annotations

import typer

from service.cli import publish, roles, schema

app = typer.Typer(
    name="segments",
    help="Customer segmentation, event-driven: membership kept in PostgreSQL, joined/left events out through Kafka.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

app.command()(roles.consume)
app.command()(roles.relay)
app.command()(roles.timers)
app.command()(schema.migrate)
app.command()(publish.publish)


def main() -> None:
    """Entry of the console script."""
    app()


if __name__ == "__main__":
    main()
