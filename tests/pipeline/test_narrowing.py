"""Reading a part of what comes, at no more than some rate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.merge.statements import edit
from wikimirror.errors import UnreadableRecord
from wikimirror.model import Change, Kind
from wikimirror.pipeline.narrowing import Narrowing
from wikimirror.pipeline.rate import Rate

WIKI = edit(1).page.wiki_id


def test_nothing_named_lets_all_through() -> None:
    assert Narrowing().admits(edit(1))
    assert Narrowing().may_concern(UnreadableRecord("not_json"))
    assert not Narrowing()


@pytest.mark.parametrize(
    ("narrowing", "fits"),
    [
        (Narrowing(wikis=frozenset({WIKI})), True),
        (Narrowing(wikis=frozenset({"other"})), False),
        (Narrowing(pages=frozenset({7, 8})), True),
        (Narrowing(pages=frozenset({8})), False),
        (Narrowing(kinds=frozenset({Kind.EDIT})), True),
        (Narrowing(kinds=frozenset({Kind.DELETE})), False),
        (Narrowing(wikis=frozenset({WIKI}), kinds=frozenset({Kind.DELETE})), False),
    ],
)
def test_all_that_is_named_must_fit(narrowing: Narrowing, *, fits: bool) -> None:
    change: Change = edit(1, page=7)
    assert narrowing.admits(change) is fits


def test_a_page_that_got_a_new_number_is_meant_by_its_old_one_too() -> None:
    restored = edit(1, page=9, former_page_id=7)
    assert Narrowing(pages=frozenset({7})).admits(restored)
    assert Narrowing(pages=frozenset({9})).admits(restored)


def test_what_is_not_known_of_an_unreadable_record_does_not_leave_it_out() -> None:
    narrowing = Narrowing(wikis=frozenset({"enwiki"}), pages=frozenset({7}), kinds=frozenset({Kind.EDIT}))
    assert narrowing.may_concern(UnreadableRecord("not_json"))
    assert narrowing.may_concern(UnreadableRecord("bad_value", wiki_id="enwiki", page_id=7))
    assert narrowing.may_concern(UnreadableRecord("bad_value", wiki_id="enwiki"))
    assert not narrowing.may_concern(UnreadableRecord("bad_value", wiki_id="dewiki", page_id=7))
    assert not narrowing.may_concern(UnreadableRecord("bad_value", wiki_id="enwiki", page_id=8))


@given(
    per_second=st.floats(1, 100_000),
    stalls=st.lists(st.floats(0, 5), max_size=200),
)
def test_no_second_brings_more_than_the_rate_and_the_burst_of_a_second(per_second: float, stalls: list[float]) -> None:
    now, read = 0.0, []
    rate = Rate(per_second, now)
    for stall in stalls:
        now += stall
        now += rate.pause(now)
        read.append(now)
    for begin in read:
        within = sum(begin <= each <= begin + 1 for each in read)
        # The shortest pauses are not made: so much more may come at once.
        assert within <= per_second * 2.01 + 2


def test_the_rate_is_reached_although_batches_take_their_time() -> None:
    now, count = 0.0, 0
    rate = Rate(1000, now)
    while now < 10:
        now += rate.pause(now) + 0.0001
        count += 1
        if count % 500 == 0:
            now += 0.3
    assert 9500 <= count <= 10_100


def test_zero_is_any_rate() -> None:
    rate = Rate(0, 0.0)
    assert [rate.pause(0.0) for _ in range(1000)] == [0.0] * 1000
