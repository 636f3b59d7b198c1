"""How a lane fares, judged by samples: each state in a table of situations, and what holds of all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.observe.clock import THRESHOLDS, Clock
from wikimirror.model import Lane, Position
from wikimirror.observe.effort import APPLYING, WAITING, Spent
from wikimirror.observe.freshness import FreshnessWindow
from wikimirror.observe.lanes import PROOF, WINDOW, LaneState, LaneVerdict, Sample, SourceSample, Wait, judge_lane
from wikimirror.observe.moves import goes_back
from wikimirror.observe.telemetry import Telemetry
from wikimirror.observe.trend import falling, is_level_or_rising, slope
from wikimirror.observe.vitals import Vitals, Waiting
from wikimirror.observe.window import EVERY, MOST

HOUR, DAY = 3600.0, 86_400.0
HOUR_US = 3_600_000_000
LATE = THRESHOLDS.behind_after
EQIAD, CODFW = (Lane("eventstreams", f"{where}.mediawiki.page_change.v1", 0) for where in ("eqiad", "codfw"))
FIRST, SECOND = (Lane("kafka", "t", partition) for partition in range(2))


def sample(number: int = 0, *, source: dict[str, Any] | None = None, **said: Any) -> Sample:
    """The so manieth sample of a lane that is read as fast as it is published."""
    position = said.pop("position", Position(1000 + 10 * number, 1_000_000_000 + number))
    return Sample(
        source=SourceSample(at=500.0 + EVERY * number, **(source or {})),
        **{"position": position, "reached": position.offset, "seconds_behind": 0.2, **said},
    )


def samples(count: int, said: Callable[[int], dict[str, Any]]) -> list[Sample]:
    return [sample(number, **said(number)) for number in range(count)]


def judged(seen: Sequence[Sample]) -> LaneVerdict:
    return judge_lane(seen, THRESHOLDS)


def behind(*seconds: float | None) -> list[Sample]:
    """Samples of a lane that moves."""
    return [sample(number, seconds_behind=each) for number, each in enumerate(seconds)]


STILL = Position(7, 7)
NOW = 60
"""The last sample of a whole window."""
SITUATIONS: dict[str, tuple[LaneState, list[Sample]]] = {
    "reads what was just published": (LaneState.CURRENT, behind(*[0.2] * MOST)),
    "is a little late, and later all the time": (LaneState.CURRENT, behind(*range(50))),
    "was read to its end and brought something old last": (
        LaneState.CURRENT,
        samples(MOST, lambda _: {"position": STILL, "seconds_behind": 9000.0, "records_behind": 0}),
    ),
    "nothing is known of how late it is": (LaneState.CURRENT, behind(None, None, None)),
    "is late and gets less late": (LaneState.CATCHING_UP, behind(*[5000 - 20 * n for n in range(MOST)])),
    "is late, and rose before it fell": (
        LaneState.CATCHING_UP,
        behind(*[4000 + 5 * n for n in range(45)], *[4220 - 20 * n for n in range(16)]),
    ),
    "is late, and just one look was taken": (LaneState.CATCHING_UP, behind(9000)),
    "is late, and it is too early to tell": (LaneState.CATCHING_UP, behind(9000, 9005, 9010)),
    "is late and gets later, though it moves": (LaneState.GROWING, behind(*[100 + 4 * n for n in range(MOST)])),
    "is late and stays as late": (LaneState.GROWING, behind(*[600.0] * MOST)),
    "gets later, up and down with each batch": (
        LaneState.GROWING,
        behind(*[100 + 5 * n + 40 * (n % 3) for n in range(MOST)]),
    ),
    "gets less late, up and down with each batch": (
        LaneState.CATCHING_UP,
        behind(*[9000 - 5 * n + 40 * (n % 3) for n in range(MOST)]),
    ),
    "reads a burst, so that it gets later while ever less is left": (
        LaneState.CATCHING_UP,
        samples(MOST, lambda n: {"seconds_behind": 100 + 5 * n, "records_behind": 9000 - 100 * n}),
    ),
    "has ever more to read though that is less late": (
        LaneState.GROWING,
        samples(MOST, lambda n: {"seconds_behind": 1000 - 5 * n, "records_behind": 9000 + 100 * n}),
    ),
    "has records in flight and does not move": (
        LaneState.STALLED,
        samples(MOST, lambda n: {"position": STILL, "reached": 70, "stuck": EVERY * n}),
    ),
    "has records to read and does not move": (
        LaneState.STALLED,
        samples(MOST, lambda n: {"position": STILL, "records_behind": 4, "stuck": EVERY * n}),
    ),
    "has not moved for a moment": (
        LaneState.CURRENT,
        samples(10, lambda n: {"position": STILL, "reached": 70, "stuck": EVERY * n}),
    ),
    "went back": (LaneState.REWOUND, [sample(0), sample(1, went_back=200.0)]),
    "went back longer ago than the window reaches": (LaneState.CURRENT, [sample(0), sample(1, went_back=WINDOW + 1)]),
    "went back and stands since": (
        LaneState.STALLED,
        samples(MOST, lambda n: {"position": STILL, "records_behind": 4, "stuck": EVERY * n, "went_back": EVERY * n}),
    ),
    "is connected and nothing came for long": (
        LaneState.SILENT,
        samples(MOST, lambda n: {"position": STILL, "source": {"silent": 100 + EVERY * n}}),
    ),
    "is silent, as far as one look tells": (LaneState.CURRENT, [sample(0, source={"silent": 9000.0})]),
    "nothing came for long and its end is reached": (
        LaneState.CURRENT,
        samples(MOST, lambda _: {"position": STILL, "records_behind": 0, "source": {"silent": 9000.0}}),
    ),
    "nothing came for long because it is not connected": (
        LaneState.CURRENT,
        samples(MOST, lambda _: {"position": STILL, "source": {"silent": 9000.0, "connected": False}}),
    ),
    "nothing came for long because nothing fits in": (
        LaneState.CURRENT,
        samples(MOST, lambda _: {"position": STILL, "reached": 70, "source": {"silent": 9000.0}}),
    ),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_lane_that(situation: str) -> None:
    state, seen = SITUATIONS[situation]
    assert judged(seen).state is state


def test_catch_up_is_the_seconds_behind_by_how_fast_they_fall() -> None:
    seen = behind(*[4000 - 10 * n for n in range(MOST)])
    assert judged(seen).catch_up_seconds == pytest.approx(3400 / (10 / EVERY))


def test_catch_up_is_told_by_records_where_the_source_tells_its_end() -> None:
    seen = samples(MOST, lambda n: {"seconds_behind": 5000 - n, "records_behind": 100_000 - 500 * n})
    assert judged(seen).catch_up_seconds == pytest.approx(70_000 / (500 / EVERY))


@pytest.mark.parametrize("situation", SITUATIONS)
def test_catch_up_is_never_where_it_grows_or_stands_and_not_told_where_there_is_nothing_to_catch_up(
    situation: str,
) -> None:
    verdict = judged(SITUATIONS[situation][1])
    if verdict.state in {LaneState.GROWING, LaneState.STALLED}:
        assert verdict.catch_up_seconds == math.inf
    if verdict.state in {LaneState.CURRENT, LaneState.SILENT}:
        assert verdict.catch_up_seconds is None


def test_what_happens_now_counts_more_than_what_the_window_began_with() -> None:
    slowly, quickly = [4000 - 1.0 * n for n in range(40)], [3960 - 25.0 * n for n in range(21)]
    assert judged(behind(*slowly, *quickly)).catch_up_seconds == pytest.approx(quickly[-1] / 5, rel=0.2)


def headroom(**said: Any) -> float | None:
    retention = said.pop("retention", DAY)
    seen = samples(3, lambda _: {"source": {"retention": retention}, **said})
    return judged(seen).headroom_seconds


def test_headroom_is_the_retention_less_the_age_of_what_is_read_next() -> None:
    assert headroom(seconds_behind=HOUR, position_age=HOUR) == DAY - HOUR
    assert headroom(seconds_behind=2 * DAY, position_age=2 * DAY) == 0
    assert headroom(seconds_behind=HOUR, position_age=HOUR, retention=None) is None
    assert headroom(seconds_behind=HOUR, position_age=None) is None


def test_at_the_end_headroom_is_the_whole_retention_however_old_the_last_record_is() -> None:
    assert headroom(records_behind=0, position_age=HOUR) == DAY
    assert headroom(seconds_behind=0.0, position_age=HOUR) == DAY


def test_what_the_source_has_deleted_already_leaves_no_headroom_whatever_its_retention() -> None:
    seen = [sample(position=Position(5, 5), log_start=9, records_behind=3)]
    assert (judged(seen).headroom_seconds, judged(seen).headroom_records) == (0, 0)


def test_headroom_in_records_is_told_where_the_source_tells_where_its_log_starts() -> None:
    assert judged([sample(position=Position(50, 5), log_start=9)]).headroom_records == 41
    assert judged([sample()]).headroom_records is None


def test_evidence_has_the_rates_and_shares_of_the_window() -> None:
    def said(n: int) -> dict[str, Any]:
        spent = Spent(applying=4.0 * n, decoding=1.0 * n, waiting=0.25 * n)
        wait = Wait("database", 3.0 * n, "the table is locked")
        return {
            "end": 5000 + 100 * n, "reached": 1010 + 20 * n, "seconds_behind": 70.0 + n,
            "source": {"spent": spent, "wait": wait, "silent": 1.5, "retention": DAY},
        }  # fmt: skip

    told = judged(samples(MOST, said)).evidence
    assert (told.window_seconds, told.samples) == (WINDOW, MOST)
    assert (told.position_from, told.position_to) == (1000, 1600)
    assert (told.read_per_second, told.applied_per_second, told.inflow_per_second) == (4, 2, 20)
    assert (told.apply_share, told.decode_share, told.source_share) == pytest.approx((0.8, 0.2, 0.05))
    assert (told.waiting_for, told.waiting_seconds) == ("database", 180.0)
    assert told.waiting_reason == "the table is locked"
    assert (told.silent_seconds, told.behind_from, told.behind_to, told.retention_seconds) == (1.5, 70, 130, DAY)


def test_rates_are_not_told_where_a_source_numbers_anew_and_by_one_look_nothing_is() -> None:
    renumbered = [sample(0), sample(1, position=Position(3, 1_000_000_001))]
    assert judged(renumbered).evidence.applied_per_second is None
    alone = judged([sample(0)]).evidence
    assert (alone.window_seconds, alone.read_per_second, alone.apply_share) == (0, None, None)


seconds = st.floats(0, 10_000)
anything = st.lists(
    st.builds(
        lambda offset, ahead, late, records, stuck, silent, connected: {
            "position": Position(offset, offset),
            "reached": offset + ahead,
            "seconds_behind": late,
            "records_behind": records,
            "stuck": stuck,
            "position_age": late,
            "source": {"silent": silent, "connected": connected, "retention": HOUR},
        },
        st.integers(0, 50),
        st.integers(0, 5),
        st.none() | seconds,
        st.none() | st.integers(0, 1000),
        seconds,
        st.none() | seconds,
        st.booleans(),
    ),
    min_size=1,
    max_size=MOST,
)


@given(anything)
def test_whatever_was_seen_the_numbers_make_sense(said: list[dict[str, Any]]) -> None:
    seen = [sample(number, **each) for number, each in enumerate(said)]
    verdict = judged(seen)
    catch_up, room = verdict.catch_up_seconds, verdict.headroom_seconds
    assert catch_up is None or catch_up > 0
    assert room is None or 0 <= room <= HOUR
    if seen[-1].records_behind == 0:
        assert verdict.state not in {LaneState.CATCHING_UP, LaneState.GROWING, LaneState.SILENT}
        assert room == HOUR
    if len(seen) == 1:
        assert verdict.state in {LaneState.CURRENT, LaneState.CATCHING_UP}


@given(anything, st.floats(-1e6, 1e6))
def test_a_verdict_does_not_depend_on_when_it_is(said: list[dict[str, Any]], shift: float) -> None:
    shift = round(shift)
    seen = [sample(number, **each) for number, each in enumerate(said)]
    later = [replace(each, source=replace(each.source, at=each.at + shift)) for each in seen]
    assert judged(later).state is judged(seen).state


@given(st.lists(st.floats(0, 30), min_size=8, max_size=MOST - 1), st.floats(LATE, 5000))
def test_a_lane_that_never_falls_is_never_said_to_catch_up(rises: list[float], start: float) -> None:
    told = [start + sum(rises[:number]) for number in range(len(rises) + 1)]
    assert judged(behind(*told)).state is LaneState.GROWING


@given(st.floats(0.5, 50), st.integers(8, MOST), st.floats(0, 5000))
def test_a_lane_that_falls_steadily_is_never_said_to_grow_and_is_current_when_it_said(
    fall: float, count: int, left: float
) -> None:
    end = LATE + left
    told = [end + fall * (count - 1 - number) for number in range(count)]
    verdict = judged(behind(*told))
    assert verdict.state is LaneState.CATCHING_UP
    assert verdict.catch_up_seconds == pytest.approx(end / (fall / EVERY), rel=1e-3)


@pytest.mark.parametrize(
    ("former", "latter", "back"),
    [
        (Position(9), Position(8), True),
        (Position(9, 50), Position(8), True),
        (Position(9, HOUR_US), Position(8, 1), True),
        (Position(9, 50), Position(8, 50), False),
        (Position(9, 50), Position(8, 49), False),
        (Position(9, HOUR_US), Position(9, 1), False),
        (Position(9, HOUR_US), Position(10, 1), False),
        (Position(900, 50), Position(8, 51), False),
    ],
)
def test_a_position_goes_back_unless_the_source_numbers_anew_while_time_goes_on(
    former: Position, latter: Position, *, back: bool
) -> None:
    assert goes_back(former, latter, lost=False) is back


def test_behind_a_log_that_was_cut_off_a_position_goes_back_though_its_time_stays() -> None:
    assert goes_back(Position(9, 50), Position(8, 50), lost=True)
    assert not goes_back(Position(9, 50), Position(8, 51), lost=True)


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 100)), min_size=1, max_size=20))
def test_a_lane_whose_time_goes_up_is_never_said_to_go_back(steps: list[tuple[int, int]]) -> None:
    watched = Watched(EQIAD)
    time = watched.vitals.durable[EQIAD].time
    for offset, later in steps:
        time += later
        watched.vitals.moved({EQIAD: Position(offset, time)})
    watched.run(2)
    assert watched.states == [LaneState.CURRENT]


def test_a_lane_that_went_back_and_forth_between_two_looks_went_back() -> None:
    watched = Watched(FIRST)
    watched.vitals.moved({FIRST: Position(0)}, [FIRST])
    watched.vitals.moved({FIRST: Position(500)})
    watched.run(2)
    assert watched.states == [LaneState.REWOUND]
    watched.vitals.reached = dict(watched.vitals.durable)
    watched.vitals.told_end(FIRST, 0)
    watched.run(MOST)
    assert watched.states == [LaneState.CURRENT]
    assert watched.vitals.durable[FIRST].time, "a position without a time leaves the one that is kept"


points = st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=60)


@given(points, st.floats(-1e3, 1e3), st.floats(-20, 20))
def test_a_slope_follows_what_is_added_to_the_points(values: list[float], level: float, tilt: float) -> None:
    flat = [(EVERY * n, value) for n, value in enumerate(values)]
    tilted = [(at, value + level + tilt * at) for at, value in flat]
    before, after = slope(flat), slope(tilted)
    assert before is not None
    assert after == pytest.approx(before + tilt, abs=1e-6)


@given(points, st.floats(0, 100))
def test_what_falls_is_neither_level_nor_rising_and_too_few_prove_nothing(values: list[float], proof: float) -> None:
    told = [(EVERY * n, value) for n, value in enumerate(values)]
    assert falling(told, proof) is None or not is_level_or_rising(told, proof)
    if told[-1][0] < proof:
        assert falling(told, proof) is None
        assert not is_level_or_rising(told, proof)


class Watched:
    """A source's lanes as a telemetry sees them, sample after sample."""

    def __init__(self, *lanes: Lane) -> None:
        self.clock = Clock()
        self.telemetry = Telemetry(THRESHOLDS, wall=lambda: self.clock.wall, monotonic=lambda: self.clock.monotonic)
        self.vitals: Vitals = self.telemetry.add(self.clock.active(lanes[0].source))
        self.lanes = lanes
        self.hold()

    def hold(self) -> None:
        self.vitals.hold(self.lanes)
        self.vitals.durable = dict.fromkeys(self.lanes, Position(100, self.clock.published(ago=1)))
        self.vitals.reached = dict(self.vitals.durable)

    def read(self, lane: Lane, *, ago: float = 0.1, records: int = 1) -> None:
        """Records come, and are in flight."""
        self.vitals.heard(lane, self.clock.published(ago))
        offset = self.vitals.reached[lane].offset + records
        self.vitals.reached = {**self.vitals.reached, lane: Position(offset, self.clock.published(ago))}

    def apply(self, lane: Lane) -> None:
        """What was read of it is durable."""
        self.vitals.moved({lane: self.vitals.reached[lane]})

    def run(self, times: int, each: Callable[[], object] = lambda: None) -> None:
        for _ in range(times):
            each()
            self.telemetry.sample()
            self.clock.run(EVERY)

    def verdict(self, lane: Lane) -> LaneVerdict:
        return dict(self.telemetry.lanes())[lane]

    @property
    def states(self) -> list[LaneState]:
        return [verdict.state for _, verdict in self.telemetry.lanes()]


