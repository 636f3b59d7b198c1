"""Reports of replays as a person reads them."""

from __future__ import annotations

from rich.console import Console

from wikimirror.cli.output import counts, grid, listing, plural, shown
from wikimirror.ops.replaying.reports import ReplayReport, ReplayRow, ReplaysReport

_NOT_FILLED = "The gap stays open: nothing was read, or not all of it."


def render_replay(report: ReplayReport, console: Console) -> None:
    """What was read, what became of it, what is missing; of a dry run what would change."""
    console.print(
        listing(
            ["topic", "partition", "from", "to", "read up to"],
            (
                (
                    lane.topic,
                    lane.partition,
                    _place(lane.from_position, lane.from_time),
                    "all there was"
                    if lane.to_position is None and lane.to_time is None
                    else _place(lane.to_position, lane.to_time),
                    lane.position,
                )
                for lane in report.lanes
            ),
        )
    )
    console.print(
        grid(
            [
                ("records read", shown(report.read)),
                ("applied", counts(report.applied) or "0"),
                ("refused", counts(report.refused) or "0"),
                ("ignored", counts(report.ignored) or "0"),
                ("set aside", counts(report.set_aside) or "0"),
                ("unaccounted for", shown(report.unaccounted)),
                ("seconds", f"{report.seconds:.1f}"),
            ]
        )
    )
    if report.lost:
        _render_lost(report, console)
    if report.difference is not None:
        _render_difference(report, console)
    elif report.gap_id is not None:
        console.print(f"Gap {report.gap_id} is closed." if report.gap_closed else _NOT_FILLED)


def render_replays(report: ReplaysReport, console: Console) -> None:
    """A line each."""
    if not report.replays:
        console.print("There was no replay yet.")
        return
    console.print(
        listing(
            ["id", "source", "state", "records", "began", "seen", "asked for"],
            (
                (
                    str(row.replay_id),
                    row.source,
                    "killed" if row.killed else row.state,
                    row.records_read,
                    row.began_at,
                    row.seen_at,
                    _asked(row),
                )
                for row in report.replays
            ),
        )
    )
    for row in report.replays:
        if row.resumable:
            console.print(f"To go on: wikimirror replay --resume {row.replay_id}")


def _render_lost(report: ReplayReport, console: Console) -> None:
    console.print(f"The source no longer holds {plural(len(report.lost), 'stretch', 'stretches')} of it:")
    console.print(
        listing(
            ["topic", "partition", "after", "until", "reason"],
            (
                (
                    each.topic,
                    each.partition,
                    _place(each.from_position, each.from_time),
                    _place(each.to_position, each.to_time),
                    each.reason,
                )
                for each in report.lost
            ),
        )
    )


def _render_difference(report: ReplayReport, console: Console) -> None:
    assert report.difference is not None  # noqa: S101  # the caller looked
    console.print(
        "Nothing was written. The replay would change rows:" if report.would_change else "Nothing would change."
    )
    if report.would_change:
        console.print(
            listing(
                ["table", "inserted", "updated", "deleted"],
                (
                    (table, told["inserted"], told["updated"], told["deleted"])
                    for table, told in report.difference.items()
                    if any(told.values())
                ),
            )
        )


def _place(position: int | None, time: object) -> str:
    """A place in a lane: by time where that is known, for a person thinks in times."""
    return shown(position) if time is None else shown(time)


def _asked(row: ReplayRow) -> str:
    return ", ".join(f"{name} {shown(value)}" for name, value in row.asked.items() if name != "source")
