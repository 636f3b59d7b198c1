from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.observe.clock import THRESHOLDS, Clock
from wikimirror.model import Lane
from wikimirror.observe.health import Now, State, Verdict, judge
from wikimirror.observe.vitals import Accounts, Beat, Newest, Role, Stage, Vitals, Wait, Waiting

EQIAD, CODFW = (Lane("eventstreams", f"{where}.mediawiki.page_change.v1", 0) for where in ("eqiad", "codfw"))
FIRST, SECOND, THIRD = (Lane("kafka", "mediawiki.page_change.v1", partition) for partition in range(3))


@pytest.fixture
def clock() -> Clock:
    return Clock()


def verdict(vitals: Vitals) -> Verdict:
    return judge(vitals, THRESHOLDS, Now.of(vitals))


def test_a_process_without_lease_and_positions_is_starting_and_not_ready(clock: Clock) -> None:
    vitals = clock.vitals()
    assert dataclasses.astuple(verdict(vitals))[2:5] == (State.STARTING, True, False)
    vitals.role = Role.ACTIVE
    assert dataclasses.astuple(verdict(vitals))[2:5] == (State.STARTING, True, False)


def test_a_standby_is_ready_and_knows_nothing_of_seconds_behind(clock: Clock) -> None:
    vitals = clock.active()
    vitals.heard(EQIAD, clock.published(ago=500))
    vitals.role = Role.STANDBY
    told = verdict(vitals)
    assert (told.state, told.role, told.alive, told.ready) == (State.STANDBY, Role.STANDBY, True, True)
    assert told.seconds_behind is None


@pytest.mark.parametrize("role", [Role.STARTING, Role.STANDBY, Role.ACTIVE])
def test_who_waits_for_postgres_is_alive_and_not_ready_however_long(clock: Clock, role: Role) -> None:
    vitals = clock.active()
    vitals.role = role
    vitals.wait(Waiting.LEASE, "the server is starting up")
    clock.run(7200)
    vitals.wait(Waiting.LEASE, "postgresql://me:s3cret@db/mirror does not answer")
    told = verdict(vitals)
    assert (told.state, told.alive, told.ready) == (State.WAITING, True, False)
    assert told.why == (
        "waits for lease for 7200 s, attempts failed: 2, the last: postgresql://me:********@db/mirror does not answer"
    )


@pytest.mark.parametrize("what", [Waiting.SOURCE, Waiting.DATABASE])
def test_what_an_aborted_pipeline_waited_for_does_not_matter_to_a_standby(clock: Clock, what: Waiting) -> None:
    vitals = clock.active()
    vitals.wait(what, "refused")
    assert verdict(vitals).state is State.WAITING
    vitals.role = Role.STANDBY
    assert verdict(vitals).state is State.STANDBY


def test_reading_begins_with_connecting_and_is_ready_once_connected(clock: Clock) -> None:
    vitals = clock.vitals()
    vitals.role, vitals.positioned = Role.ACTIVE, True
    told = verdict(vitals)
    assert (told.state, told.ready, told.silent_seconds) == (State.CONNECTING, False, None)
    vitals.joined()
    told = verdict(vitals)
    assert (told.state, told.ready, told.seconds_behind) == (State.CONNECTING, True, None)
    vitals.heard(EQIAD, clock.published(ago=0.5))
    assert verdict(vitals).state is State.CURRENT
    vitals.left("ended")
    told = verdict(vitals)
    assert (told.state, told.alive, told.ready) == (State.CONNECTING, True, False)


@pytest.mark.parametrize(("late", "state"), [(0.0, State.CURRENT), (59.9, State.CURRENT), (60.0, State.CATCHING_UP)])
def test_who_is_behind_is_catching_up_and_ready(clock: Clock, late: float, state: State) -> None:
    vitals = clock.active()
    vitals.heard(EQIAD, clock.published(ago=late))
    told = verdict(vitals)
    assert (told.state, told.alive, told.ready) == (state, True, True)
    assert told.seconds_behind == pytest.approx(late)


