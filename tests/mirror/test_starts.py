"""Where lanes begin that nobody ever read, on the newest and the oldest Postgres."""

from __future__ import annotations

import asyncio

from wikimirror.errors import DatabaseUnavailable
from wikimirror.mirror.checkpoints import Held, read_positions, take_over, take_over_all
from wikimirror.mirror.connect import Limits, Session, connect
from wikimirror.mirror.starts import known_topics, note_starts
from wikimirror.model import Lane, Position

LANES = [Lane("kafka", topic, partition) for topic in ("pages", "moves") for partition in range(3)]
NOON = 1_800_000_000_123_456


async def test_starts_are_noted_once_and_without_an_owner(any_session: Session) -> None:
    assert await known_topics(any_session, "kafka") == set()
    await note_starts(any_session, {lane: Position(7, NOON) for lane in LANES[:2]})
    await note_starts(any_session, {lane: Position(90 + lane.partition) for lane in LANES[:3]})
    await note_starts(any_session, {})
    assert await known_topics(any_session, "kafka") == {"pages"}
    assert await known_topics(any_session, "another") == set()
    assert await read_positions(any_session, LANES) == {
        LANES[0]: Held(0, 7, NOON),
        LANES[1]: Held(0, 7, NOON),
        LANES[2]: Held(0, 92, 0),
    }
    taken = await take_over_all(any_session, dict.fromkeys(LANES[:3], Position(0)), "one")
    assert taken == {LANES[0]: Held(1, 7, NOON), LANES[1]: Held(1, 7, NOON), LANES[2]: Held(1, 92, 0)}


async def test_a_lane_that_has_a_position_keeps_it(any_session: Session) -> None:
    await take_over(any_session, LANES[0], "one", start=Position(41, NOON))
    await note_starts(any_session, dict.fromkeys(LANES, Position(5)))
    found = await read_positions(any_session, LANES)
    assert found[LANES[0]] == Held(1, 41, NOON)
    assert {each.position for lane, each in found.items() if lane != LANES[0]} == {5}


async def test_processes_that_come_to_a_topic_at_once_agree_where_all_its_lanes_begin(
    any_url: str, any_session: Session
) -> None:
    async def come(offset: int) -> dict[Lane, Held]:
        async with await connect(any_url, limits=Limits(lock=10.0)) as session:
            arrived.append(offset)
            await all_there.wait()
            order = LANES if offset % 2 else LANES[::-1]
            await note_starts(session, dict.fromkeys(order, Position(offset)))
            return await read_positions(session, LANES)

    arrived, all_there = list[int](), asyncio.Event()
    coming = [asyncio.create_task(come(offset)) for offset in range(1, 9)]
    async with asyncio.timeout(20):
        while len(arrived) < len(coming):
            await asyncio.sleep(0.005)
        all_there.set()
        found = await asyncio.gather(*coming)
    assert all(each == found[0] for each in found), "whoever noted them, all see the same"
    assert len({held.position for held in found[0].values()}) == 1, "those of one process, not some of each"
    assert len(await read_positions(any_session, LANES)) == len(LANES)


async def test_a_lane_that_came_after_another_process_noted_its_topic_is_not_noted_as_one_of_the_first(
    any_session: Session,
) -> None:
    assert await note_starts(any_session, dict.fromkeys(LANES[:2], Position(10)), together={"pages"})
    late = dict.fromkeys([*LANES[:3], LANES[3]], Position(90))
    assert not await note_starts(any_session, late, together={"pages", "moves"})
    assert set(await read_positions(any_session, LANES)) == set(LANES[:2])
    assert await note_starts(any_session, dict.fromkeys(LANES[:2], Position(90)), together={"pages"})
    assert await note_starts(any_session, {LANES[2]: Position(0), LANES[3]: Position(90)}, together={"moves"})
    found = await read_positions(any_session, LANES)
    assert [held.position for _, held in sorted(found.items())] == [90, 10, 10, 0]


async def test_all_starts_are_noted_or_none(any_url: str, any_session: Session) -> None:
    async with await connect(any_url, limits=Limits(lock=0.2)) as other, any_session.transaction():
        await any_session.execute("LOCK TABLE checkpoint IN ACCESS EXCLUSIVE MODE")
        try:
            await note_starts(other, dict.fromkeys(LANES, Position(5)))
        except DatabaseUnavailable:
            refused = True
        else:
            refused = False
    assert refused
    assert await read_positions(any_session, LANES) == {}
