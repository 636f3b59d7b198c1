"""What is decided of positions, sizes and ends, without a broker."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wikimirror.model import Lane, Lost, Position
from wikimirror.sources.kafka.fetching import fetch_sizes
from wikimirror.sources.kafka.offsets import Extent, lost_before, records_behind

LANE = Lane("kafka", "pages", 3)
NOON = 1_800_000_000_000_000
KIB, MIB = 2**10, 2**20

offsets = st.integers(0, 2**62)


@st.composite
def extents(draw: st.DrawFn) -> Extent:
    begin, end = sorted((draw(offsets), draw(offsets)))
    return Extent(begin, end)


@pytest.mark.parametrize(
    ("offset", "extent", "since", "goes_on", "reason"),
    [
        (5, Extent(0, 9), None, None, ""),
        (0, Extent(0, 0), None, None, ""),
        (9, Extent(9, 9), None, None, ""),
        (9, Extent(2, 9), None, None, ""),
        (4, Extent(5, 9), None, 5, "retention"),
        (0, Extent(9, 9), None, 9, "retention"),
        (10, Extent(2, 9), None, 9, "truncated"),
        (10, Extent(2, 9), 6, 6, "truncated"),
        (10, Extent(2, 9), 1, 2, "truncated"),
        (10, Extent(0, 0), None, 0, "truncated"),
    ],
)
def test_a_position_outside_of_the_log_is_a_loss_and_one_inside_is_none(
    offset: int, extent: Extent, since: int | None, goes_on: int | None, reason: str
) -> None:
    found = lost_before(LANE, Position(offset, NOON), extent, since)
    position = Position(offset, NOON)
    assert found == (None if goes_on is None else Lost(LANE, position, Position(goes_on, NOON), reason))


@given(offset=offsets, extent=extents(), since=st.none() | offsets)
def test_reading_goes_on_within_the_log_and_a_loss_is_told_exactly_where_something_may_be_missing(
    offset: int, extent: Extent, since: int | None
) -> None:
    found = lost_before(LANE, Position(offset, NOON), extent, since)
    assert (found is None) == (extent.begin <= offset <= extent.end)
    if found is not None:
        assert found.after == Position(offset, NOON)
        assert extent.begin <= found.until.offset <= extent.end
        if since is not None and found.reason == "truncated":
            assert found.until.offset <= max(since, extent.begin), "what was published since is read"


@pytest.mark.parametrize(
    ("memory", "partitions", "brokers", "answer", "partition"),
    [
        (512 * MIB, 1, 1, 8 * MIB, 8 * MIB),
        (512 * MIB, 50, 1, 8 * MIB, 2 * MIB),
        (64 * MIB, 50, 1, 8 * MIB, 2 * MIB),
        (64 * MIB, 50, 8, MIB, 256 * KIB),
        (64 * MIB, 2, 8, MIB, 512 * KIB),
        (MIB, 50, 3, 256 * KIB, 256 * KIB),
        (0, 0, 0, 256 * KIB, 256 * KIB),
    ],
)
def test_what_is_asked_for_fits_the_memory_and_the_assignment(
    memory: int, partitions: int, brokers: int, answer: int, partition: int
) -> None:
    assert fetch_sizes(memory, partitions, brokers) == (answer, partition)


@given(memory=st.integers(0, 2**40), partitions=st.integers(0, 10_000), brokers=st.integers(0, 1000))
def test_all_brokers_together_never_send_more_than_an_eighth_of_the_memory_or_the_least_of_each(
    memory: int, partitions: int, brokers: int
) -> None:
    answer, partition = fetch_sizes(memory, partitions, brokers)
    assert 256 * KIB <= partition <= answer <= 8 * MIB
    assert answer * brokers <= max(memory // 8, 256 * KIB * brokers)


@pytest.mark.parametrize(
    ("end", "position", "handed_on", "durable", "behind"),
    [
        (10, 10, 10, 10, 0),
        (10, 10, 8, 8, 0),
        (10, 4, 4, 4, 6),
        (10, 10, 10, 4, 6),
        (10, 7, 7, 4, 6),
        (5, 8, 8, 8, 0),
        (10, 0, 0, 40, 10),
    ],
)
def test_records_behind_are_those_not_taken_over_and_those_not_durable_but_no_holes(
    end: int, position: int, handed_on: int, durable: int, behind: int
) -> None:
    assert records_behind(end, position, handed_on, durable) == behind


@given(end=offsets, position=offsets, handed_on=offsets, durable=offsets)
def test_nobody_is_ahead_of_the_log(end: int, position: int, handed_on: int, durable: int) -> None:
    assert records_behind(end, position, handed_on, durable) >= 0