def test_silence_is_not_being_current_and_adds_nothing_to_the_seconds_behind(clock: Clock) -> None:
    vitals = clock.active()
    vitals.heard(EQIAD, clock.published(ago=2))
    clock.run(299)
    assert verdict(vitals).state is State.CURRENT
    clock.run(1)
    told = verdict(vitals)
    assert (told.state, told.alive, told.ready) == (State.SILENT, True, True)
    assert told.silent_seconds == 300
    assert told.seconds_behind == pytest.approx(2)
    assert "no canary either" in told.why
    vitals.heard(EQIAD, clock.published(ago=1))
    assert verdict(vitals).state is State.CURRENT


@pytest.mark.parametrize("sent", [False, True])
def test_a_source_that_sends_nothing_more_becomes_silent_however_often_it_is_joined(clock: Clock, sent: bool) -> None:  # noqa: FBT001  # a parameter
    vitals = clock.active()
    if sent:
        vitals.heard(EQIAD, 0)
    for _ in range(2):
        clock.run(150)
        vitals.left("idle")
        vitals.joined()
    told = verdict(vitals)
    assert (told.state, told.silent_seconds, told.seconds_behind) == (State.SILENT, 300, None)


def test_who_has_no_room_for_more_is_behind_and_not_the_source_silent(clock: Clock) -> None:
    vitals = clock.active()
    vitals.heard(EQIAD, clock.published(ago=1))
    vitals.accounts.take()
    vitals.oldest_in_flight = clock.wall - 1
    clock.run(400)
    told = verdict(vitals)
    assert told.state is State.CATCHING_UP
    assert told.seconds_behind == pytest.approx(401)


@pytest.mark.parametrize("role", [Role.ACTIVE, Role.DRAINING])
@pytest.mark.parametrize("stage", Stage)
def test_a_stage_that_has_work_and_no_beat_is_stalled_until_it_beats(clock: Clock, stage: Stage, role: Role) -> None:
    vitals = clock.active()
    vitals.role = role
    vitals.busy(stage)
    clock.run(59.9)
    assert verdict(vitals).alive
    clock.run(0.1)
    told = verdict(vitals)
    assert (told.state, told.alive, told.ready, told.stalled) == (State.STALLED, False, False, (stage,))
    assert f"{stage} for 60 s" in told.why
    vitals.busy(stage)
    assert verdict(vitals).alive


def test_a_stage_that_has_no_work_is_never_stalled(clock: Clock) -> None:
    vitals = clock.active()
    for stage in Stage:
        vitals.idle(stage)
    clock.run(86_400)
    assert verdict(vitals).alive


def test_a_standby_is_judged_by_the_lease_alone_and_not_by_a_pipeline_that_is_gone(clock: Clock) -> None:
    vitals = clock.active()
    vitals.busy(Stage.ASSEMBLE)
    vitals.role = Role.STANDBY
    clock.run(3600)
    assert verdict(vitals).alive
    vitals.busy(Stage.LEASE)
    clock.run(60)
    assert not verdict(vitals).alive


@pytest.mark.parametrize(("role", "state"), [(Role.DRAINING, State.DRAINING), (Role.STOPPED, State.STOPPED)])
def test_who_ends_is_alive_and_no_longer_ready(clock: Clock, role: Role, state: State) -> None:
    vitals = clock.active()
    vitals.heard(EQIAD, clock.published(ago=1))
    vitals.role = role
    told = verdict(vitals)
    assert (told.state, told.alive, told.ready) == (state, True, False)


def test_seconds_behind_grow_with_the_oldest_record_in_flight(clock: Clock) -> None:
    vitals = clock.active()
    vitals.heard(EQIAD, clock.published(ago=0))
    vitals.oldest_in_flight = clock.wall
    clock.run(90)
    assert verdict(vitals).seconds_behind == pytest.approx(90)
    vitals.oldest_in_flight = None
    assert verdict(vitals).seconds_behind == pytest.approx(0)


