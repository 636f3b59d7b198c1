"""`checkpoints list`, `set` and `rewind`, and `gaps`: positions, moved by hand."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from wikimirror.cli import options
from wikimirror.cli.checkpoint_rendering import question, render_checkpoints, render_gaps, render_move
from wikimirror.cli.confirm import confirm
from wikimirror.cli.output import give, stderr
from wikimirror.settings import parse_duration

if TYPE_CHECKING:
    from wikimirror.ops.checkpoints.moving import Target
    from wikimirror.settings import Settings

_MICROSECOND: Final = timedelta(microseconds=1)

commands = typer.Typer(help="The positions of the lanes: look at them, move them.", no_args_is_help=True)

_Source = Annotated[str, typer.Argument(metavar="SOURCE", help="The source as the settings name it.")]
_To = Annotated[
    str | None,
    typer.Option(
        "--to", metavar="OFFSET|INSTANT", help="The next offset to read, or an instant: 2026-11-21T03:00:00Z."
    ),
]
_Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what it would do.")]


@commands.command("list")
def list_(
    source: Annotated[str | None, typer.Argument(metavar="SOURCE", help="One source only.")] = None,
    config: options.Config = None,
    postgres: options.Postgres = None,
    schema: options.Schema = None,
    as_json: options.Json = False,
) -> None:
    """Show each lane's next position, its time and epoch, who wrote it last, and who owns it now."""
    from wikimirror import app

    settings = app.settings_from(config, {"postgres.url": postgres, "postgres.schema": schema})
    give(app.checkpoints(settings, source), render_checkpoints, as_json=as_json)


@commands.command("set")
def set_(
    *,
    source: _Source,
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="The topic.")],
    partition: Annotated[
        int | None, typer.Argument(metavar="PARTITION", min=0, help="All of the topic's if left out.")
    ] = None,
    to: _To = None,
    yes: _Yes = False,
    dry_run: _DryRun = False,
    config: options.Config = None,
    postgres: options.Postgres = None,
    schema: options.Schema = None,
    as_json: options.Json = False,
) -> None:
    """Set the position of lanes, back or forward, while no process owns them.

    Shows what would be read again or left out, and asks. What is left out becomes a gap with the reason skipped.
    """
    if to is None:
        raise typer.BadParameter("say where to", param_hint="--to")
    from wikimirror import app

    settings = app.settings_from(config, {"postgres.url": postgres, "postgres.schema": schema})
    arguments = {"source": source, "topic": topic, "partition": partition, "to": to}
    _move(settings, "checkpoints set", arguments, _target(to), yes=yes, dry_run=dry_run, as_json=as_json)


@commands.command("rewind")
def rewind(
    *,
    source: _Source,
    topic: Annotated[str | None, typer.Argument(metavar="TOPIC", help="All of the source's if left out.")] = None,
    partition: Annotated[
        int | None, typer.Argument(metavar="PARTITION", min=0, help="All of the topic's if left out.")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="DURATION", help="How far back, such as 2h, from where each lane is.")
    ] = None,
    to: _To = None,
    yes: _Yes = False,
    dry_run: _DryRun = False,
    config: options.Config = None,
    postgres: options.Postgres = None,
    schema: options.Schema = None,
    as_json: options.Json = False,
) -> None:
    """Set the position of lanes back, while no process owns them: the daemon then reads that stretch again.

    Shows what would be read again, and asks. A lane that is not after the target stays where it is.
    """
    if (by is None) == (to is None):
        raise typer.BadParameter("say one of --by and --to", param_hint="--by")
    target = _back(by) if by is not None else _target(to or "")
    from wikimirror import app

    settings = app.settings_from(config, {"postgres.url": postgres, "postgres.schema": schema})
    arguments = {"source": source, "topic": topic, "partition": partition, "by": by, "to": to}
    _move(settings, "checkpoints rewind", arguments, target, yes=yes, dry_run=dry_run, as_json=as_json)


def gaps(
    all_: Annotated[bool, typer.Option("--all", help="Those that are closed too.")] = False,
    config: options.Config = None,
    postgres: options.Postgres = None,
    schema: options.Schema = None,
    as_json: options.Json = False,
) -> None:
    """List the stretches of sources that were lost and not read by other means yet. Reads Postgres only."""
    from wikimirror import app

    settings = app.settings_from(config, {"postgres.url": postgres, "postgres.schema": schema})
    give(app.gaps(settings, closed=all_), render_gaps, as_json=as_json)


def _move(
    settings: Settings,
    command: str,
    arguments: dict[str, Any],
    target: Target,
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    from wikimirror import app
    from wikimirror.ops.checkpoints.moving import Wanted

    only_back = command == "checkpoints rewind"
    wanted = Wanted(arguments["source"], arguments["topic"], arguments["partition"], target, only_back)
    if dry_run:
        give(app.move_checkpoints(settings, command, arguments, wanted), render_move, as_json=as_json)
        return
    planned = app.plan_checkpoints(settings, wanted)
    if planned.settings and not planned.report.owners:
        render_move(planned.report, stderr())
        confirm(question(planned.report), yes=yes)
    # Where somebody owns the lanes this is where it is refused, and noted.
    give(app.move_checkpoints(settings, command, {**arguments, "yes": yes}, planned), render_move, as_json=as_json)


def _target(to: str) -> Target:
    """What --to says."""
    from wikimirror.app.running import now
    from wikimirror.ops.bounds import bound_of
    from wikimirror.ops.checkpoints.moving import Target

    bound = bound_of(to, now())
    return Target(offset=bound.offset, time=bound.time)


def _back(by: str) -> Target:
    """What --by says."""
    from wikimirror.ops.checkpoints.moving import Target

    try:
        return Target(back=parse_duration(by) // _MICROSECOND)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--by") from None
