"""L1: times of one clock are compared by whole seconds, times of two clocks by the skew."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from tests.merge.statements import at
from wikimirror.merge.law import CLOCKS, NEVER, beats, is_before, thresholds
from wikimirror.model import MICROSECONDS, Clock

SKEW = 300 * MICROSECONDS
clocks = st.sampled_from(CLOCKS)
times = st.integers(at(0), at(1000)) | st.integers(0, 1000).map(at)
removals = st.tuples(*[times | st.just(NEVER)] * 3)
skews = st.sampled_from((0, 1, MICROSECONDS, SKEW))


@given(clocks, times, removals, skews)
@example(Clock.ACTION, at(5), (at(4.999999), NEVER, NEVER), SKEW)
@example(Clock.ACTION, at(300), (NEVER, at(0), NEVER), SKEW)
def test_a_threshold_is_the_least_time_that_beats_every_removal(
    clock: Clock, time: int, removed: tuple[int, int, int], skew: int
) -> None:
    beaten = all(beats(clock, time, other, removed[other], skew) for other in CLOCKS if removed[other] != NEVER)
    assert (time >= thresholds(removed, skew)[clock]) is beaten


@given(clocks, clocks, times, times, skews)
def test_what_provably_lies_before_is_beaten_and_nothing_lies_before_what_lies_before_it(
    clock: Clock, other: Clock, time: int, removed: int, skew: int
) -> None:
    if is_before(other, removed, clock, time, skew):
        assert beats(clock, time, other, removed, skew)
        assert not is_before(clock, time, other, removed, skew)


def test_on_one_clock_a_later_whole_second_beats_and_the_same_second_does_not() -> None:
    for clock in CLOCKS:
        assert beats(clock, at(6), clock, at(5.999999), SKEW)
        assert not beats(clock, at(5.999999), clock, at(5), SKEW)


def test_on_two_clocks_only_more_than_the_skew_beats() -> None:
    assert beats(Clock.ACTION, at(300) + 1, Clock.RECEIPT, at(0), SKEW)
    assert not beats(Clock.ACTION, at(300), Clock.RECEIPT, at(0), SKEW)


def test_two_times_of_receipt_prove_an_order_only_beyond_the_skew() -> None:
    assert not is_before(Clock.RECEIPT, at(0), Clock.RECEIPT, at(300), SKEW)
    assert is_before(Clock.RECEIPT, at(0), Clock.RECEIPT, at(300) + 1, SKEW)


def test_without_a_removal_every_time_passes() -> None:
    assert all(threshold < 0 for threshold in thresholds((NEVER, NEVER, NEVER), SKEW))
