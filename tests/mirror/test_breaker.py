"""When too much would be set aside, nothing of the batch is written."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.merge.statements import edit
from tests.mirror.lanes import Written, value
from wikimirror.errors import TooManySetAside
from wikimirror.mirror.apply import Applier
from wikimirror.mirror.breaker import Breaker, Limits
from wikimirror.mirror.connect import Session
from wikimirror.model import Batch, Coordinates

OFF = Limits(consecutive=0, share=1.0)


def places(outcomes: Iterable[bool], start: int = 0) -> tuple[list[Coordinates], set[Coordinates]]:
    """Records in order, and those of them that would be set aside."""
    told = list(outcomes)
    order = [Coordinates("s", "t", 0, start + n) for n in range(len(told))]
    return order, {at for at, bad in zip(order, told, strict=True) if bad}


def opens(limits: Limits, batches: list[list[bool]]) -> int | None:
    """The number of the batch at which it opens."""
    breaker, start = Breaker(limits), 0
    for number, batch in enumerate(batches):
        order, bad = places(batch, start)
        start += len(order)
        try:
            breaker.judge(order, bad)
        except TooManySetAside:
            return number
        breaker.settle()
    return None


def test_so_many_in_a_row_open_it_also_across_batches_and_one_good_record_between_does_not() -> None:
    limits = Limits(consecutive=5, share=1.0)
    assert opens(limits, [[True] * 4, [True]]) == 1
    assert opens(limits, [[True] * 5]) == 0
    assert opens(limits, [[True] * 4 + [False], [True] * 4, [False], [True] * 4]) is None
    assert opens(limits, [[False, True, True], [True, True], [True, False]]) == 2


def test_so_large_a_share_of_the_window_opens_it_and_old_records_leave_the_window() -> None:
    limits = Limits(consecutive=0, share=0.5, window=100)
    half = [True, False]
    assert opens(limits, [half * 10] * 4) is None
    assert opens(limits, [half * 10] * 5) == 4
    assert opens(limits, [[*half * 10, *[False] * 80]] * 50) is None


def test_batches_larger_than_the_window_are_counted_whole() -> None:
    assert opens(Limits(consecutive=0, share=0.5, window=10), [[False] * 100 + [True] * 4] * 9) is None


@given(st.lists(st.lists(st.booleans(), max_size=30), max_size=30))
def test_turned_off_it_never_opens(batches: list[list[bool]]) -> None:
    assert opens(OFF, batches) is None


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=20), max_size=20), st.integers(1, 12))
def test_how_records_are_cut_into_batches_does_not_matter_for_those_in_a_row(
    batches: list[list[bool]], limit: int
) -> None:
    limits = Limits(consecutive=limit, share=1.0)
    flat = [bad for batch in batches for bad in batch]
    alone = opens(limits, [[bad] for bad in flat])
    together = opens(limits, batches)
    assert (alone is None) == (together is None)
    if together is not None and alone is not None:
        assert sum(map(len, batches[:together])) <= alone < sum(map(len, batches[: together + 1]))


def test_what_was_judged_and_not_settled_does_not_count() -> None:
    breaker = Breaker(Limits(consecutive=3, share=1.0))
    order, bad = places([True, True])
    for _ in range(5):
        breaker.judge(order, bad)
    breaker.settle()
    with pytest.raises(TooManySetAside, match=r"3 records in a row .* s t\[0\]@2"):
        breaker.judge(*places([True], 2))


async def test_a_batch_that_opens_it_leaves_nothing_behind_and_moves_no_position(session: Session) -> None:
    lane = await Written.to(session)
    lane.applier = Applier(session, lane.law, Breaker(Limits(consecutive=3, share=1.0)))
    batch = lane.batch(edit(1), *(edit(n, comment="a \x00") for n in (2, 3, 4)), edit(5))
    counted = Batch(advances=batch.advances, entries=batch.entries, order=[e.record.at for e in batch.entries])
    with pytest.raises(TooManySetAside, match="3 records in a row"):
        await lane.applier.apply(counted)
    for table in ("page", "change", "dead_letter"):
        assert await value(session, f"SELECT count(*) FROM {table}") == 0
    assert await value(session, "SELECT position FROM checkpoint") == 0


async def test_fewer_are_set_aside_and_counted_on(session: Session) -> None:
    lane = await Written.to(session)
    lane.applier = Applier(session, lane.law, Breaker(Limits(consecutive=3, share=1.0)))
    for rev_id in (1, 2):
        batch = lane.batch(edit(rev_id, comment="a \x00"))
        counted = Batch(advances=batch.advances, entries=batch.entries, order=[e.record.at for e in batch.entries])
        await lane.applier.apply(counted)
        lane.held = lane.held._replace(position=lane.held.position + 1)
    assert await value(session, "SELECT count(*) FROM dead_letter") == 2
    batch = lane.batch(edit(3, comment="a \x00"))
    with pytest.raises(TooManySetAside):
        await lane.applier.apply(
            Batch(advances=batch.advances, entries=batch.entries, order=[e.record.at for e in batch.entries])
        )