def test_the_topic_that_is_most_behind_counts_while_both_are_read(clock: Clock) -> None:
    vitals = clock.active()
    vitals.heard(CODFW, clock.published(ago=3600))
    clock.run(30)
    vitals.heard(EQIAD, clock.published(ago=1))
    assert verdict(vitals).seconds_behind == pytest.approx(3600)


def test_a_topic_at_its_end_no_longer_counts_as_behind(clock: Clock) -> None:
    """After an outage an idle datacentre's last canary comes late, and the next one is an hour away."""
    vitals = clock.active()
    vitals.heard(CODFW, clock.published(ago=2400))
    clock.run(61)
    assert verdict(vitals).seconds_behind == pytest.approx(2400)
    vitals.heard(EQIAD, clock.published(ago=1))
    assert verdict(vitals).seconds_behind == pytest.approx(1)


def member(clock: Clock, *lanes: Lane) -> Vitals:
    """Of a pipeline that reads these lanes as a member of a group."""
    vitals = clock.active("kafka")
    vitals.shared = True
    vitals.hold(lanes)
    return vitals


def test_a_partition_that_is_behind_is_not_hidden_by_others_of_its_topic(clock: Clock) -> None:
    vitals = member(clock, FIRST, SECOND)
    vitals.heard(FIRST, clock.published(ago=3600))
    vitals.heard(SECOND, clock.published(ago=1))
    told = verdict(vitals)
    assert told.state is State.CATCHING_UP
    assert told.seconds_behind == pytest.approx(3600)


def test_a_lane_read_to_its_end_is_current_however_old_its_last_record(clock: Clock) -> None:
    vitals = member(clock, FIRST, SECOND)
    vitals.heard(FIRST, clock.published(ago=86_400))
    vitals.heard(SECOND, clock.published(ago=2))
    vitals.told_end(FIRST, 0)
    assert verdict(vitals).seconds_behind == pytest.approx(2)
    vitals.told_end(SECOND, 0)
    clock.run(86_400)
    told = verdict(vitals)
    assert (told.state, told.seconds_behind) == (State.CURRENT, 0)


def test_lanes_that_hold_nothing_at_all_are_current_once_their_end_is_told(clock: Clock) -> None:
    vitals = member(clock, FIRST, SECOND)
    vitals.told_end(FIRST, 0)
    assert verdict(vitals).state is State.CONNECTING
    vitals.told_end(SECOND, 0)
    clock.run(3600)
    told = verdict(vitals)
    assert (told.state, told.ready, told.seconds_behind) == (State.CURRENT, True, 0)


def test_a_lane_that_has_records_and_brings_none_is_ever_later_though_others_are_read(clock: Clock) -> None:
    vitals = member(clock, FIRST, SECOND)
    vitals.heard(FIRST, clock.published(ago=1))
    vitals.told_end(FIRST, 7)
    for _ in range(3):
        clock.run(100)
        vitals.heard(SECOND, clock.published(ago=0.5))
        vitals.told_end(SECOND, 0)
    told = verdict(vitals)
    assert told.state is State.CATCHING_UP
    assert told.seconds_behind == pytest.approx(301)


def test_a_record_after_a_long_silence_makes_its_lane_no_later_than_it_has_waited(clock: Clock) -> None:
    vitals = member(clock, FIRST)
    vitals.heard(FIRST, clock.published(ago=1))
    vitals.told_end(FIRST, 0)
    clock.run(3600)
    vitals.told_end(FIRST, 1)
    clock.run(4.9)
    assert verdict(vitals).seconds_behind == pytest.approx(1), "it may have been read since its end was looked at"
    vitals.told_end(FIRST, 2)
    clock.run(15.1)
    assert verdict(vitals).seconds_behind == pytest.approx(21)


def test_a_lane_not_one_of_whose_records_was_read_is_late_at_least_since_they_are_known(clock: Clock) -> None:
    vitals = member(clock, FIRST)
    vitals.told_end(FIRST, 1_000_000)
    clock.run(90)
    assert verdict(vitals).seconds_behind == pytest.approx(90)


