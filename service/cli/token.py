"""`segments token`: a signed JWT for development."""

from __future__ import annotations

import re
from typing import Annotated, Final

import typer

from service.app.tokens import Permission, TokenRules
from service.bootstrap import DEFAULT_DATA_DIR
from service.cli.run import DataDir, command_settings, fail

TTL_SECONDS_MAX: Final = 366 * 86_400
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_TTL: Final = re.compile(r"([1-9][0-9]{0,8})([smhd])")


def token(
    sub: Annotated[str, typer.Option(help="Who the token stands for; created_by of what it creates.")],
    name: Annotated[str, typer.Option(help="The name shown for them.")],
    permissions: Annotated[
        str, typer.Option(help=f"With commas between; known here: {', '.join(Permission)}. Others are passed on.")
    ],
    ttl: Annotated[str, typer.Option(help="How long it holds: a number and s, m, h or d.")] = "1h",
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Print a JWT signed with SEGMENTS_JWT_SECRET, else with the secret of the stack that runs."""
    settings = command_settings(data_dir)
    if settings.jwt_secret is None:
        fail("SEGMENTS_JWT_SECRET: is not set; set it, or run `segments up` first.")
    if not 1 <= len(sub) <= 255 or not 1 <= len(name) <= 255:
        fail("--sub and --name must have 1 to 255 characters.")
    rules = TokenRules(settings.jwt_secret, settings.jwt_issuer, settings.jwt_audience)
    wanted = [one.strip() for one in permissions.split(",") if one.strip()]
    typer.echo(rules.issue(sub, name, wanted, _ttl_seconds(ttl)))


def _ttl_seconds(text: str) -> int:
    found = _TTL.fullmatch(text)
    seconds = int(found.group(1)) * _SECONDS[found.group(2)] if found else 0
    if not 1 <= seconds <= TTL_SECONDS_MAX:
        fail("--ttl must be a number and s, m, h or d, such as 1h; at most 366d.")
    return seconds
