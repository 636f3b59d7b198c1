"""`replay` and `replays`: read a range of a source again, beside the daemon."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from wikimirror.cli import options
from wikimirror.cli.output import give, stderr
from wikimirror.cli.progress import progress
from wikimirror.cli.replay_rendering import render_replay, render_replays
from wikimirror.model import Kind
from wikimirror.ops.replaying.asked import RATE, Asked

_OF_A_NEW_ONE: Final = (
    "--resume goes on with a replay as it was asked for: say --rate and --file beside it, nothing else"
)


def replay(
    *,
    source: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The source as the settings name it, or capture. With --gap: the gap's own."),
    ] = None,
    topic: Annotated[list[str] | None, typer.Option(metavar="TOPIC", help="Only this topic. May be repeated.")] = None,
    partition: Annotated[
        list[int] | None, typer.Option(metavar="N", min=0, help="Only this partition. May be repeated.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="X", help="An offset, 2026-11-21T03:00:00Z, or 2h for two hours ago."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="Y", help="Stop before this. Unless said: what the source holds now.")
    ] = None,
    wiki: Annotated[
        list[str] | None, typer.Option(metavar="WIKI", help="Only changes of this wiki. May be repeated.")
    ] = None,
    page: Annotated[
        list[int] | None, typer.Option(metavar="ID", min=1, help="Only changes of this page. May be repeated.")
    ] = None,
    kind: Annotated[
        list[Kind] | None,
        typer.Option(metavar="KIND", help="Only changes of this kind, such as delete. May be repeated."),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(metavar="N", min=0, help=f"Records a second at most, {RATE:,.0f} unless said; 0 for any number."),
    ] = None,
    file: Annotated[
        list[Path] | None, typer.Option(metavar="CAPTURE", help="A capture to read. May be repeated.")
    ] = None,
    gap: Annotated[
        int | None,
        typer.Option(metavar="ID", min=1, help="Read the range of this gap, and close it when all was read."),
    ] = None,
    resume: Annotated[
        int | None, typer.Option(metavar="ID", min=1, help="Go on with a replay that was stopped.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would change, by table. Nothing is written.")
    ] = False,
    config: options.Config = None,
    postgres: options.Postgres = None,
    schema: options.Schema = None,
    as_json: options.Json = False,
) -> None:
    """Read a range of a source again and apply it, while the daemon runs.

    It asks no confirmation, for it is safe: what was applied before alters nothing, and what is newer stays.

    It has positions of its own and moves no lane's. Ctrl-C stops it; --resume goes on, after a crash too.

    --wiki, --page and --kind leave out everything else, deletions and suppressions too: narrow it only with a reason.

    What the source no longer holds is told, and opens no gap. Then it exits with 3 and closes no gap either.
    """
    files = tuple(str(each.absolute()) for each in file or ())
    new: dict[str, Any] = {
        "source": source,
        "topics": tuple(topic or ()),
        "partitions": tuple(partition or ()),
        "start": start,
        "end": end,
        "wikis": tuple(wiki or ()),
        "pages": tuple(page or ()),
        "kinds": tuple(kind or ()),
        "gap": gap,
    }
    if resume is not None and (dry_run or any(value not in (None, ()) for value in new.values())):
        raise typer.BadParameter(_OF_A_NEW_ONE, param_hint="--resume")
    from wikimirror import app

    settings = app.settings_from(config, {"postgres.url": postgres, "postgres.schema": schema})
    with _resumable() as on_begun, progress("replay", quiet=as_json) as on_progress:
        if resume is not None:
            report = app.resume(settings, resume, rate=rate, files=files, on_begun=on_begun, on_progress=on_progress)
        else:
            asked = Asked(**new, rate=RATE if rate is None else rate, files=files)
            report = app.replay(settings, asked, dry_run=dry_run, on_begun=on_begun, on_progress=on_progress)
    give(report, render_replay, as_json=as_json)
    if report.differs:
        raise typer.Exit(3)


def replays(
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="How many, the newest first.")] = 20,
    config: options.Config = None,
    postgres: options.Postgres = None,
    schema: options.Schema = None,
    as_json: options.Json = False,
) -> None:
    """List replays: what each reads, how far it is, who works on it, and which can be resumed."""
    from wikimirror import app

    settings = app.settings_from(config, {"postgres.url": postgres, "postgres.schema": schema})
    give(app.replays(settings, limit), render_replays, as_json=as_json)


@contextmanager
def _resumable() -> Iterator[Any]:
    """Gives what takes the number of the replay that has begun; one that is interrupted is told how to go on with."""
    begun: list[int] = []

    def on_begun(replay_id: int) -> None:
        begun.append(replay_id)
        stderr().print(f"replay {replay_id}; if it is stopped: wikimirror replay --resume {replay_id}")

    try:
        yield on_begun
    except (KeyboardInterrupt, SystemExit):
        for replay_id in begun:
            stderr().print(f"interrupted; to go on: wikimirror replay --resume {replay_id}")
        raise
