"""Options that several commands share. An option goes before the environment, and that before the file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wikimirror.settings import CONFIG_VARIABLE, parse_duration, variable

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help=f"Settings as TOML; config/wikimirror.toml documents them. [{CONFIG_VARIABLE}]"
    ),
]
Postgres = Annotated[
    str | None,
    typer.Option("--postgres", metavar="URL", help=f"postgresql:// URL of the database. [{variable('postgres.url')}]"),
]
Schema = Annotated[
    str | None,
    typer.Option(
        "--schema", metavar="NAME", help=f"Schema of the mirror, wikimirror by default. [{variable('postgres.schema')}]"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output; all else on standard error.")]


def seconds(value: str | None) -> float | None:
    """The duration that `--for` gives, such as `30s`, in seconds."""
    if value is None:
        return None
    try:
        seconds = parse_duration(value).total_seconds()
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from None
    if seconds < 1:
        raise typer.BadParameter("must be at least 1s", param_hint="--for")
    return seconds