def both(*work: Callable[[], object]) -> Callable[[], None]:
    def do() -> None:
        for each in work:
            each()

    return do


def test_a_topic_on_which_little_happens_is_current_while_others_bring_records() -> None:
    watched = Watched(EQIAD, CODFW)
    watched.run(MOST, both(lambda: watched.read(EQIAD), lambda: watched.apply(EQIAD)))
    assert watched.states == [LaneState.CURRENT, LaneState.CURRENT]


def test_a_batch_that_hangs_stalls_its_lanes_and_no_lane_without_anything_in_hand() -> None:
    watched = Watched(FIRST, SECOND)
    for lane in (FIRST, SECOND):
        watched.vitals.told_end(lane, 0)
    watched.read(FIRST)
    watched.vitals.told_end(FIRST, 1)
    watched.vitals.oldest_in_flight = watched.clock.wall - 0.1
    watched.vitals.wait(Waiting.DATABASE, "postgresql://me:s3cret@db/mirror does not answer")
    watched.run(30)
    assert watched.states == [LaneState.STALLED, LaneState.CURRENT]
    told = watched.verdict(FIRST).evidence
    assert told.waiting_for == "database"
    assert told.waiting_reason == "postgresql://me:********@db/mirror does not answer"
    assert watched.verdict(FIRST).seconds_behind == pytest.approx(145.1, abs=1)


