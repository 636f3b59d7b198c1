"""Positions and owners, on the newest and the oldest Postgres; and whether a batch is durable, when nobody said so."""

from __future__ import annotations

import asyncio

import pytest

from tests.merge.statements import delete, edit
from tests.mirror.commits import Cut, Pausing, Unanswered
from tests.mirror.lanes import Written, blocked, rows, value
from tests.properties.faults import real
from wikimirror.errors import DatabaseUnavailable, Fenced
from wikimirror.mirror.checkpoints import Held, advance, read_positions, take_over, take_over_all, took_place
from wikimirror.mirror.connect import Limits, Session, connect
from wikimirror.model import Advance, Batch, Lane, Position

LANE = Lane("kafka", "topic", 3)
LANES = [Lane("live", topic, 0) for topic in ("eqiad.page", "codfw.page", "eqiad.revision", "codfw.revision")]
NOON = 1_800_000_000_123_456
LATER = NOON + 7


async def step(session: Session, *steps: Advance) -> None:
    async with session.transaction():
        await advance(session, steps)


async def test_a_lane_never_read_begins_at_its_start_and_a_known_one_where_it_was(any_session: Session) -> None:
    assert await take_over(any_session, LANE, "one", start=Position(7, NOON)) == Held(1, 7, NOON)
    await step(any_session, Advance(LANE, 1, 7, 12, LATER))
    assert await take_over(any_session, LANE, "two", start=Position(7, NOON)) == Held(2, 12, LATER)
    assert await take_over(any_session, LANE, "three", restart_at=Position(0)) == Held(3, 0, 0)
    assert await rows(any_session, "SELECT writer, epoch, position, position_time FROM checkpoint") == [
        ("three", 3, 0, None)
    ]


async def test_a_time_is_kept_to_the_microsecond_and_stays_where_a_step_names_none(any_session: Session) -> None:
    await take_over(any_session, LANE, "one")
    assert await read_positions(any_session, [LANE]) == {LANE: Held(1, 0, 0)}
    await step(any_session, Advance(LANE, 1, 0, 5, NOON))
    await step(any_session, Advance(LANE, 1, 5, 6))
    assert await read_positions(any_session, [LANE]) == {LANE: Held(1, 6, NOON)}


async def test_offsets_may_go_down_while_the_time_goes_up(any_session: Session) -> None:
    await take_over(any_session, LANE, "one", start=Position(1_000_000, NOON))
    await step(any_session, Advance(LANE, 1, 1_000_000, 3, LATER))
    assert await read_positions(any_session, [LANE]) == {LANE: Held(1, 3, LATER)}


@pytest.mark.parametrize(
    "wrong", [Advance(LANE, 1, 7, 9), Advance(LANE, 2, 6, 9), Advance(Lane("kafka", "no", 0), 2, 7, 9)]
)
async def test_a_step_from_another_epoch_or_position_is_fenced(session: Session, wrong: Advance) -> None:
    await take_over(session, LANE, "one", start=Position(7))
    await take_over(session, LANE, "two")
    with pytest.raises(Fenced, match="another writer"):
        await step(session, wrong)
    assert await value(session, "SELECT position FROM checkpoint") == 7


async def test_the_lanes_of_a_batch_move_together_and_where_one_is_fenced_it_is_named_and_none_moves(
    any_session: Session,
) -> None:
    held = await take_over_all(any_session, dict.fromkeys(LANES, Position(3, NOON)), "one")
    steps = [Advance(lane, 1, 3, 10 + number, LATER + number) for number, lane in enumerate(LANES)]
    await step(any_session, *steps)
    moved = {lane: Held(1, 10 + number, LATER + number) for number, lane in enumerate(LANES)}
    assert await read_positions(any_session, LANES) == moved != held
    await take_over(any_session, LANES[2], "two")
    with pytest.raises(Fenced, match=r"eqiad\.revision.* position 12 "):
        await step(any_session, *(Advance(lane, 1, held.position, 99) for lane, held in moved.items()))
    assert await read_positions(any_session, LANES) == {**moved, LANES[2]: Held(2, 12, LATER + 2)}


async def test_the_time_of_the_server_is_told_and_asked_for_even_without_a_lane(any_session: Session) -> None:
    await take_over_all(any_session, dict.fromkeys(LANES, Position(0)), "one")
    for steps in ([], [Advance(LANES[0], 1, 0, 0)], [Advance(lane, 1, 0, 1) for lane in LANES]):
        async with any_session.transaction():
            before = await any_session.fetchval("SELECT extract(epoch FROM clock_timestamp()) * 1000000")
            now = await advance(any_session, steps)
            assert before <= now <= await any_session.fetchval("SELECT extract(epoch FROM clock_timestamp()) * 1000000")


