"""Reports as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

from rich.console import Console
from rich.text import Text

from wikimirror.cli.output import clean, counts, grid, listing, plural, shown
from wikimirror.ops.reports import (
    DemoReport,
    Difference,
    HistoryReport,
    PageReport,
    PlayReport,
    RevisionRow,
    SqlReport,
)

_DIFFERENCES_SHOWN: Final = 20
_ROWS_SHOWN: Final = 1000


def render_play(report: PlayReport, console: Console) -> None:
    """What became of the records that were read."""
    for file in report.files:
        console.print(clean(file))
    render_accounts(report, console)
    if not report.read:
        console.print("Nothing was read: there is no record in what was given.")
    elif sum(report.set_aside.values()) == report.read:
        console.print("All of it was set aside, with the reason, in the table dead_letter: is this a capture?")


def render_accounts(report: PlayReport, console: Console) -> None:
    """The counts, which add up (promise P4)."""
    read = f"{report.read:,} in {report.seconds:.1f} s, {report.rate:,.0f} a second"
    console.print(
        grid(
            [
                ("records read", read),
                *(
                    (name, _total(by_reason))
                    for name, by_reason in (
                        ("applied", report.applied),
                        ("refused", report.refused),
                        ("ignored", report.ignored),
                        ("set aside", report.set_aside),
                    )
                ),
                *([("given back", shown(report.given_back))] if report.given_back else []),
                ("in flight", shown(report.in_flight)),
                ("unaccounted for", shown(report.unaccounted)),
            ]
        )
    )


def render_demo(report: DemoReport, console: Console) -> None:
    """The rehearsal: records, situations, comparison, and where to look."""
    console.print("What was read", style="bold")
    render_accounts(report.play, console)
    if report.freshness is not None:
        fresh = f"{report.freshness.median:.3f} s in the median, {report.freshness.most:.3f} s at the 99th percentile"
        console.print(grid([("publication to durable", fresh)]))
    console.print()
    console.print("What the simulated service did meanwhile", style="bold")
    console.print(grid((clean(name), f"{count:>9,}") for name, count in report.upstream.items()))
    console.print()
    seed = f", seed {report.seed}" if report.seed is not None else ""
    console.print(f"What the simulated wiki did{seed}; each must come up", style="bold")
    console.print(
        grid((clean(name), f"{count:>9,}" if count else "  none!") for name, count in report.situations.items())
    )
    console.print()
    console.print("The mirror, compared with the simulated wiki's own truth", style="bold")
    console.print(grid((clean(table), f"{rows:>9,} rows") for table, rows in report.compared.items()))
    console.print(f"  pages that wait for a reconcile row: {counts(report.waiting) or 'none'}")
    console.print(f"  {plural(report.withholding, 'page', 'pages')} of these show less than the wiki, none more")
    console.print(
        Text(f"  {plural(report.forbidden_found, 'removed value', 'removed values')} still in any table"),
        style="red" if report.forbidden_found else "",
    )
    found = len(report.differences)
    console.print(Text(f"  {plural(found, 'difference', 'differences')}"), style="bold red" if found else "bold green")
    if found:
        render_differences(report.differences, console)
    if report.missing:
        told = f"  did not come up: {', '.join(report.missing)}; a longer day (--for, --actions) has more of everything"
        console.print(Text(clean(told)), style="bold red", soft_wrap=True)
    console.print()
    console.print("Look inside", style="bold")
    console.print(Text(f"  {report.look_inside}"), soft_wrap=True)


def render_differences(differences: list[Difference], console: Console) -> None:
    """The first differences, and how many more there are."""
    columns = ("table", "key", "column", "expected", "found")
    rows = ((each.table, each.key, each.column, each.expected, each.found) for each in differences)
    console.print(listing(columns, islice(rows, _DIFFERENCES_SHOWN)))
    more = len(differences) - _DIFFERENCES_SHOWN
    if more > 0:
        console.print(f"  and {more:,} more; --json gives all")


def render_page(report: PageReport, console: Console) -> None:
    """A page, its current revision, and what it waits for."""
    rows: list[tuple[str, str]] = [
        ("wiki", report.wiki_id),
        ("page", str(report.page_id)),
        ("title", shown(report.title)),
        ("state", report.state or "known by its number only"),
        ("namespace", shown(report.namespace_id)),
        ("redirect", shown(report.is_redirect)),
        ("revision", shown(_number(report.rev_id))),
        ("revision of", shown(report.rev_dt)),
        ("deleted at", shown(report.deleted_at)),
        ("url", shown(report.url)),
        ("wikibase item", shown(report.wikibase_item_id)),
        ("texts", ", ".join(f"{name} {size:,} characters" for name, size in report.bodies.items()) or "–"),
    ]
    console.print(grid(rows, indent=0))
    if report.current is not None:
        console.print()
        console.print("Current revision", style="bold")
        _revisions([report.current], console)
    if report.waiting:
        console.print()
        console.print("Waits to be read again", style="bold")
        waiting = ((_number(row.rev_id or None), row.reason, row.opened_at) for row in report.waiting)
        console.print(listing(("revision", "reason", "since"), waiting))


def render_history(report: HistoryReport, console: Console) -> None:
    """A page's ledger and its revisions."""
    console.print(clean(f"{report.wiki_id} {report.page_id} {report.title or '(no title)'}"), style="bold")
    console.print()
    console.print("Ledger, oldest first", style="bold")
    columns = ("published", "applied", "kind", "revision", "outcome", "from")
    entries = (
        (
            row.published,
            row.applied,
            row.kind,
            _number(row.rev_id),
            row.outcome,
            f"{row.source} {row.topic}[{row.partition}]@{row.offset}",
        )
        for row in report.entries
    )
    console.print(listing(columns, entries))
    console.print()
    console.print("Revisions, newest first", style="bold")
    _revisions(report.revisions, console)


def render_sql(report: SqlReport, console: Console) -> None:
    """The rows of an answer."""
    # Numbers of a query are as likely identifiers, to be copied, as counts.
    console.print(
        listing(report.columns, ([_copyable(cell) for cell in row] for row in islice(report.rows, _ROWS_SHOWN)))
    )
    more = len(report.rows) - _ROWS_SHOWN
    if more > 0:
        console.print(f"and {more:,} more; --json gives all, LIMIT fewer")
    console.print(plural(len(report.rows), "row", "rows"))


def _revisions(revisions: Iterable[RevisionRow], console: Console) -> None:
    columns = ("revision", "parent", "made", "editor", "comment", "size", "text")
    rows = (
        (
            _number(row.rev_id),
            _number(row.parent_rev_id),
            row.rev_dt,
            row.editor_name if row.editor_visible else "(hidden)",
            row.comment if row.comment_visible else "(hidden)",
            row.size,
            "visible" if row.content_visible else "(hidden)",
        )
        for row in revisions
    )
    console.print(listing(columns, rows))


def _total(by_reason: dict[str, int]) -> str:
    total = sum(by_reason.values())
    return f"{total:,}" + (f"  ({counts(by_reason)})" if total else "")


def _copyable(cell: object) -> object:
    """A value of a query as it would be typed into the next one: no separators, bytes in hex."""
    if isinstance(cell, bytes):
        return cell.hex()
    return str(cell) if isinstance(cell, int) and not isinstance(cell, bool) else cell


def _number(value: int | None) -> str | None:
    """An identifier: without separators, so that it can be copied."""
    return None if value is None else str(value)