def test_a_lane_is_no_longer_stalled_once_it_moves() -> None:
    watched = Watched(FIRST)
    watched.read(FIRST)
    watched.run(30)
    assert watched.states == [LaneState.STALLED]
    watched.apply(FIRST)
    watched.run(1)
    assert watched.states == [LaneState.CURRENT]


def test_a_source_that_cannot_be_reached_stalls_every_lane_whose_end_is_not_known() -> None:
    watched = Watched(EQIAD, CODFW)
    watched.run(3, both(lambda: watched.read(EQIAD), lambda: watched.apply(EQIAD)))
    watched.vitals.left("unreachable")
    watched.vitals.wait(Waiting.SOURCE, "nobody answers")
    watched.run(11)
    assert LaneState.STALLED not in watched.states
    watched.run(3)
    assert watched.states == [LaneState.STALLED, LaneState.STALLED]


def test_a_service_that_sends_nothing_makes_every_lane_silent() -> None:
    watched = Watched(EQIAD, CODFW)
    watched.run(3, both(lambda: watched.read(EQIAD), lambda: watched.apply(EQIAD)))
    watched.run(MOST)
    assert watched.states == [LaneState.SILENT, LaneState.SILENT]


def test_lanes_that_come_anew_begin_anew() -> None:
    watched = Watched(FIRST, SECOND)
    watched.read(FIRST)
    watched.run(MOST)
    assert watched.verdict(FIRST).state is LaneState.STALLED
    watched.hold()
    assert watched.telemetry.lanes() == []
    watched.vitals.durable[FIRST] = Position(3, 0)
    watched.run(1)
    assert [verdict.evidence.samples for _, verdict in watched.telemetry.lanes()] == [1, 1]
    assert watched.states == [LaneState.CURRENT, LaneState.CURRENT]