def test_an_outage_counts_once_for_lanes_that_have_records_and_for_those_that_had_none(clock: Clock) -> None:
    vitals = member(clock, FIRST, SECOND)
    vitals.heard(FIRST, clock.published(ago=1))
    vitals.told_end(FIRST, 3)
    vitals.told_end(SECOND, 0)
    vitals.wait(Waiting.SOURCE, "no broker answers")
    clock.run(600)
    assert verdict(vitals).seconds_behind == pytest.approx(601)
    vitals.hold([SECOND])
    assert verdict(vitals).seconds_behind == pytest.approx(600)


def test_nothing_of_a_former_assignment_is_left(clock: Clock) -> None:
    vitals = member(clock, FIRST, SECOND)
    for lane in (FIRST, SECOND):
        vitals.heard(lane, clock.published(ago=500))
        vitals.told_end(lane, 9)
    vitals.applied_lag = 500
    vitals.hold([SECOND, THIRD])
    assert vitals.lanes == 2
    assert vitals.newest.keys() == vitals.records_behind.keys() == vitals.behind_since.keys() == {SECOND}
    assert vitals.all_records_behind is None, "nothing is known of the third yet"
    vitals.hold([THIRD])
    assert verdict(vitals).seconds_behind is None


def test_the_time_without_any_lane_is_not_the_sources_silence(clock: Clock) -> None:
    vitals = member(clock, FIRST)
    vitals.heard(FIRST, clock.published(ago=1))
    vitals.hold([])
    clock.run(3600)
    vitals.hold([FIRST])
    told = verdict(vitals)
    assert (told.state, told.silent_seconds) == (State.CONNECTING, 0)
    clock.run(300)
    assert verdict(vitals).state is State.SILENT


def test_records_behind_are_told_of_all_lanes_or_not_at_all(clock: Clock) -> None:
    vitals = member(clock, FIRST, SECOND)
    assert vitals.all_records_behind is None
    vitals.told_end(FIRST, 3)
    assert vitals.all_records_behind is None
    vitals.told_end(SECOND, 4)
    assert vitals.all_records_behind == 7


def test_a_member_of_a_group_without_partitions_is_a_ready_standby_and_says_so(clock: Clock) -> None:
    vitals = member(clock)
    vitals.role = Role.STANDBY
    told = verdict(vitals)
    assert (told.state, told.role, told.ready) == (State.STANDBY, Role.STANDBY, True)
    assert told.why == "is a member of the group without partitions"
    assert told.seconds_behind is None


@pytest.mark.parametrize("role", [Role.STARTING, Role.STANDBY])
def test_a_member_without_partitions_that_has_lost_the_broker_waits_and_is_not_ready(clock: Clock, role: Role) -> None:
    vitals = member(clock)
    vitals.role = role
    vitals.wait(Waiting.SOURCE, "no broker answers")
    told = verdict(vitals)
    assert (told.state, told.alive, told.ready) == (State.WAITING, True, False)


def test_a_missing_topic_is_told_while_others_are_read(clock: Clock) -> None:
    vitals = member(clock, FIRST)
    vitals.missing_topics, vitals.topics_found = ("mediawiki.revision-visibility-change",), 1
    vitals.heard(FIRST, clock.published(ago=1))
    told = verdict(vitals)
    assert (told.state, told.ready) == (State.CURRENT, True)
    assert told.why.endswith("; topics that are not there: mediawiki.revision-visibility-change")


@pytest.mark.parametrize("role", [Role.STARTING, Role.STANDBY, Role.ACTIVE])
def test_who_finds_none_of_its_topics_waits_for_them_and_is_not_ready(clock: Clock, role: Role) -> None:
    vitals = member(clock)
    vitals.role = role
    vitals.missing_topics = ("a.topic", "another.topic")
    told = verdict(vitals)
    assert (told.state, told.alive, told.ready) == (State.WAITING, True, False)
    assert told.why == "waits for topics that are not there: a.topic, another.topic"
    vitals.topics_found, vitals.role = 1, Role.STANDBY
    assert verdict(vitals).ready, "other members read what is there"


