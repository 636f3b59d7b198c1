"""Resuming by time: what is asked for, what is read again, what is lost."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wikimirror.model import Lane, Lost, Position
from wikimirror.sources.resume import Resumption, entries_of, is_expired, last_event_id, time_of

LANE = Lane("wm", "eqiad.page_change", 0)
SECOND = 1_000_000
OVERLAP = 120 * SECOND
NOON = 1_790_510_400 * SECOND
NEXT = Position(500, NOON)


def resumed(position: Position = NEXT) -> Resumption:
    return Resumption(LANE, position, OVERLAP)


def take(lane: Resumption, *records: tuple[int, float]) -> list[str]:
    """What becomes of records (offset, seconds after noon): `lost` comes before the record that shows it."""
    found: list[str] = []
    for offset, seconds in records:
        published = NOON + round(seconds * SECOND)
        found += ["lost"] if lane.lost(offset, published) else []
        found.append("again" if lane.again(offset, published) else "new")
    return found


def test_every_topic_is_asked_for_from_its_time_less_the_overlap_in_milliseconds() -> None:
    other = Lane("wm", "codfw.page_change", 0)
    asked = {LANE: resumed().asked, other: resumed(Position(7, 50 * SECOND)).asked}

    assert json.loads(last_event_id(asked)) == [
        {"topic": LANE.topic, "partition": 0, "timestamp": NOON // 1000 - 120_000},
        {"topic": other.topic, "partition": 0, "timestamp": 0},
    ]


def test_records_of_the_overlap_are_read_again_and_later_ones_are_new() -> None:
    lane = resumed()

    assert take(lane, (400, -119), (450, -60), (499, 0)) == ["again"] * 3
    assert lane.position == NEXT
    assert take(lane, (500, 1), (501, 2)) == ["new"] * 2
    assert lane.position == Position(502, NOON + 2 * SECOND)


def test_a_second_record_of_the_same_millisecond_is_new() -> None:
    assert take(resumed(), (499, 0), (500, 0), (501, 0.5)) == ["again", "new", "new"]


def test_after_the_newest_record_read_before_all_are_new_whatever_their_times() -> None:
    lane = resumed()

    assert take(lane, (499, 0), (500, -3), (501, -200)) == ["again", "new", "new"]
    assert lane.position.offset == 502


def test_a_lane_goes_on_though_its_newest_record_claims_a_time_in_the_future() -> None:
    year = 365 * 86400.0
    lane = resumed(Position(500, NOON + round(year * SECOND)))

    assert take(lane, (499, year), (500, 1), (501, 2)) == ["again", "new", "new"]
    assert lane.position == Position(502, NOON + 2 * SECOND)


def test_the_overlap_proves_that_nothing_is_lost_whatever_the_offsets() -> None:
    lane = resumed()

    assert take(lane, (9_000_001, -100), (9_000_090, 0), (9_000_091, 1)) == ["again", "again", "new"]
    assert lane.position == Position(9_000_092, NOON + SECOND)


def test_the_expected_offset_proves_that_nothing_is_lost_whatever_the_time() -> None:
    assert take(resumed(), (500, 86_400)) == ["new"]


def test_a_later_first_record_with_another_offset_shows_a_loss_and_reading_goes_on_after_it() -> None:
    lane = resumed()
    published = NOON + 60 * SECOND

    assert lane.lost(700, published) == Lost(LANE, NEXT, Position(700, published), "jump")
    assert not lane.again(700, published)
    assert lane.position == Position(701, published)


@pytest.mark.parametrize("offset", [0, 300, 501, 10**9])
def test_a_loss_is_shown_by_any_other_offset(offset: int) -> None:
    assert take(resumed(), (offset, 3600)) == ["lost", "new"]


def test_only_the_first_record_is_checked() -> None:
    assert take(resumed(), (400, -100), (900, 600), (1500, 900)) == ["again", "new", "new"]


def test_records_whose_times_are_out_of_order_are_no_loss() -> None:
    assert take(resumed(), (498, 0.02), (499, 0), (500, 30)) == ["new", "new", "new"]


def test_a_first_record_older_than_was_asked_for_proves_nothing() -> None:
    ahead = Position(500, NOON + 86_400 * SECOND)

    assert take(resumed(ahead), (900, 1), (901, 2)) == ["lost", "new", "new"]
    assert take(resumed(ahead), (500, 1), (501, 2)) == ["new", "new"]


def test_a_lane_never_read_is_not_checked() -> None:
    lane = resumed(Position(0, NOON))

    assert take(lane, (700, -50), (701, 3), (702, 2)) == ["again", "new", "new"]
    assert lane.position == Position(703, NOON + 2 * SECOND)


def test_a_lane_never_read_goes_on_though_the_clock_that_it_started_by_was_ahead() -> None:
    assert take(resumed(Position(0, NOON + 86_400 * SECOND)), (700, 1)) == ["new"]


@pytest.mark.parametrize(
    ("time", "heard", "expired"), [(99, 0, True), (100, 0, False), (99, 100, False), (50, 99, True), (0, 0, True)]
)
def test_a_position_is_expired_when_neither_it_nor_the_listening_reaches_what_is_kept(
    time: int,
    heard: int,
    expired: bool,  # noqa: FBT001  # a case's outcome
) -> None:
    assert is_expired(Position(5, time), heard, 100) == expired


def test_an_expired_lane_goes_on_from_what_is_kept_and_is_not_checked_twice() -> None:
    lane = resumed()
    oldest = NOON + 3600 * SECOND

    assert lane.expire(oldest) == Lost(LANE, NEXT, Position(-1, oldest), "retention")
    assert lane.position == Position(500, oldest)
    assert take(lane, (600, 60), (800, 3601)) == ["again", "new"]

    lane = resumed()
    lane.expire(oldest)
    assert take(lane, (800, 3601)) == ["new"]


def test_the_next_offset_is_after_whatever_came() -> None:
    lane = resumed()
    assert lane.next_offset == 500

    take(lane, (400, -100))
    assert (lane.next_offset, lane.position.offset) == (401, 500)


def test_the_time_of_a_record_is_a_millisecond_before_where_its_id_goes_on() -> None:
    text = json.dumps([{"topic": "a", "partition": 0, "timestamp": 1001}, {"topic": "b", "partition": 0, "offset": 7}])

    assert time_of(text, "a") == 1_000_000
    assert time_of(text, "b") == 0
    assert time_of(text, "c") == 0


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "7",
        "{}",
        "[1]",
        '[{"partition": 0}]',
        '[{"topic": "a", "timestamp": "1"}]',
        "[" * 100_000,
        '[{"topic": "a", "timestamp": 0}]',
        '[{"topic": "a", "timestamp": -5}]',
        '[{"topic": "a", "timestamp": 99999999999999999}]',
        '[{"topic": "a", "timestamp": 99999999999999999999999999}]',
    ],
)
def test_an_id_that_is_not_legible_tells_no_time(text: str | None) -> None:
    assert time_of(text, "a") == 0


@given(st.text())
def test_no_id_breaks_anything(text: str) -> None:
    assert isinstance(entries_of(text), list)
    assert time_of(text, "a") >= 0


RECORDS = st.lists(st.integers(-200, 200), min_size=1, max_size=40)


@given(RECORDS, st.integers(0, 2_000), st.integers(1, 600), st.integers(-200, 200))
def test_a_lane_never_stands_still(seconds: list[int], first: int, after: int, time: int) -> None:
    """Whatever the position and the times: of two records of which the first is as new as it, the second moves it."""
    lane = resumed(Position(after, NOON + time * SECOND))
    caught_up = False
    for place, second in enumerate(seconds):
        lane.lost(first + place, NOON + second * SECOND)
        again = lane.again(first + place, NOON + second * SECOND)
        assert not (caught_up and again)
        if not again:
            assert lane.position == Position(first + place + 1, NOON + second * SECOND)
        caught_up = caught_up or second >= time


STEPS = st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 800)), min_size=1, max_size=40)
CUTS = st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=8)


@given(STEPS, CUTS, st.booleans())
def test_no_record_is_skipped_and_no_loss_is_told_over_connections_cut_anywhere(
    steps: list[tuple[int, int]],
    cuts: list[tuple[int, bool]],
    renumbers: bool,  # noqa: FBT001  # drawn
) -> None:
    """A log over connections that are cut after any record. Its times fall back now and then, or it is renumbered."""
    log: list[tuple[int, int]] = []
    now = NOON
    for offset, (step, late) in enumerate(steps, start=1):
        now += step * 1000
        log.append((offset, max(NOON, now - (0 if renumbers else late * 1000))))
    position, numbering, read = Position(0, NOON - SECOND), 0, set[int]()

    for count, renumbered in [*cuts, (len(log), False)]:
        lane = resumed(position)
        begin = next(place for place, (_, time) in enumerate(log) if time >= lane.asked)
        for offset, published in log[begin : begin + count]:
            assert lane.lost(offset + numbering, published) is None
            lane.again(offset + numbering, published)
            read.add(offset)
        assert read == set(range(1, max(read) + 1))
        position = lane.position
        numbering += 10**6 * (renumbered and renumbers)

    assert len(read) == len(log)
    assert renumbers or position.offset == len(log) + 1