def test_of_lanes_that_were_given_up_nothing_is_told_though_their_last_batch_becomes_durable() -> None:
    watched = Watched(FIRST)
    watched.run(3)
    watched.vitals.hold(())
    watched.vitals.durable[FIRST] = Position(200)
    watched.run(2)
    assert watched.telemetry.lanes() == []


def test_between_two_looks_lanes_are_judged_once_however_often_somebody_asks() -> None:
    watched = Watched(FIRST, SECOND)
    watched.run(1)
    assert watched.verdict(FIRST) is watched.verdict(FIRST)
    watched.run(1)
    assert watched.verdict(FIRST).evidence.samples == 2
    watched.vitals.hold(())
    assert watched.telemetry.lanes() == []


def test_the_window_is_bounded_and_what_is_older_is_forgotten() -> None:
    watched = Watched(FIRST)
    watched.run(3 * MOST)
    assert watched.verdict(FIRST).evidence.samples == MOST
    # A frozen process wakes up.
    watched.clock.run(WINDOW)
    watched.run(1)
    assert watched.verdict(FIRST).evidence.samples <= 2


@pytest.mark.parametrize("step", [-DAY, -90.0, DAY])
def test_a_time_of_day_that_steps_makes_no_lane_go_back_stall_or_fall_silent(step: float) -> None:
    watched = Watched(FIRST)
    watched.vitals.retention = 7 * DAY
    watched.vitals.told_end(FIRST, 0)
    work = both(lambda: watched.read(FIRST), lambda: watched.apply(FIRST))
    watched.run(10, work)
    watched.clock.step(step)
    watched.run(1)
    verdict = watched.verdict(FIRST)
    assert verdict.state is LaneState.CURRENT
    watched.run(10, work)
    assert watched.verdict(FIRST).state is LaneState.CURRENT
    assert verdict.headroom_seconds == 7 * DAY


