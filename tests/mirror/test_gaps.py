"""A lost stretch of a lane is a row of `gap`, written with the positions after it or not at all (P1, P4)."""

from __future__ import annotations

import pytest

from tests.merge.statements import edit
from tests.mirror.lanes import Written, rows
from wikimirror.errors import Fenced
from wikimirror.mirror.connect import Session
from wikimirror.mirror.gaps import count_open
from wikimirror.model import Advance, Batch, Lane, Lost, Position

NOON = 1_800_000_000_123_456
_GAPS = """
SELECT source, topic, partition, from_position, to_position, (extract(epoch FROM from_time) * 1000000)::bigint,
    (extract(epoch FROM to_time) * 1000000)::bigint, reason, closed_at IS NULL
FROM gap ORDER BY gap_id
"""


AFTER, UNTIL = Position(3, NOON), Position(9, NOON + 5)


def lost(lane: Lane, after: Position = AFTER, until: Position = UNTIL) -> Lost:
    return Lost(lane, after, until, "jump")


async def open_gaps(session: Session) -> int:
    async with session.transaction():
        return await count_open(session)


async def test_a_lost_stretch_is_told_from_its_first_missing_record_to_where_reading_goes_on(
    any_session: Session,
) -> None:
    lane = await Written.to(any_session)
    await lane.applier.apply(lane.batch(edit(1), lost=[lost(lane.lane)]))
    assert await rows(any_session, _GAPS) == [(*lane.lane, 3, 9, NOON, NOON + 5, "jump", True)]
    assert await open_gaps(any_session) == 1


async def test_what_is_not_known_of_it_is_null(any_session: Session) -> None:
    lane = await Written.to(any_session)
    unknown = [
        Lost(lane.lane, Position(3, NOON), Position(-1, NOON + 5), "retention"),
        Lost(lane.lane, Position(0), Position(9), "jump"),
    ]
    await lane.applier.apply(lane.batch(lost=unknown))
    assert set(await rows(any_session, _GAPS)) == {
        (*lane.lane, 3, None, NOON, NOON + 5, "retention", True),
        (*lane.lane, 0, 9, None, None, "jump", True),
    }


async def test_a_batch_of_a_loss_alone_moves_its_lane_past_it(session: Session) -> None:
    lane = await Written.to(session)
    step = Advance(lane.lane, lane.held.epoch, 0, 9, NOON + 5)
    await lane.applier.apply(Batch(advances=(step,), entries=[], lost=(lost(lane.lane),)))
    found = await rows(
        session, "SELECT position, (extract(epoch FROM position_time) * 1000000)::bigint FROM checkpoint"
    )
    assert found == [(9, NOON + 5)]
    assert await open_gaps(session) == 1


async def test_a_batch_that_is_refused_opens_no_gap(session: Session) -> None:
    former, _ = await Written.to(session), await Written.to(session)
    with pytest.raises(Fenced):
        await former.applier.apply(former.batch(edit(1), lost=[lost(former.lane)]))
    assert await open_gaps(session) == 0


async def test_a_batch_that_is_done_again_opens_no_gap_twice(session: Session) -> None:
    lane = await Written.to(session)
    batch = Batch(advances=(Advance(lane.lane, 1, 0, 0),), entries=[], lost=(lost(lane.lane), lost(lane.lane)))
    for _ in range(2):
        await lane.applier.apply(batch)
    assert await open_gaps(session) == 1
    await lane.applier.apply(
        Batch(advances=batch.advances, entries=[], lost=(lost(lane.lane, Position(9), Position(11)),))
    )
    assert await open_gaps(session) == 2


async def test_a_batch_that_is_done_in_halves_opens_its_gap(session: Session) -> None:
    lane = await Written.to(session)
    applied = await lane.applier.apply(lane.batch(edit(1), edit(2, comment="\x00"), edit(3), lost=[lost(lane.lane)]))
    assert (applied.applied, applied.set_aside.total()) == ({"edit": 2}, 1)
    assert [entry.change.rev_id for entry in applied.changed] == [1, 3]
    assert await open_gaps(session) == 1


async def test_a_gap_that_was_filled_is_no_longer_open(session: Session) -> None:
    lane = await Written.to(session)
    await lane.applier.apply(lane.batch(lost=[lost(lane.lane), lost(lane.lane, Position(20))]))
    async with session.transaction():
        await session.execute("UPDATE gap SET closed_at = now() WHERE from_position = 20")
    assert await open_gaps(session) == 1