async def test_two_who_move_the_same_lanes_in_other_orders_wait_for_each_other_and_do_not_deadlock(
    any_session: Session, any_url: str
) -> None:
    lanes = [Lane("live", "topic", number) for number in range(50)]
    await take_over_all(any_session, dict.fromkeys(lanes, Position(0)), "one")
    proofs = [Advance(lane, 1, 0, 0) for lane in lanes]
    async with await connect(any_url) as second:
        for _ in range(20):
            async with asyncio.timeout(20):
                await asyncio.gather(step(any_session, *proofs), step(second, *reversed(proofs)))


async def test_a_step_that_waited_for_who_took_its_lane_over_is_fenced(session: Session, database_url: str) -> None:
    await take_over_all(session, dict.fromkeys(LANES, Position(7)), "one")
    async with await connect(database_url) as second, await connect(database_url) as watcher:
        async with second.transaction():
            await second.execute("UPDATE checkpoint SET epoch = epoch + 1 WHERE topic = $1", LANES[1].topic)
            waiting = asyncio.create_task(step(session, *(Advance(lane, 1, 7, 8) for lane in LANES)))
            await blocked(watcher)
        with pytest.raises(Fenced, match=r"codfw\.page"):
            await waiting
        positions = {lane: held.position for lane, held in (await read_positions(watcher, LANES)).items()}
        assert positions == dict.fromkeys(LANES, 7)


async def test_a_step_to_its_own_position_moves_nothing_and_is_fenced_like_any_other(any_session: Session) -> None:
    await take_over(any_session, LANE, "one", start=Position(7, NOON))
    query = "SELECT position, position_time, updated_at FROM checkpoint"
    before = await rows(any_session, query)
    await step(any_session, Advance(LANE, 1, 7, 7))
    assert await rows(any_session, query) == before
    await take_over(any_session, LANE, "two")
    assert await rows(any_session, query) == before
    with pytest.raises(Fenced):
        await step(any_session, Advance(LANE, 1, 7, 7))


async def test_all_lanes_are_taken_over_at_once_the_new_ones_at_their_starts(any_session: Session) -> None:
    first = await take_over_all(any_session, {LANES[2]: Position(40, NOON)}, "one")
    assert first == {LANES[2]: Held(1, 40, NOON)}
    held = await take_over_all(any_session, dict.fromkeys(LANES, Position(0, LATER)), "two")
    new = Held(1, 0, LATER)
    assert held == {LANES[0]: new, LANES[1]: new, LANES[2]: Held(2, 40, NOON), LANES[3]: new}
    assert await read_positions(any_session, LANES) == held


async def test_where_one_lane_cannot_be_taken_over_none_is(session: Session, database_url: str) -> None:
    await take_over(session, LANES[3], "one")
    async with await connect(database_url, limits=Limits(lock=0.05)) as second:
        async with session.transaction():
            # As a batch in flight does.
            await advance(session, [Advance(LANES[3], 1, 0, 0)])
            with pytest.raises(DatabaseUnavailable):
                await take_over_all(second, dict.fromkeys(LANES, Position(0)), "two")
        assert await read_positions(second, LANES) == {LANES[3]: Held(1, 0)}


async def test_of_two_who_take_all_lanes_over_at_once_one_has_them_all(any_session: Session, any_url: str) -> None:
    starts = dict.fromkeys(LANES, Position(0))
    async with await connect(any_url) as second:
        for turn in range(20):
            one, two = await asyncio.gather(
                take_over_all(any_session, starts, "one"),
                take_over_all(second, dict(reversed(starts.items())), "two"),
            )
            assert [
                {held.epoch for held in each.values()} for each in sorted((one, two), key=lambda h: h[LANES[0]])
            ] == [
                {2 * turn + 1},
                {2 * turn + 2},
            ]


async def test_lanes_that_nobody_ever_read_have_no_position(session: Session) -> None:
    assert await read_positions(session, LANES, lock=True) == {}


async def test_positions_are_definite_once_the_transaction_in_flight_has_ended(
    session: Session, database_url: str
) -> None:
    async with await connect(database_url) as second, await connect(database_url) as watcher:
        lane = await Written.to(session)
        pausing = Pausing.of(session)
        applying = asyncio.create_task(lane.apply(edit(1)))
        await pausing.reached.wait()
        assert await read_positions(second, [lane.lane]) == {lane.lane: Held(1, 0)}
        asking = asyncio.create_task(read_positions(second, [lane.lane], lock=True))
        await blocked(watcher)
        pausing.go_on.set()
        await applying
        assert await asking == {lane.lane: Held(1, 1)}


