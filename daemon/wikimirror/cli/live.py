"""`run`, `check-source` and `status`: the live mirror."""

from __future__ import annotations

from typing import Annotated

import typer

from wikimirror.cli import options
from wikimirror.cli.live_rendering import render_check, render_run, render_status
from wikimirror.cli.output import give


def run(
    config: options.Config = None,
    postgres: options.Postgres = None,
    schema: options.Schema = None,
    as_json: options.Json = False,
) -> None:
    """Follow the configured sources and keep the mirror in step, until stopped.

    Without --postgres the embedded Postgres of `play` is used. A database without the schema is migrated first.

    Ctrl-C or SIGTERM drains: what was read is applied, then the command tells what became of it. A second one aborts.

    Nothing is lost either way. Of several daemons on one database one works, and the others stand by.

    Probes and metrics are served at admin.listen: /livez /readyz /startupz /metrics.
    """
    from wikimirror import app

    flags = {"postgres.url": postgres, "postgres.schema": schema}
    settings = app.settings_from(config, flags)
    give(app.run(config, flags, settings), render_run, as_json=as_json)


def check_source(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="The source as the settings name it, if they name several."),
    ] = None,
    for_: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long to read.")] = "60s",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Read a configured source for a while and tell what comes. Writes nothing and needs no database.

    Tells record versions, canaries, seconds behind, what could not be read, and why a connection failed.

    Exits with 1 when nothing came, or when records came that the daemon would have to set aside.
    """
    seconds = options.seconds(for_)
    from wikimirror import app

    settings = app.settings_from(config, {})
    report = app.check_source(settings, name, seconds=seconds or 60.0)
    give(report, render_check, as_json=as_json)
    if not report.usable:
        raise typer.Exit(1)


def status(
    config: options.Config = None,
    postgres: options.Postgres = None,
    schema: options.Schema = None,
    as_json: options.Json = False,
) -> None:
    """Tell how far the mirror is, who keeps it, and what waits for a person. Reads Postgres only."""
    from wikimirror import app

    settings = app.settings_from(config, {"postgres.url": postgres, "postgres.schema": schema})
    give(app.status(settings), render_status, as_json=as_json)
