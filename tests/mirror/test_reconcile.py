"""What the law leaves open is a row of `reconcile`, and the row goes once it is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import permutations

import pytest

from tests.merge.statements import HIDDEN, SHOWN, UNSTATED, delete, edit, state, undelete, visibility
from tests.mirror.lanes import Written, waiting
from wikimirror.mirror.connect import Session, connect
from wikimirror.model import Change, Clock, Kind


async def test_an_edit_whose_parent_was_missed_waits_until_the_parent_comes(session: Session) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(1))
    await lane.apply(edit(5, parent_rev_id=4))
    assert await waiting(session) == {(1, 4, "unknown_parent")}
    await lane.apply(edit(4, parent_rev_id=1))
    assert await waiting(session) == set()


async def test_the_first_change_of_a_page_asks_for_no_parent(session: Session) -> None:
    await (await Written.to(session)).apply(edit(5, parent_rev_id=4))
    assert await waiting(session) == set()


async def test_a_restored_page_waits_for_its_older_revisions(session: Session) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(1), edit(2))
    await lane.apply(delete(2, 10))
    assert await waiting(session) == set()
    await lane.apply(undelete(2, 20, parent_rev_id=1))
    assert (1, 0, "restored") in await waiting(session)
    await lane.apply(delete(2, 30))
    assert (1, 0, "restored") not in await waiting(session)


async def test_a_text_shown_again_without_being_told_is_withheld_until_it_is(session: Session) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(1))
    await lane.apply(visibility(1, 10, (False, True, True)))
    assert await waiting(session) == set()
    await lane.apply(visibility(1, 2000, SHOWN))
    assert await waiting(session) == {(1, 1, "withheld")}
    await lane.apply(state(Kind.VISIBILITY_CHANGE, 1, 5000))
    assert await waiting(session) == set()


async def test_a_candidate_published_after_a_deletion_but_refused_is_asked_after(session: Session) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(2), delete(2, 10))
    await lane.apply(edit(2, 10, published=delete(2, 11).time))
    assert await waiting(session) == {(1, 0, "refused_after_deletion")}
    await lane.apply(undelete(2, 500))
    assert (1, 0, "refused_after_deletion") not in await waiting(session)


async def test_a_losing_change_whose_parent_is_the_current_revision_is_asked_after(session: Session) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(5))
    await lane.apply(edit(6, 6, rev_dt=edit(1).rev_dt, parent_rev_id=5))
    assert (1, 6, "losing_child") in await waiting(session)


async def test_a_revision_of_two_pages_is_asked_after(session: Session) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(1))
    await lane.apply(edit(1, 5, page=2))
    assert (2, 1, "merged") in await waiting(session)


async def test_an_unproved_word_about_a_revision_that_had_gone_is_asked_after(session: Session) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(1), edit(2))
    await lane.apply(delete(2, 10))
    await lane.apply(undelete(2, 20))
    await lane.apply(visibility(1, 2000, (True, True, False)))
    assert (1, 1, "restored_revision") in await waiting(session)


@pytest.mark.parametrize("before", [(), (edit(1),), (edit(1), edit(2))], ids=["nothing", "its edit", "both edits"])
@pytest.mark.parametrize(
    "restatement", [state(Kind.VISIBILITY_CHANGE, 1, 2000), visibility(1, 2000, (True, True, False))]
)
async def test_it_is_asked_after_in_whatever_order_the_deletion_and_the_word_come(
    make_database: Callable[..., Awaitable[str]], before: tuple[Change, ...], restatement: Change
) -> None:
    for order in permutations([delete(2, 10), undelete(2, 20), restatement]):
        async with await connect(await make_database()) as session:
            lane = await Written.to(session)
            await lane.apply(*before)
            # Each in a batch of its own: what is not loaded is closed over in SQL.
            for change in order:
                await lane.apply(change)
            assert (1, 1, "restored_revision") in await waiting(session), [change.kind.value for change in order]


async def test_a_vacated_page_waits_until_a_candidate_says_where_it_is(session: Session) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(1))
    await lane.apply(state(Kind.WITHDRAWAL, 2, 10, clock=Clock.PROCESSING, flags=UNSTATED))
    assert await waiting(session) == {(1, 0, "vacated")}
    await lane.apply(edit(3, 500))
    assert (1, 0, "vacated") not in await waiting(session)


async def test_leaving_the_scope_leaves_nothing_to_ask(session: Session) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(1))
    await lane.apply(state(Kind.MOVE, 2, 10, vacates=True))
    assert await waiting(session) == set()


async def test_what_was_only_hidden_asks_nothing(session: Session) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(1), visibility(1, 400, HIDDEN))
    assert await waiting(session) == set()
