"""What `checkpoints`, `gaps` and `purge` look like to a person."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from wikimirror.cli.checkpoint_rendering import question, render_checkpoints, render_gaps, render_move
from wikimirror.cli.purge import render_purge
from wikimirror.ops.checkpoints.reports import (
    CheckpointRow,
    CheckpointsReport,
    Direction,
    GapRow,
    GapsReport,
    LaneMove,
    MoveReport,
    OwnerRow,
    ReplayPosition,
)
from wikimirror.ops.purge_reports import PurgeReport, WikiRows

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
TEN = NOON - timedelta(hours=2)
OWNER = OwnerRow("wiki", "host/1/aa", lease=True, role="active", since=TEN, seen_at=NOON, unseen=2.0)
BACK = LaneMove(
    "wiki", "topic", 0, 4, Direction.BACK, by_time=True, from_position=10, from_time=NOON, to_position=0, to_time=TEN,
    records=1200, oldest=TEN, newest=NOON,
)  # fmt: skip
FORWARD = LaneMove(
    "k", "topic", 1, 4, Direction.FORWARD, by_time=False, from_position=10, from_time=TEN, to_position=25, to_time=None,
    records=0, oldest=None, newest=None,
)  # fmt: skip


def told(report: Any, render: Any) -> str:
    console = Console(file=io.StringIO(), width=200, highlight=False, markup=False, emoji=False)
    render(report, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_lanes_are_told_with_their_owner_and_replays_last() -> None:
    lane = CheckpointRow("wiki", "topic", 0, 10, NOON, 4, "host/1/aa", NOON, OWNER)
    replay = ReplayPosition(7, "wiki", "running", "topic", 0, 3, TEN, NOON)
    lines = told(CheckpointsReport([lane], [OWNER], [replay]), render_checkpoints).splitlines()
    (row,) = [line.split() for line in lines if line.startswith("wiki topic[0]")]
    assert row == ["wiki", "topic[0]", "10", "2026-11-01", "12:00:00", "4", "host/1/aa", "host/1/aa"]
    assert "lease, active" in "\n".join(lines)
    assert lines[-1].split()[:5] == ["7", "of", "wiki", "running", "topic[0]"]
    assert "No lane has a position yet." in told(CheckpointsReport([], [], []), render_checkpoints)


def test_a_move_back_says_what_will_be_read_again_and_that_it_changes_nothing() -> None:
    report = MoveReport("wiki", moved=False, lanes=[BACK], owners=[])
    assert (
        "1 lane would be moved back. Will be read again: about 1,200 records the mirror knows, published"
        " 2026-11-01 10:00:00 to 2026-11-01 12:00:00 UTC; reading them again changes nothing (promise P2)."
    ) in told(report, render_move)
    assert question(report) == "Set 1 lane of wiki back?"


def test_what_could_not_be_counted_is_not_told_as_none() -> None:
    report = MoveReport("wiki", moved=False, lanes=[BACK, replace(BACK, records=None)], owners=[OWNER])
    text = told(report, render_move)
    assert "not counted" in text
    assert "could not be counted in time" in text
    assert "As long as host/1/aa owns lanes of wiki, this is refused." in text


def test_a_move_forward_says_what_is_left_out_and_that_a_gap_opens() -> None:
    report = MoveReport("k", moved=False, lanes=[FORWARD], owners=[])
    text = told(report, render_move)
    assert "1 lane would be moved forward. Left out: 15 offsets. A gap with the reason skipped opens for each" in text
    assert question(report) == "Leave out records on 1 lane of k?"
    timed = replace(FORWARD, by_time=True, to_time=NOON)
    assert "published from 2026-11-01 10:00:00 to 2026-11-01 12:00:00 UTC" in told(
        replace(report, lanes=[timed]), render_move
    )


def test_gaps_are_told_with_how_to_fill_them() -> None:
    gap = GapRow(3, "wiki", "topic", 0, 10, None, TEN, NOON, "skipped", NOON, None, None)
    text = told(GapsReport([gap, replace(gap, gap_id=4, closed_at=NOON, replay_id=7)], 0), render_gaps)
    assert "wikimirror replay --gap NUMBER" in text
    assert "by replay 7" in text
    text = told(GapsReport([], 2), render_gaps)
    assert "No gap is open." in text
    assert "2 closed gaps are left out: --all" in text


def test_a_wiki_that_came_back_is_told_with_what_to_do() -> None:
    rows = WikiRows("enwiki", {"page": 1200, "body": 0}, corrections=3, came_back=5)
    text = told(PurgeReport(purged=True, wikis=[rows], in_scope=[]), render_purge)
    assert "enwiki: 1,200 rows deleted" in text
    assert "3 corrections" in text
    assert "a daemon still has it in scope" in text
    plan = PurgeReport(purged=False, wikis=[replace(rows, came_back=0)], in_scope=["enwiki"])
    assert "as long as they do, this is refused" in told(plan, render_purge)
