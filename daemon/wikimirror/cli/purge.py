"""`purge`: taking a wiki out of the mirror."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from wikimirror.cli import options
from wikimirror.cli.confirm import confirm
from wikimirror.cli.output import clean, counts, give, grid, plural, stderr
from wikimirror.cli.progress import progress
from wikimirror.ops.purge_reports import PurgeReport
from wikimirror.settings.values import check_wiki


def purge(
    wiki: Annotated[list[str], typer.Option("--wiki", metavar="W", help="The wiki, such as enwiki. May be repeated.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be deleted.")] = False,
    config: options.Config = None,
    postgres: options.Postgres = None,
    schema: options.Schema = None,
    as_json: options.Json = False,
) -> None:
    """Delete everything of a wiki that is no longer in scope. Its corrections stay: they are the proof of removals.

    Refused while the settings still have the wiki in scope. Needs the schema's owner: the daemon's role may not delete.

    Broken off, it goes on when it is given again. What it deletes holds what the wiki has removed: before the wiki is
    mirrored again, read docs/scope.md.
    """
    wikis = _checked(wiki)
    from wikimirror import app

    settings = app.settings_from(config, {"postgres.url": postgres, "postgres.schema": schema})
    if dry_run:
        give(app.purge(settings, wikis, dry_run=True), render_purge, as_json=as_json)
        return
    plan = app.plan_purge(settings, wikis)
    if not plan.in_scope:
        render_purge(plan, stderr())
        confirm(f"Delete {plural(plan.total, 'row', 'rows')} of {', '.join(wikis)}?", yes=yes)
    with progress("purging", quiet=as_json) as on_progress:
        report = app.purge(settings, wikis, dry_run=False, yes=yes, total=plan.total, on_progress=on_progress)
    give(report, render_purge, as_json=as_json)
    if report.came_back:
        raise typer.Exit(3)


def render_purge(report: PurgeReport, console: Console) -> None:
    """Rows by table, what stays, and what to do about wikis that come back."""
    verb = "deleted" if report.purged else "would be deleted"
    for each in report.wikis:
        console.print(Text(clean(f"{each.wiki}: {plural(each.total, 'row', 'rows')} {verb}"), style="bold"))
        told = counts({table: count for table, count in each.rows.items() if count})
        console.print(
            grid([(verb, told or "nothing"), ("stay", plural(each.corrections, "correction", "corrections"))])
        )
    for remark in _remarks(report):
        console.print(Text(clean(remark)), soft_wrap=True)


def _remarks(report: PurgeReport) -> list[str]:
    told = []
    if report.in_scope:
        told.append(
            f"The settings still have {', '.join(report.in_scope)} in scope: as long as they do, this is refused."
        )
    if report.came_back:
        told.append(
            f"Changes of {', '.join(report.came_back)} were applied meanwhile: a daemon still has it in scope. Restart"
            " every daemon of this mirror with the new settings, then give the command again."
        )
    if report.purged and not report.came_back:
        told.append(
            "What is left of it are corrections, and what later deletions of that wiki leave behind: numbers and times."
        )
    return told


def _checked(wikis: list[str]) -> list[str]:
    try:
        return list(dict.fromkeys(check_wiki(wiki) for wiki in wikis))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--wiki") from None