def test_what_the_pipeline_spent_its_time_on_is_shares_of_the_window_what_goes_on_included() -> None:
    watched = Watched(FIRST)
    effort = watched.vitals.effort
    watched.run(1)
    effort.begin(APPLYING, watched.clock.monotonic)
    effort.decoded(1.0)
    watched.run(2)
    effort.end(APPLYING, watched.clock.monotonic)
    effort.begin(WAITING, watched.clock.monotonic)
    watched.run(2)
    told = watched.verdict(FIRST).evidence
    assert (told.apply_share, told.decode_share, told.source_share) == pytest.approx((0.5, 0.05, 0.25))


def fresh(telemetry: Telemetry, seconds: Iterable[float]) -> None:
    telemetry.observe_freshness("kafka", [("edit", each) for each in seconds])


def test_freshness_is_of_the_last_minutes_only_and_of_all_kinds() -> None:
    watched = Watched(FIRST)
    telemetry = watched.telemetry
    assert telemetry.freshness() is None
    fresh(telemetry, [500.0] * 1000)
    watched.run(MOST + 3)
    assert telemetry.freshness() is None
    telemetry.observe_freshness("kafka", [("delete", 0.07)])
    fresh(telemetry, [0.07] * 97 + [20.0, 20.0])
    told = telemetry.freshness()
    assert told is not None
    assert told.changes == 100
    assert 0.05 <= told.p50 <= 0.1
    assert 10 <= told.p99 <= 30
    assert WINDOW <= told.seconds <= WINDOW + EVERY


