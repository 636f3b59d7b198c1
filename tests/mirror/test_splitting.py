"""A batch that takes too long is cut in two; a crash between the two does no harm (P1, P2)."""

from __future__ import annotations

import pytest

from tests.merge.statements import delete, edit
from tests.mirror.lanes import Written, rows, value
from wikimirror.errors import DatabaseUnavailable, Fenced, UnreadableRecord
from wikimirror.mirror.connect import Limits, Session, connect
from wikimirror.mirror.splitting import split, statement_timed_out
from wikimirror.model import Advance, Batch, Change, Lane, Lost, Position, Unread

CHANGES = (edit(1), edit(2), delete(2, 10), edit(3, 500), edit(4, 501))


def whole(lane: Written, *changes: Change) -> Batch:
    """A batch with everything in it that one can have."""
    batch = lane.batch(*changes, lost=[Lost(lane.lane, Position(0), Position(7, 5), "jump")])
    unread = Unread(lane.batch(edit(99)).entries[0].record, UnreadableRecord("malformed"))
    step = batch.advances[0]._replace(next_position=len(changes) + 1, next_time=9)
    return Batch(advances=(step,), entries=batch.entries, unread=[unread], lost=batch.lost)


async def test_the_halves_are_the_whole_and_only_the_second_moves_anything(session: Session) -> None:
    batch = whole(await Written.to(session), *CHANGES)
    halves = split(batch)
    assert halves is not None
    first, second = halves
    assert first.entries + second.entries == batch.entries
    assert first.entries
    assert second.entries
    (step,) = batch.advances
    assert first.advances == (Advance(step.lane, step.epoch, step.position, step.position),)
    assert (first.unread, first.lost) == ([], ())
    assert (second.advances, second.unread, second.lost) == (batch.advances, batch.unread, batch.lost)


@pytest.mark.parametrize("count", [0, 1])
async def test_what_has_less_than_two_changes_is_not_cut(session: Session, count: int) -> None:
    assert split(whole(await Written.to(session), *CHANGES[:count])) is None


async def test_the_halves_one_after_the_other_do_what_the_whole_does(any_session: Session) -> None:
    lane = await Written.to(any_session)
    halves = split(whole(lane, *CHANGES))
    assert halves is not None
    applied = await lane.applier.apply(halves[0])
    # As after a crash between the two: the first half comes again, as part of the whole.
    assert await value(any_session, "SELECT position FROM checkpoint") == 0
    again = await lane.applier.apply(whole(lane, *CHANGES))
    assert applied.applied.total() == len(halves[0].entries)
    assert again.refused["duplicate"] == len(halves[0].entries)
    assert again.applied.total() + again.refused.total() == len(CHANGES)
    assert await rows(any_session, "SELECT position, epoch FROM checkpoint") == [(len(CHANGES) + 1, 1)]
    assert await value(any_session, "SELECT count(*) FROM change") == len(CHANGES)
    assert await value(any_session, "SELECT count(*) FROM gap") == 1


async def test_a_former_owner_writes_no_half_either(session: Session) -> None:
    former, _ = await Written.to(session), await Written.to(session)
    halves = split(whole(former, *CHANGES))
    assert halves is not None
    with pytest.raises(Fenced):
        await former.applier.apply(halves[0])
    assert await rows(session, "SELECT FROM change") == []


async def test_a_statement_that_took_too_long_is_told_from_other_trouble(session: Session, database_url: str) -> None:
    with pytest.raises(DatabaseUnavailable) as late:
        async with session.transaction(limits=Limits(statement=0.05)):
            await session.execute("SELECT pg_sleep(30)")
    assert statement_timed_out(late.value)
    lane = await Written.to(session)
    async with await connect(database_url) as second, session.transaction():
        await session.execute("LOCK TABLE checkpoint")
        with pytest.raises(DatabaseUnavailable) as locked:
            async with second.transaction(limits=Limits(lock=0.05)):
                await second.execute("UPDATE checkpoint SET position = 1")
    assert not statement_timed_out(locked.value)
    assert not statement_timed_out(DatabaseUnavailable("no cause"))
    assert not statement_timed_out(ValueError())
    assert lane.lane == Lane("test", "t", 0)
