"""`explain`: what holds each source back, and what to do next."""

from __future__ import annotations

import textwrap
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from wikimirror.cli import options
from wikimirror.cli.live_rendering import duration
from wikimirror.cli.output import clean, counts, give, grid, plural
from wikimirror.observe.runbooks import Runbook
from wikimirror.ops.explaining.reports import Cause, ExplainReport, Explanation, WaitsForPerson

_LANES_NAMED: Final = 4
_AGO: Final = "_seconds_ago"


def explain(
    source: Annotated[
        str | None, typer.Argument(metavar="SOURCE", help="Only this source, as the settings name it.")
    ] = None,
    config: options.Config = None,
    postgres: options.Postgres = None,
    schema: options.Schema = None,
    as_json: options.Json = False,
) -> None:
    """Say what holds each source back, by which numbers, and which runbook to open. The worst comes first.

    Reads Postgres only, and says so when Postgres is gone: it asks no daemon and no source.

    Then tells what waits for a person: retractions and other records set aside, open gaps, pages to be read again.
    """
    from wikimirror import app

    settings = app.settings_from(config, {"postgres.url": postgres, "postgres.schema": schema}, quiet=True)
    report = app.explain(settings, source)
    give(report, render_explain, as_json=as_json)
    if report.wrong:
        raise typer.Exit(3)


def render_explain(report: ExplainReport, console: Console) -> None:
    """A block for each, an empty line between two."""
    if not report.explanations:
        console.print("No source has been read into this mirror yet.\n")
    for explanation in report.explanations:
        _render(explanation, console)
        console.print()
    if report.waiting:
        console.print("Waits for a person", style="bold")
    for waiting in report.waiting:
        _render_waiting(waiting, console)
    for remark in report.remarks:
        _paragraph(f"Note: {remark}", console)
    if not report.wrong:
        console.print("Nothing is wrong." if report.explanations else "Nothing waits for a person.")


def _render(told: Explanation, console: Console) -> None:
    name = "all sources" if told.source is None else told.source
    style = "bold green" if told.cause is Cause.NONE else "bold red"
    console.print(Text(clean(f"{name}: {told.headline}"), style=style), soft_wrap=True)
    if told.lanes and told.cause is not Cause.NONE:
        _paragraph(_lanes(told), console)
    _paragraph(told.words, console)
    if told.numbers:
        console.print(grid([(_name(key), _number(key, value)) for key, value in told.numbers.items()]))
    _render_next(told.runbook, told.next, console)


def _render_waiting(told: WaitsForPerson, console: Console) -> None:
    oldest = "" if told.oldest is None else f"; the oldest for {duration(told.oldest)}"
    _paragraph(f"{told.count:,} {told.what} ({counts(told.by)}){oldest}", console)
    _render_next(told.runbook, told.next, console, indent=4)
    console.print()


def _render_next(runbook: Runbook | None, command: str | None, console: Console, *, indent: int = 2) -> None:
    """Never broken into lines, so that they can be copied."""
    if runbook is not None:
        console.print(Text(f"{' ' * indent}Runbook: docs/runbooks/{runbook}.md"), soft_wrap=True)
    if command is not None:
        console.print(Text(clean(f"{' ' * indent}Next: {command}")), soft_wrap=True)


def _paragraph(text: str, console: Console) -> None:
    lines = textwrap.wrap(
        clean(text), console.width, initial_indent="  ", subsequent_indent="  ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    console.print(Text("\n".join(lines)), soft_wrap=True)


def _lanes(told: Explanation) -> str:
    if len(told.lanes) == told.lanes_known:
        return plural(told.lanes_known, "lane", "lanes, all of them") + f": {_named(told.lanes)}"
    return f"{len(told.lanes)} of {plural(told.lanes_known, 'lane', 'lanes')}: {_named(told.lanes)}"


def _named(lanes: tuple[str, ...]) -> str:
    more = len(lanes) - _LANES_NAMED
    return ", ".join(lanes[:_LANES_NAMED]) + (f" and {more} more" if more > 0 else "")


def _name(key: str) -> str:
    if key.endswith(_AGO):
        return f"{key.removesuffix(_AGO).replace('_', ' ')}, ago"
    return key.removesuffix("_per_second").removesuffix("_seconds").removesuffix("_share").replace("_", " ")


def _number(key: str, value: float) -> str:
    if key.endswith("_share"):
        return f"{value:.0%} of the time"
    if key.endswith("_per_second"):
        return f"{value:,.1f} records a second"
    if key.startswith("seconds_") or key.endswith(("_seconds", _AGO)):
        return duration(value) or ""
    return str(round(value)) if key.endswith("_pid") else f"{value:,.0f}"
