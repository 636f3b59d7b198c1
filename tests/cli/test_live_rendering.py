"""What `status` looks like to a person, also on a terminal of 80 columns."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.console import Console

from wikimirror.cli import output
from wikimirror.cli.live_rendering import render_status
from wikimirror.ops.live_reports import LaneStatus, LeaseStatus, MemberStatus, StatusReport

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
TOPIC = "mediawiki.page_content_change.v1"
NARROW = 80


def lane(partition: int, topic: str = TOPIC, source: str = "kafka") -> LaneStatus:
    writer = f"wikimirror-{partition % 4}/1/0a1b2c3d/2"
    return LaneStatus(
        source, topic, partition, 123_456_789, NOON, 12, writer, NOON, 0.4, 3.2,
        state="catching_up", told_ago=2.0, seconds_behind=86_400.0, catch_up_seconds=420.0, headroom_seconds=518_400.0,
    )  # fmt: skip


def member(number: int) -> MemberStatus:
    return MemberStatus(
        source="kafka",
        holder=f"wikimirror-{number}/1/0a1b2c3d",
        member_id=f"wikimirror-{number}",
        role="active",
        state="catching_up",
        lanes=12,
        seconds_behind=86_400.5,
        records_behind=100,
        in_flight=7,
        version="1.2.3",
        started_at=NOON,
        seen_at=NOON,
        unseen=2.5,
        why="reads what was published 86400 s ago",
        gone=False,
    )


GONE = replace(member(3), unseen=600.0, gone=True)
REPORT = StatusReport(
    lanes=[lane(partition) for partition in range(50)],
    leases=[],
    members=[member(0), member(1), member(2), GONE],
    records_behind={"kafka": 12_300},
    dead_letters={},
    gaps_open=0,
    reconcile_open={},
    pages=10,
)


def told(report: StatusReport, width: int = NARROW) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False)
    render_status(report, console)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_fifty_partitions_are_fifty_lines_that_fit_a_narrow_terminal() -> None:
    lines = told(REPORT)
    assert max(map(len, lines)) <= NARROW
    start = lines.index(f"kafka {TOPIC}")
    assert lines[start + 1].split("  ")[0] == "lane"
    rows = lines[start + 3 : start + 53]
    assert [row.split()[0] for row in rows] == [f"[{partition}]" for partition in range(50)]
    assert all(row.endswith(lane(number).writer or "") for number, row in enumerate(rows))
    assert lines[start + 53] == ""


def test_a_topic_of_one_partition_is_a_row_with_its_name() -> None:
    lines = told(replace(REPORT, lanes=[lane(0, "a.topic", "live"), lane(0, "b.topic", "live")]), width=140)
    assert lines[0].startswith("lane ")
    assert [line.split("  ")[0] for line in lines[2:4]] == ["live a.topic[0]", "live b.topic[0]"]


def test_a_lane_says_its_state_when_it_catches_up_and_how_long_its_records_are_kept() -> None:
    never = replace(lane(1), state="growing", catch_up_seconds=None, never=True)
    stopped = replace(lane(2), state="stopped")
    untold = LaneStatus("kafka", TOPIC, 3, 7, None, 1, None, NOON, None, 3.2)
    lines = told(replace(REPORT, lanes=[lane(0), never, stopped, untold]))
    start = lines.index(f"kafka {TOPIC}")
    assert [row.split() for row in lines[start + 3 : start + 7]] == [
        ["[0]", "catching_up", "24", "h", "7", "min", "6", "d", "wikimirror-0/1/0a1b2c3d/2"],
        ["[1]", "growing", "24", "h", "never", "6", "d", "wikimirror-1/1/0a1b2c3d/2"],
        ["[2]", "stopped", "–", "–", "–", "wikimirror-2/1/0a1b2c3d/2"],
        ["[3]", "–", "–", "–", "–", "–"],
    ]


def test_all_members_are_told_each_in_a_line_and_who_is_gone_holds_nothing() -> None:
    lines = told(REPORT)
    start = lines.index("kafka: followed by 3 processes, 36 lanes read, 12,300 records behind")
    rows = [line.split() for line in lines[start + 3 : start + 7]]
    assert rows[0] == ["wikimirror-0/1/0a1b2c3d", "active", "catching_up", "12", "86,400.5", "2.5", "s"]
    assert rows[3] == ["wikimirror-3/1/0a1b2c3d", "–", "gone", "–", "–", "10", "min"]


def test_a_source_that_does_not_tell_its_end_has_no_records_behind() -> None:
    lines = told(replace(REPORT, members=[member(0)], records_behind={}))
    assert "kafka: followed by 1 process, 12 lanes read" in lines


def test_where_nobody_follows_a_source_it_says_so() -> None:
    lines = told(replace(REPORT, members=[GONE], records_behind={}))
    assert "kafka: followed by 0 processes, 0 lanes read" in lines


@pytest.mark.parametrize(("held", "reader"), [(True, "host/1/aa"), (False, "–")])
def test_leases_are_told_beside_members(held: bool, reader: str) -> None:  # noqa: FBT001  # a parameter
    lease = LeaseStatus("live", "host/1/aa", 1, held, NOON, NOON, NOON)
    (row,) = [line.split() for line in told(replace(REPORT, leases=[lease])) if line.startswith("live")]
    assert row[1] == reader


def test_as_json_each_lane_and_member_is_an_object_with_all_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    output.give(REPORT, render_status, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert len(document["lanes"]) == 50
    assert document["lanes"][49]["partition"] == 49
    assert document["members"][3] == {
        "source": "kafka", "holder": "wikimirror-3/1/0a1b2c3d", "member_id": "wikimirror-3", "role": "active",
        "state": "catching_up", "lanes": 12, "seconds_behind": 86_400.5, "records_behind": 100, "in_flight": 7,
        "version": "1.2.3", "started_at": "2026-11-01T12:00:00+00:00", "seen_at": "2026-11-01T12:00:00+00:00",
        "unseen": 600.0, "why": "reads what was published 86400 s ago", "gone": True,
    }  # fmt: skip
    assert document["records_behind"] == {"kafka": 12_300}
