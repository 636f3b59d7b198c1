"""`demo` and `play`: records that need no network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from wikimirror.cli import options
from wikimirror.cli.output import give
from wikimirror.cli.progress import progress
from wikimirror.cli.rendering import render_demo, render_play


def demo(
    source: Annotated[
        Literal["eventstreams", "kafka"],
        typer.Option(help="By what the simulated wiki publishes: over HTTP, or into topics of a real Kafka."),
    ] = "eventstreams",
    for_: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="DURATION",
            help="Take about this long at most, such as 30s or 2m: the day is shorter then.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Draw the day from this; the same seed, the same day.")
    ] = None,
    actions: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="How many things happen that day, 20000 unless --for is given."),
    ] = None,
    config: options.Config = None,
    postgres: options.Postgres = None,
    schema: options.Schema = None,
    as_json: options.Json = False,
) -> None:
    """Rehearse: a simulated wiki's day of changes into a mirror, then the two compared.

    Without --postgres an embedded Postgres is used and emptied. With --postgres the schema must not be there yet.

    With --source kafka a broker is started on this machine, which `make kafka` gets; or KAFKA_BOOTSTRAP names one.

    The embedded one lives under wikimirror/demo in XDG_STATE_HOME, which is ~/.local/state unless set.

    Exits with 3 if mirror and wiki differ or something removed is left, with 1 if a situation did not come up.
    """
    seconds = options.seconds(for_)
    from wikimirror import app

    flags = {"postgres.url": postgres, "postgres.schema": schema}
    # Its troubles are arranged, and told in the report: unless somebody wants to see each, they are no news.
    settings = app.settings_from(config, flags, quiet=True)
    with progress("demo", quiet=as_json) as on_progress:
        report = app.demo(settings, source, seconds=seconds, seed=seed, actions=actions, on_progress=on_progress)
    give(report, render_demo, as_json=as_json)
    if report.differs:
        raise typer.Exit(3)
    if report.missing:
        raise typer.Exit(1)


def play(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE…", help="Captures: NDJSON or server-sent events, plain or gzipped.", show_default=False
        ),
    ],
    config: options.Config = None,
    postgres: options.Postgres = None,
    schema: options.Schema = None,
    as_json: options.Json = False,
) -> None:
    """Apply recorded captures. Playing one again, or shuffled, changes nothing.

    A database without the schema is migrated first. Without --postgres the demo's embedded Postgres is used, as it is.
    """
    from wikimirror import app

    settings = app.settings_from(config, {"postgres.url": postgres, "postgres.schema": schema})
    with progress("play", quiet=as_json) as on_progress:
        report = app.play(settings, files, on_progress=on_progress)
    give(report, render_play, as_json=as_json)
    if report.unaccounted:
        raise typer.Exit(3)
