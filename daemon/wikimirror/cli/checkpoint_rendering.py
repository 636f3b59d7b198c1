"""Reports about positions and gaps as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rich.console import Console
from rich.text import Text

from wikimirror.cli.live_rendering import duration
from wikimirror.cli.output import clean, listing, plural, shown
from wikimirror.ops.checkpoints.reports import (
    CheckpointRow,
    CheckpointsReport,
    Direction,
    GapRow,
    GapsReport,
    LaneMove,
    MoveReport,
    OwnerRow,
)

_HARMLESS: Final = "reading them again changes nothing (promise P2)"


def render_checkpoints(report: CheckpointsReport, console: Console) -> None:
    """Lanes, who owns their sources, and the replays."""
    if not report.lanes:
        console.print("No lane has a position yet.")
    else:
        columns = ("lane", "position", "published", "epoch", "writer", "owner now")
        console.print(listing(columns, map(_lane, report.lanes)))
    if report.owners:
        console.print()
        console.print(listing(("source", "owned by", "how", "since", "seen, ago"), map(_owner, report.owners)))
    if report.replays:
        rows = (
            (f"{each.replay_id} of {each.of}", each.state, f"{each.topic}[{each.partition}]", str(each.position),
             each.position_time)
            for each in report.replays
        )  # fmt: skip
        console.print()
        console.print(listing(("replay", "state", "lane", "position", "published"), rows))


def render_move(report: MoveReport, console: Console) -> None:
    """Each lane's way, and what that means."""
    columns = ("lane", "from", "published", "to", "published", "records")
    console.print(listing(columns, map(_move, report.lanes)))
    for remark in _remarks(report):
        console.print(Text(clean(remark)), soft_wrap=True)


def question(report: MoveReport) -> str:
    """What is asked before it is done."""
    back, forward = report.going(Direction.BACK), report.going(Direction.FORWARD)
    parts = [
        *([f"set {_lanes(back)} of {report.source} back"] if back else []),
        *([f"leave out records on {_lanes(forward)} of {report.source}"] if forward else []),
    ]
    asked = " and ".join(parts)
    return f"{asked[:1].upper()}{asked[1:]}?"


def render_gaps(report: GapsReport, console: Console) -> None:
    """A row for each, and how to fill them."""
    if report.gaps:
        columns = ("gap", "lane", "from", "published", "to", "published", "reason", "opened", "closed")
        console.print(listing(columns, map(_gap, report.gaps)))
    else:
        console.print("There is no open gap." if not report.closed_left_out else "No gap is open.")
    if any(gap.closed_at is None for gap in report.gaps):
        console.print("To read one by other means and close it: wikimirror replay --gap NUMBER")
    if report.closed_left_out:
        console.print(f"{plural(report.closed_left_out, 'closed gap is', 'closed gaps are')} left out: --all")


def _lane(lane: CheckpointRow) -> tuple[object, ...]:
    return (
        f"{lane.source} {lane.topic}[{lane.partition}]", str(lane.position), lane.position_time, str(lane.epoch),
        lane.writer, None if lane.owner is None else lane.owner.holder,
    )  # fmt: skip


def _owner(owner: OwnerRow) -> tuple[object, ...]:
    how = ", ".join(part for part in ("lease" if owner.lease else None, owner.role) if part is not None)
    return owner.source, owner.holder, how, owner.since, duration(owner.unseen)


def _move(lane: LaneMove) -> tuple[object, ...]:
    # Where the time counts, offsets tell nothing.
    positions = ("–", "–") if lane.by_time else (str(lane.from_position), str(lane.to_position))
    if lane.direction is Direction.STAYS:
        return f"{lane.topic}[{lane.partition}]", positions[0], lane.from_time, "stays", None, None
    known = "not counted" if lane.records is None else f"about {lane.records:,} known"
    return f"{lane.topic}[{lane.partition}]", positions[0], lane.from_time, positions[1], lane.to_time, known


def _remarks(report: MoveReport) -> list[str]:
    back, forward = report.going(Direction.BACK), report.going(Direction.FORWARD)
    told = []
    if back:
        told.append(f"{_done(back, report)} back. Will be read again: {_known(back)}; {_HARMLESS}.")
    if forward:
        verb = "opened" if report.moved else "opens"
        told.append(
            f"{_done(forward, report)} forward. Left out: {_left_out(forward)}. A gap with the reason skipped {verb}"
            " for each; `wikimirror replay --gap NUMBER` reads it by other means."
        )
    if not back and not forward:
        told.append("Every lane is where it was asked to be: there is nothing to do.")
    if report.owners:
        owners = ", ".join(owner.holder for owner in report.owners)
        told.append(f"As long as {owners} owns lanes of {report.source}, this is refused.")
    return told


def _done(lanes: list[LaneMove], report: MoveReport) -> str:
    verb = ("was" if len(lanes) == 1 else "were") if report.moved else "would be"
    return f"{_lanes(lanes)} {verb} moved"


def _known(lanes: Iterable[LaneMove]) -> str:
    """About how many records that the mirror knows, and of which time."""
    chosen = list(lanes)
    counts = [lane.records for lane in chosen if lane.records is not None]
    if len(counts) < len(chosen):
        return "how many records the mirror knows of it could not be counted in time"
    oldest = [lane.oldest for lane in chosen if lane.oldest is not None]
    newest = [lane.newest for lane in chosen if lane.newest is not None]
    span = f", published {shown(min(oldest))} to {shown(max(newest))} UTC" if oldest and newest else ""
    return f"about {plural(sum(counts), 'record', 'records')} the mirror knows{span}"


def _left_out(lanes: Iterable[LaneMove]) -> str:
    chosen = list(lanes)
    if any(lane.by_time for lane in chosen):
        began = [lane.from_time for lane in chosen if lane.from_time is not None]
        ends = [lane.to_time for lane in chosen if lane.to_time is not None]
        since = shown(min(began)) if began else "the beginning"
        return f"what was published from {since} to {shown(max(ends, default=None))} UTC"
    return f"{plural(sum(lane.to_position - lane.from_position for lane in chosen), 'offset', 'offsets')}"


def _gap(gap: GapRow) -> tuple[object, ...]:
    offsets = [None if offset is None else str(offset) for offset in (gap.from_position, gap.to_position)]
    closed = None
    if gap.closed_at is not None:
        closed = shown(gap.closed_at) + ("" if gap.replay_id is None else f" by replay {gap.replay_id}")
    return (
        str(gap.gap_id), f"{gap.source} {gap.topic}[{gap.partition}]", offsets[0], gap.from_time, offsets[1],
        gap.to_time, gap.reason, gap.opened_at, closed,
    )  # fmt: skip


def _lanes(lanes: list[LaneMove]) -> str:
    return plural(len(lanes), "lane", "lanes")