def test_while_the_source_cannot_be_reached_the_seconds_behind_grow(clock: Clock) -> None:
    vitals = clock.active()
    vitals.heard(EQIAD, clock.published(ago=1))
    vitals.left("cut")
    vitals.wait(Waiting.SOURCE, "refused")
    clock.run(600)
    assert verdict(vitals).seconds_behind == pytest.approx(601)


def test_where_no_topic_tells_the_last_batch_does(clock: Clock) -> None:
    vitals = clock.active()
    vitals.heard(EQIAD, 0)
    assert verdict(vitals).seconds_behind is None
    vitals.applied_lag = 12.5
    assert verdict(vitals).seconds_behind == 12.5


@pytest.mark.parametrize("seconds", [-7200.0, 7200.0])
def test_a_time_of_day_that_steps_changes_neither_liveness_nor_readiness_nor_silence(
    clock: Clock, seconds: float
) -> None:
    vitals = clock.active()
    vitals.heard(EQIAD, clock.published(ago=1))
    vitals.busy(Stage.APPLY)
    clock.run(10)
    before = verdict(vitals)
    clock.step(seconds)
    after = verdict(vitals)
    assert (after.alive, after.ready, after.silent_seconds) == (before.alive, before.ready, before.silent_seconds)


times = st.floats(min_value=-1e6, max_value=1e10)
durations = st.floats(min_value=0, max_value=1e6)


@st.composite
def any_vitals(draw: st.DrawFn) -> Vitals:
    clock = Clock()
    vitals = clock.vitals()
    vitals.role = draw(st.sampled_from(Role))
    vitals.positioned, vitals.connected = draw(st.booleans()), draw(st.booleans())
    vitals.first_joined, vitals.last_received = draw(st.none() | times), draw(st.none() | times)
    vitals.oldest_in_flight, vitals.applied_lag = draw(st.none() | times), draw(st.none() | durations)
    vitals.shared = draw(st.booleans())
    lanes = st.sampled_from([EQIAD, CODFW])
    vitals.held = draw(st.frozensets(lanes))
    vitals.newest = draw(st.dictionaries(lanes, st.builds(Newest, times, times, durations)))
    vitals.records_behind = draw(st.dictionaries(lanes, st.integers(0, 10)))
    vitals.behind_since = draw(st.dictionaries(lanes, times))
    vitals.missing_topics = draw(st.just(()) | st.just(("a.topic",)))
    vitals.topics_found = draw(st.integers(0, 1))
    vitals.beats = draw(st.dictionaries(st.sampled_from(Stage), st.builds(Beat, times, st.booleans())))
    vitals.waits = draw(
        st.dictionaries(st.sampled_from(Waiting), st.builds(Wait, times, st.text(), st.integers(1, 10**6)))
    )
    vitals.accounts = Accounts(read=1, in_flight=draw(st.integers(0, 1)), ignored=Counter())
    return vitals


@given(any_vitals(), times, times)
def test_whatever_the_vitals_a_verdict_is_consistent(vitals: Vitals, monotonic: float, wall: float) -> None:
    told = judge(vitals, THRESHOLDS, Now(monotonic, wall))
    assert told.alive is (told.state is not State.STALLED)
    assert told.alive or not told.ready
    assert told.ready is (told.state is State.STANDBY or (vitals.connected and vitals.positioned and is_reading(told)))
    assert told.seconds_behind is None or told.seconds_behind >= 0
    assert told.silent_seconds is None or told.silent_seconds >= 0
    assert told.why


def is_reading(told: Verdict) -> bool:
    return told.state in {State.CONNECTING, State.CATCHING_UP, State.CURRENT, State.SILENT}


@given(any_vitals(), times, times, times)
def test_no_time_of_day_changes_liveness_readiness_or_silence(
    vitals: Vitals, monotonic: float, wall: float, other: float
) -> None:
    first, second = (judge(vitals, THRESHOLDS, Now(monotonic, each)) for each in (wall, other))
    assert (first.alive, first.ready, first.silent_seconds) == (second.alive, second.ready, second.silent_seconds)
    either = {State.CURRENT, State.CATCHING_UP}
    assert first.state is second.state or {first.state, second.state} == either
