"""`dead-letters list|show|redrive|discard`: records that were set aside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from wikimirror.cli import options
from wikimirror.cli.confirm import confirm
from wikimirror.cli.dead_letter_rendering import (
    question,
    render_discard,
    render_letter,
    render_letters,
    render_redrive,
    stderr_plan,
)
from wikimirror.cli.output import give
from wikimirror.cli.progress import progress

if TYPE_CHECKING:
    from wikimirror.mirror.letters import Filter

_NUMBERS: Final = 2**63
"""Greater numbers are none of Postgres."""
_LONGEST_LIST: Final = 10_000

commands = typer.Typer(help="Look at records that were set aside, put them back, discard them.", no_args_is_help=True)

_Id = Annotated[int, typer.Argument(metavar="ID", help="The letter's number.")]
_Ids = Annotated[
    list[int] | None,
    typer.Argument(metavar="[ID…]", help="Letters by number.", show_default=False),
]
_Reason = Annotated[str | None, typer.Option("--reason", metavar="R", help="Only this reason, as list tells it.")]
_Source = Annotated[str | None, typer.Option("--source", metavar="S", help="Only of this source.")]
_Topic = Annotated[str | None, typer.Option("--topic", metavar="T", help="Only of this topic.")]
_Partition = Annotated[int | None, typer.Option("--partition", metavar="N", help="Only of this partition.")]
_Wiki = Annotated[str | None, typer.Option("--wiki", metavar="W", help="Only of this wiki, such as enwiki.")]
_Page = Annotated[int | None, typer.Option("--page", metavar="N", help="Only of the page with this number.")]
_Retractions = Annotated[bool, typer.Option("--retractions", help="Only those that take something away.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Tell what it would do; write nothing.")]


@commands.command("list")
def list_letters(
    *,
    reason: _Reason = None,
    source: _Source = None,
    topic: _Topic = None,
    partition: _Partition = None,
    wiki: _Wiki = None,
    page: _Page = None,
    retractions: _Retractions = False,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=_LONGEST_LIST, help="Show the newest N.")] = 50,
    config: options.Config = None,
    postgres: options.Postgres = None,
    schema: options.Schema = None,
    as_json: options.Json = False,
) -> None:
    """List records that were set aside, the newest last."""
    from wikimirror import app

    settings = app.settings_from(config, {"postgres.url": postgres, "postgres.schema": schema})
    chosen = _filter(None, reason, source, topic, partition, wiki, page, retractions)
    give(app.list_letters(settings, chosen, limit=limit), render_letters, as_json=as_json)


@commands.command("show")
def show(
    letter: _Id,
    config: options.Config = None,
    postgres: options.Postgres = None,
    schema: options.Schema = None,
    as_json: options.Json = False,
) -> None:
    """Show one letter: where it was read, why it was set aside, and the record as far as it may be kept."""
    from wikimirror import app

    _check(letter)
    settings = app.settings_from(config, {"postgres.url": postgres, "postgres.schema": schema})
    give(app.show_letter(settings, letter), render_letter, as_json=as_json)


@commands.command("redrive")
def redrive(
    letters: _Ids = None,
    *,
    reason: _Reason = None,
    source: _Source = None,
    topic: _Topic = None,
    partition: _Partition = None,
    wiki: _Wiki = None,
    page: _Page = None,
    retractions: _Retractions = False,
    everything: Annotated[bool, typer.Option("--all", help="All letters, where nothing else is said.")] = False,
    dry_run: _DryRun = False,
    files: Annotated[
        list[Path] | None,
        typer.Option(
            "--file", metavar="CAPTURE", help="Read letters of a capture again from this file. May be repeated."
        ),
    ] = None,
    config: options.Config = None,
    postgres: options.Postgres = None,
    schema: options.Schema = None,
    as_json: options.Json = False,
) -> None:
    """Put letters back: apply their records now, once what refused them was mended.

    What applies, or is stale, leaves the table. What fails again stays and is counted.

    A record that is not kept is read again from its source, by that source's settings.
    """
    from wikimirror import app

    settings = app.settings_from(config, {"postgres.url": postgres, "postgres.schema": schema})
    chosen = _filter(letters, reason, source, topic, partition, wiki, page, retractions)
    with progress("redrive", quiet=as_json) as on_progress:
        report = app.redrive_letters(
            settings, chosen, everything=everything, dry_run=dry_run, files=files or [], on_progress=on_progress
        )
    give(report, render_redrive, as_json=as_json)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


@commands.command("discard")
def discard(
    letters: _Ids = None,
    *,
    reason: _Reason = None,
    source: _Source = None,
    topic: _Topic = None,
    partition: _Partition = None,
    wiki: _Wiki = None,
    page: _Page = None,
    retractions: _Retractions = False,
    dry_run: _DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: options.Config = None,
    postgres: options.Postgres = None,
    schema: options.Schema = None,
    as_json: options.Json = False,
) -> None:
    """Delete letters that nobody needs: shows them, asks, and notes each in the table operation.

    At most 1000 at once. One that takes something away goes by its number only.
    """
    from wikimirror import app

    settings = app.settings_from(config, {"postgres.url": postgres, "postgres.schema": schema})
    chosen = _filter(letters, reason, source, topic, partition, wiki, page, retractions)
    report = app.plan_discard(settings, chosen, dry_run=dry_run)
    if report.letters and not dry_run:
        if not yes:
            stderr_plan(report)
        confirm(question(report), yes=yes)
        report = app.discard_letters(settings, chosen, report)
    give(report, render_discard, as_json=as_json)


def _filter(  # an option is an argument
    letters: list[int] | None,
    reason: str | None,
    source: str | None,
    topic: str | None,
    partition: int | None,
    wiki: str | None,
    page: int | None,
    retractions: bool,
) -> Filter:
    from wikimirror.mirror.letters import Filter

    _check(*(letters or ()), *(number for number in (partition, page) if number is not None))
    return Filter(tuple(letters or ()), reason, source, topic, partition, wiki, page, retractions)


def _check(*numbers: int) -> None:
    for number in numbers:
        if not 0 <= number < _NUMBERS:
            raise typer.BadParameter(f"nothing has the number {number}")
