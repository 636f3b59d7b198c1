"""Reports of the live mirror as a person reads them."""

from __future__ import annotations

from itertools import groupby
from typing import Final

from rich.console import Console
from rich.text import Text

from wikimirror.cli.output import clean, counts, grid, listing, plural, shown
from wikimirror.cli.rendering import render_accounts
from wikimirror.observe.lanes import STOPPED
from wikimirror.ops.live_reports import CheckReport, LaneStatus, LeaseStatus, MemberStatus, RunReport, StatusReport

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400
_OF_A_LANE: Final = ("state", "behind", "catch-up", "headroom", "writer")
"""What is asked at night. Position, epoch and more are in --json and in `checkpoints list`."""


def render_run(report: RunReport, console: Console) -> None:
    """What became of the records of each source."""
    for source in report.sources:
        console.print(clean(source.name), style="bold")
        render_accounts(source.records, console)


def render_check(report: CheckReport, console: Console) -> None:
    """What a source brought."""
    console.print(clean(f"{report.source}, read for {report.seconds:.0f} s; nothing was written"), style="bold")
    size = f"{report.size / 1024:,.0f} KiB"
    console.print(
        grid(
            [
                (
                    "records",
                    f"{report.records:,}, {size}, over {plural(report.connections, 'connection', 'connections')}",
                ),
                ("versions", counts(report.schemas) or "–"),
                ("changes", counts(report.kinds) or "–"),
                ("out of scope", shown(report.out_of_scope)),
                ("ignored", counts(report.ignored) or "none"),
                ("not readable", counts(report.unreadable) or "none"),
                ("seconds behind", _behind(report)),
            ]
        )
    )
    console.print()
    columns = ("topic", "records", "canaries", "newest, ago")
    rows = ((each.topic, each.records, each.canaries, duration(each.newest)) for each in report.topics)
    console.print(listing(columns, rows))
    for reason, count in report.failures.items():
        console.print(Text(clean(f"failed, {plural(count, 'time', 'times')}: {reason}"), style="red"), soft_wrap=True)
    for remark in _remarks(report):
        console.print(Text(clean(remark)), soft_wrap=True)


def _behind(report: CheckReport) -> str:
    if report.behind_median is None or report.behind_most is None:
        return "–"
    return f"{report.behind_median:.1f} in the median, {report.behind_most:.1f} at most"


def _remarks(report: CheckReport) -> list[str]:
    told = []
    if not report.records:
        told.append("Nothing came. The daemon could not follow this source as it is.")
    elif report.unreadable:
        told.append("The daemon would set aside what is not readable, with the reason, in the table dead_letter.")
    else:
        told.append("The daemon can follow this source.")
    quiet = [each.topic for each in report.topics if not each.records]
    if report.records and quiet:
        told.append(f"Nothing came on {', '.join(quiet)}: an idle topic brings only canaries, about one an hour.")
    if report.ahead:
        told.append(
            f"{plural(report.ahead, 'record was', 'records were')} published later than it is by this machine's clock."
            " Seconds behind and freshness will be told too small. Look at its time synchronisation."
        )
    return told


def render_status(report: StatusReport, console: Console) -> None:
    """Lanes, leases, members, and what waits for a person."""
    if not report.lanes:
        console.print("No source has been read into this mirror yet.")
    else:
        _render_lanes(report.lanes, console)
    if report.leases:
        console.print(listing(("source", "read by", "lease", "since"), map(_lease, report.leases)))
        console.print()
    for source, members in groupby(report.members, key=lambda member: member.source):
        _render_members(source, list(members), report.records_behind.get(source), console)
    console.print(
        grid(
            [
                ("pages", "–" if report.pages is None else f"about {report.pages:,}"),
                ("set aside", counts(report.dead_letters) or "none"),
                ("open gaps", shown(report.gaps_open)),
                ("to be read again", counts(report.reconcile_open) or "none"),
            ],
            indent=0,
        )
    )


def _render_lanes(lanes: list[LaneStatus], console: Console) -> None:
    """A row for each. Many partitions of one topic bear its name once, above them: there is no room for more."""
    topics = [list(each) for _, each in groupby(lanes, key=lambda lane: (lane.source, lane.topic))]
    alone = [each[0] for each in topics if len(each) == 1]
    if alone:
        rows = ((f"{lane.source} {lane.topic}[{lane.partition}]", *_lane(lane)) for lane in alone)
        console.print(listing(("lane", *_OF_A_LANE), rows))
        console.print()
    for each in topics:
        if len(each) > 1:
            console.print(Text(clean(f"{each[0].source} {each[0].topic}"), style="bold"), soft_wrap=True)
            console.print(listing(("lane", *_OF_A_LANE), ((f"[{lane.partition}]", *_lane(lane)) for lane in each)))
            console.print()


def _lane(lane: LaneStatus) -> tuple[object, ...]:
    if lane.state == STOPPED:
        # What was told of it is too old to be true.
        return lane.state, None, None, None, lane.writer
    catch_up = "never" if lane.never else duration(lane.catch_up_seconds)
    return lane.state, duration(lane.seconds_behind), catch_up, duration(lane.headroom_seconds), lane.writer


def _render_members(source: str, members: list[MemberStatus], records: int | None, console: Console) -> None:
    here = [member for member in members if not member.gone]
    told = [
        f"{source}: followed by {plural(len(here), 'process', 'processes')}",
        f"{plural(sum(member.lanes for member in here), 'lane', 'lanes')} read",
        *([] if records is None else [f"{plural(records, 'record', 'records')} behind"]),
    ]
    console.print(Text(clean(", ".join(told)), style="bold"), soft_wrap=True)
    columns = ("process", "role", "state", "lanes", "behind, s", "told, ago")
    console.print(listing(columns, map(_member, members)))
    console.print()


def _member(member: MemberStatus) -> tuple[object, ...]:
    if member.gone:
        return member.holder, None, "gone", None, None, duration(member.unseen)
    behind = None if member.seconds_behind is None else f"{member.seconds_behind:,.1f}"
    return member.holder, member.role, member.state, member.lanes, behind, duration(member.unseen)


def _lease(lease: LeaseStatus) -> tuple[object, ...]:
    return lease.source, lease.holder if lease.held else None, "held" if lease.held else "free", lease.acquired_at


def duration(seconds: float | None) -> str | None:
    """Seconds as a person says them, in the largest unit that fits; None stays None."""
    if seconds is None:
        return None
    for unit, size in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:,.1f} s"