async def in_doubt(session: Session, batch: Batch, lane: Written, commit: type[Unanswered]) -> None:
    """Apply a batch whose COMMIT ends in silence. What would count then is known all the same."""
    commit.of(session)
    with pytest.raises(DatabaseUnavailable):
        await lane.applier.apply(batch)
    session.connection = real(session)
    unconfirmed = lane.applier.unconfirmed
    assert unconfirmed is not None
    assert (unconfirmed.applied, unconfirmed.changed) == ({"edit": 1}, batch.entries)


@pytest.mark.parametrize(("commit", "answer"), [(Unanswered, True), (Cut, False)])
async def test_after_a_lost_reply_to_commit_the_checkpoint_tells_whether_it_took_place(
    any_session: Session, any_url: str, commit: type[Unanswered], *, answer: bool
) -> None:
    lane = await Written.to(any_session)
    batch = lane.batch(edit(1))
    await in_doubt(any_session, batch, lane, commit)
    async with await connect(any_url) as second:
        assert await took_place(second, batch) is answer
        assert await value(second, "SELECT count(*) FROM revision") == int(answer)


async def test_a_commit_that_is_still_under_way_is_waited_for(session: Session, database_url: str) -> None:
    async with await connect(database_url) as second, await connect(database_url) as watcher:
        lane = await Written.to(session)
        batch = lane.batch(edit(1))
        pausing = Pausing.of(session)
        applying = asyncio.create_task(lane.applier.apply(batch))
        await pausing.reached.wait()
        asking = asyncio.create_task(took_place(second, batch))
        await blocked(watcher)
        pausing.go_on.set()
        await applying
        assert await asking


async def test_whether_it_took_place_is_no_longer_asked_once_another_has_the_lane(
    session: Session, database_url: str
) -> None:
    lane = await Written.to(session)
    batch = lane.batch(edit(1))
    await in_doubt(session, batch, lane, Unanswered)
    async with await connect(database_url) as second:
        await Written.to(second)
        with pytest.raises(Fenced):
            await took_place(second, batch)
        with pytest.raises(Fenced):
            await took_place(second, Batch(advances=(Advance(LANE, 1, 0, 1),), entries=[]))


async def test_a_batch_read_again_cannot_be_told_and_is_done_again(session: Session, database_url: str) -> None:
    lane = await Written.to(session)
    batch = lane.batch(edit(1))
    again = Batch(advances=(batch.advances[0]._replace(next_position=0),), entries=batch.entries)
    await in_doubt(session, again, lane, Unanswered)
    async with await connect(database_url) as second:
        assert not await took_place(second, again)
        lane.applier.session = lane.session = second
        assert (await Written(second, lane.law, lane.lane, lane.held).applier.apply(again)).refused == {"duplicate": 1}


async def test_of_a_batch_on_two_lanes_the_one_that_moves_tells(session: Session, database_url: str) -> None:
    still, moving = await take_over(session, LANE, "test"), await Written.to(session)
    batch = moving.batch(edit(1))
    both = Batch(advances=(Advance(LANE, still.epoch, 0, 0), *batch.advances), entries=batch.entries)
    async with await connect(database_url) as second:
        assert not await took_place(second, both)
        await in_doubt(session, both, moving, Unanswered)
        assert await took_place(second, both)


async def test_what_is_confirmed_or_refused_is_not_in_doubt(session: Session) -> None:
    former, owner = await Written.to(session), await Written.to(session)
    await owner.apply(edit(1))
    assert owner.applier.unconfirmed is None
    with pytest.raises(Fenced):
        await former.apply(delete(1, 10))
    assert former.applier.unconfirmed is None


OLD_TAKE_OVER = """
INSERT INTO checkpoint AS c (source, topic, partition, position, epoch, writer, updated_at)
VALUES ($1, $2, $3, $4, 1, $5, now())
ON CONFLICT (source, topic, partition)
DO UPDATE SET epoch = c.epoch + 1, writer = excluded.writer, position = coalesce($6, c.position), updated_at = now()
RETURNING epoch, position
"""
OLD_ADVANCE = """
UPDATE checkpoint SET position = $5, updated_at = now()
WHERE source = $1 AND topic = $2 AND partition = $3 AND epoch = $4 AND position = $6
"""


async def test_what_the_program_before_the_second_migration_writes_is_understood(any_session: Session) -> None:
    async with any_session.transaction():
        assert tuple(await any_session.fetchrow(OLD_TAKE_OVER, *LANE, 7, "old", None) or ()) == (1, 7)
        assert await any_session.execute(OLD_ADVANCE, *LANE, 1, 9, 7) == "UPDATE 1"
    assert await take_over(any_session, LANE, "new") == Held(2, 9, 0)
    await step(any_session, Advance(LANE, 2, 9, 10, NOON))
    async with any_session.transaction():
        assert tuple(await any_session.fetchrow(OLD_TAKE_OVER, *LANE, 0, "old", None) or ()) == (3, 10)