def test_freshness_of_a_young_process_covers_what_there_is() -> None:
    watched = Watched(FIRST)
    fresh(watched.telemetry, [0.3])
    watched.clock.run(7)
    told = watched.telemetry.freshness()
    assert told is not None
    assert (told.seconds, told.changes) == (7, 1)


@given(st.lists(st.floats(0, 99), min_size=1, max_size=60))
def test_quantiles_lie_in_the_bucket_of_the_value(values: list[float]) -> None:
    bounds = (1.0, 2.0, 5.0, 10.0, 50.0)
    window = FreshnessWindow(bounds, looks=3)
    window.note(0.0, [0] * 6)
    edges = (0.0, *bounds, math.inf)
    counts = [sum(low < each <= high or each == low == 0 for each in values) for low, high in pairwise(edges)]
    told = window.within(300, 1.0, counts)
    assert told is not None
    ordered = sorted(values)
    for share, estimate in ((0.5, told.p50), (0.99, told.p99)):
        exact = ordered[max(0, math.ceil(share * len(values)) - 1)]
        high = next((bound for bound in bounds if exact <= bound), 50.0)
        low = max((edge for edge in edges if edge < exact), default=0.0)
        assert min(low, 50.0) <= estimate <= high
    assert told.p50 <= told.p99


def test_proof_fits_into_the_window() -> None:
    assert 2 * EVERY < PROOF < WINDOW
