"""Where a replay reads, by what a person says and by what a gap tells."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from wikimirror.errors import ConfigurationError, Refused
from wikimirror.mirror.gaps import Gap
from wikimirror.model import MICROSECONDS, Lane, Position
from wikimirror.ops.bounds import bound_of
from wikimirror.ops.replaying.aim import aim_of, require_something, require_whole
from wikimirror.ops.replaying.asked import Asked
from wikimirror.sources.ranges import Bound, Range

NOW = 1_800_000_000 * MICROSECONDS
KAFKA = {"jumbo"}
GAP = Gap(3, "jumbo", "pages", 1, 100, 200, NOW - 5 * MICROSECONDS, NOW - 2 * MICROSECONDS, open=True)


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("0", Bound(offset=0)),
        ("9223372036854775807", Bound(offset=2**63 - 1)),
        ("2h", Bound(time=NOW - 7200 * MICROSECONDS)),
        ("250ms", Bound(time=NOW - MICROSECONDS // 4)),
        ("1970-01-01T00:00:02Z", Bound(time=2 * MICROSECONDS)),
        ("2026-11-21T03:00:00.000001+01:00", None),
    ],
)
def test_a_bound_is_an_offset_an_instant_or_a_time_back_from_now(text: str, bound: Bound | None) -> None:
    found = bound_of(text, NOW)
    if bound is None:
        there = datetime(2026, 11, 21, 2, 0, 0, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        bound = Bound(time=there // timedelta(microseconds=1))
    assert found == bound


@pytest.mark.parametrize("text", ["", "-1", "9223372036854775808", "latest", "yesterday", "2026-11-21", "1e3", "٣"])
def test_anything_else_is_refused_with_what_to_say(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        bound_of(text, NOW)
    assert "2h" in caught.value.remedy


def test_what_is_said_is_what_is_read() -> None:
    aim = aim_of(Asked(source="wiki", start="1h", end="30m", topics=("a",)), None, by_offset=KAFKA, now=NOW)
    assert aim == ("wiki", Bound(time=NOW - 3600 * MICROSECONDS), Bound(time=NOW - 1800 * MICROSECONDS), ("a",), ())


def test_files_are_captures_and_are_read_from_their_beginning() -> None:
    aim = aim_of(Asked(files=("day.ndjson",)), None, by_offset=KAFKA, now=NOW)
    assert aim == ("capture", Bound(offset=0), None, (), ())


def test_a_gap_is_read_by_offset_where_its_source_is_and_else_by_time_with_a_margin() -> None:
    by_offset = aim_of(Asked(gap=3), GAP, by_offset=KAFKA, now=NOW)
    assert by_offset == ("jumbo", Bound(offset=100), Bound(offset=200), ("pages",), (1,))
    by_time = aim_of(Asked(gap=3), GAP, by_offset=set(), now=NOW)
    assert by_time[1:3] == (Bound(time=NOW - 6 * MICROSECONDS), Bound(time=NOW - MICROSECONDS))
    elsewhere = aim_of(Asked(gap=3, source="other"), GAP, by_offset={*KAFKA, "other"}, now=NOW)
    assert elsewhere == ("other", *by_time[1:3], (), ()), "its offsets and its topics are another source's"


def test_what_a_gap_does_not_tell_must_be_said() -> None:
    unknown = GAP._replace(to_position=None)
    with pytest.raises(ConfigurationError) as caught:
        aim_of(Asked(gap=3), unknown, by_offset=KAFKA, now=NOW)
    assert "--to" in caught.value.remedy
    assert aim_of(Asked(gap=3, end="150"), unknown, by_offset=KAFKA, now=NOW).end == Bound(offset=150)
    found_by_offset = GAP._replace(to_time=GAP.from_time)
    with pytest.raises(ConfigurationError):
        aim_of(Asked(gap=3, source="capture"), found_by_offset, by_offset=KAFKA, now=NOW)


@pytest.mark.parametrize("part", [{"start": "120"}, {"end": "150"}, {"topics": ("other",)}, {"partitions": (2,)}])
def test_a_part_of_a_gap_does_not_fill_it(part: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        aim_of(Asked(gap=3, **part), GAP, by_offset=KAFKA, now=NOW)


def test_a_gap_is_filled_whole_and_once() -> None:
    with pytest.raises(ConfigurationError):
        aim_of(Asked(gap=3, wikis=("enwiki",)), GAP, by_offset=KAFKA, now=NOW)
    with pytest.raises(Refused):
        aim_of(Asked(gap=3), GAP._replace(open=False), by_offset=KAFKA, now=NOW)
    with pytest.raises(ConfigurationError):
        aim_of(Asked(gap=4), None, by_offset=KAFKA, now=NOW)


def test_a_range_that_ends_before_it_begins_and_one_without_lanes_are_told() -> None:
    with pytest.raises(ConfigurationError, match="before it begins"):
        require_something({Lane("jumbo", "pages", 0): Range(Position(10), 9)}, "jumbo")
    with pytest.raises(ConfigurationError, match="no such lane"):
        require_something({}, "jumbo")


def test_what_was_asked_for_is_kept_whole() -> None:
    asked = Asked(source="wiki", topics=("a", "b"), partitions=(0,), start="1h", pages=(7,), rate=5.0, gap=2)
    assert Asked.of(asked.told) == asked
    assert Asked.of({**asked.told, "of a later version": 1}) == asked


def test_a_gap_that_ends_behind_what_its_source_holds_is_not_filled_by_what_is_there() -> None:
    aim = aim_of(Asked(gap=3), GAP, by_offset=KAFKA, now=NOW)
    lane = Lane("jumbo", "pages", 1)
    with pytest.raises(Refused, match="has nothing after 150") as refused:
        require_whole({lane: Range(Position(100), 150)}, aim)
    assert "--from and --to" in refused.value.remedy
    require_whole({lane: Range(Position(100), 200)}, aim)
    require_whole({lane: Range(Position(0, 5), end_time=7)}, aim_of(Asked(gap=3), GAP, by_offset=set(), now=NOW))
