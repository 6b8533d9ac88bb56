"""The command line that benchmarks on a filled database have in common."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.stack import running_servers
from service.logs import configure_logs
from service.stack.servers import Servers


def arguments(name: str, description: str | None, quick: str) -> argparse.ArgumentParser:
    """The options that all of them take; add your own.

    Args:
        name: of the module in this package.
        description: its docstring.
        quick: what --quick leaves of the sizes.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--folder", type=Path, help="where the database's files go: the disk to measure")
    parser.add_argument("--output", type=Path, help="a JSON file for all figures")
    return parser


def measured(chosen: argparse.Namespace, run: Callable[[Servers], Any]) -> None:
    """Runs it on a PostgreSQL of its own, and writes the figures where the options say."""
    configure_logs("console", "WARNING", "benchmark")
    with running_servers(chosen.folder, with_kafka=False) as servers:
        found = run(servers)
    if chosen.output:
        chosen.output.write_text(json.dumps(found, indent=1))
