"""What processes tell of their lanes, and what `status` makes of it."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import asdict, replace

from tests.observe.clock import THRESHOLDS
from wikimirror.mirror.checkpoints import take_over_all
from wikimirror.mirror.connect import Session, connect
from wikimirror.mirror.lanes import NotedLane, forget_lanes, note_lanes, read_lanes
from wikimirror.mirror.members import GONE
from wikimirror.model import Lane, Position
from wikimirror.observe.backlog import Backlog
from wikimirror.observe.lanes import LaneReport, LaneState, Sample, SourceSample, judge_lane
from wikimirror.ops.status import status
from wikimirror.pipeline.housekeeping import Housekeeper, Telling

DEADLINE = 20.0
ME, OTHER = "host/1/aa", "host/2/bb"
LANES = [Lane("kafka", "t", partition) for partition in range(3)]


def report(lane: Lane, state: LaneState = LaneState.CURRENT) -> LaneReport:
    verdict = judge_lane([Sample(source=SourceSample(at=1.0), position=Position(7), reached=7)], THRESHOLDS)
    return LaneReport(lane, replace(verdict, state=state))


async def noted(session: Session) -> list[NotedLane]:
    async with session.transaction():
        return await read_lanes(session)


async def make_older(session: Session, lane: Lane, seconds: float) -> None:
    async with session.transaction():
        await session.execute(
            "UPDATE lane SET seen_at = seen_at - make_interval(secs => $4)"
            " WHERE (source, topic, partition) = ($1, $2, $3)",
            *lane,
            seconds,
        )


async def test_what_was_told_last_is_what_is_read_and_never_is_infinite(any_session: Session) -> None:
    lane = LANES[0]
    await note_lanes(any_session, ME, [report(lane)])
    told = report(lane, LaneState.GROWING)
    told = LaneReport(
        lane,
        replace(
            told.verdict,
            position=9,
            seconds_behind=80.5,
            records_behind=12,
            catch_up_seconds=math.inf,
            headroom_seconds=3600.0,
            headroom_records=4,
        ),
    )
    await note_lanes(any_session, ME, [told])
    (found,) = await noted(any_session)
    assert (found.lane, found.holder, found.state) == (lane, ME, "growing")
    assert found[3:9] == (9, 80.5, 12, math.inf, 3600.0, 4)
    assert found.evidence == asdict(told.verdict.evidence)
    assert 0 <= found.unseen < DEADLINE


async def test_lanes_that_a_process_no_longer_has_are_no_longer_its_and_those_of_others_stay(
    any_session: Session,
) -> None:
    await note_lanes(any_session, ME, [report(lane) for lane in LANES[:2]])
    await note_lanes(any_session, OTHER, [report(LANES[2])])
    await note_lanes(any_session, ME, [report(LANES[1])])
    assert [(each.lane, each.holder) for each in await noted(any_session)] == [(LANES[1], ME), (LANES[2], OTHER)]
    await forget_lanes(any_session, ME)
    assert [each.lane for each in await noted(any_session)] == [LANES[2]]


async def test_a_lane_that_goes_over_to_another_process_has_that_one_tell_of_it(session: Session) -> None:
    await note_lanes(session, ME, [report(LANES[0], LaneState.STALLED)])
    await note_lanes(session, OTHER, [report(LANES[0])])
    # The former holder tells of none, which takes nothing from the latter.
    await note_lanes(session, ME, [])
    assert [(each.holder, each.state) for each in await noted(session)] == [(OTHER, "current")]


async def test_a_row_that_another_process_takes_over_is_left_to_it(session: Session, database_url: str) -> None:
    await note_lanes(session, ME, [report(lane) for lane in LANES])
    async with await connect(database_url) as other, other.transaction():
        await other.execute("UPDATE lane SET holder = $1 WHERE partition = 0", OTHER)
        await note_lanes(session, ME, [])
    assert [(each.lane, each.holder) for each in await noted(session)] == [(LANES[0], OTHER)]


async def test_two_that_tell_of_the_same_lanes_do_not_deadlock(session: Session, database_url: str) -> None:
    many = [report(Lane("kafka", "t", partition)) for partition in range(500)]
    async with await connect(database_url) as other, asyncio.timeout(DEADLINE):
        for _ in range(10):
            await asyncio.gather(note_lanes(session, ME, many), note_lanes(other, OTHER, many[::-1]))
    assert len({each.holder for each in await noted(session)}) == 1


async def test_status_says_stopped_of_a_lane_that_nobody_told_of_for_a_minute_and_nothing_of_one_never_told(
    session: Session,
) -> None:
    await take_over_all(session, dict.fromkeys(LANES, Position(5)), ME)
    await note_lanes(session, ME, [report(LANES[0], LaneState.CATCHING_UP), report(LANES[1])])
    await make_older(session, LANES[0], GONE - 10)
    await make_older(session, LANES[1], GONE + 1)
    lanes = (await status(session)).lanes
    assert [each.state for each in lanes] == ["catching_up", "stopped", None]
    assert [each.told_ago is None for each in lanes] == [False, False, True]


async def test_status_tells_never_in_a_way_that_json_can_say(session: Session) -> None:
    await take_over_all(session, {LANES[0]: Position(5)}, ME)
    verdict = replace(report(LANES[0], LaneState.STALLED).verdict, catch_up_seconds=math.inf)
    await note_lanes(session, ME, [LaneReport(LANES[0], verdict)])
    (lane,) = (await status(session)).lanes
    assert (lane.never, lane.catch_up_seconds) == (True, None)
    json.dumps({"lane": lane.catch_up_seconds}, allow_nan=False)


async def test_the_positions_of_replays_are_no_lanes_of_a_source(session: Session) -> None:
    await take_over_all(session, {LANES[0]: Position(5), Lane("replay:1", "t", 0): Position(2)}, ME)
    assert [each.source for each in (await status(session)).lanes] == ["kafka"]


class Kept:
    """A housekeeper at work, which tells of the lanes in `reports`."""

    def __init__(self, url: str, reports: list[LaneReport]) -> None:
        self._url = url
        self.looked = asyncio.Event()
        self.sampled = asyncio.Event()
        self.hangs = asyncio.Event()
        self.hangs.set()
        telling = Telling(ME, self.sampled.set, list, lambda: reports)
        self.keeper = Housekeeper(self._connect, keep=None, on_backlog=self._look, telling=telling)

    async def _connect(self) -> Session:
        await self.hangs.wait()
        return await connect(self._url)

    def _look(self, _: Backlog) -> None:
        self.looked.set()


async def test_the_housekeeper_tells_of_lanes_and_at_the_end_of_none(session: Session, database_url: str) -> None:
    kept = Kept(database_url, [report(LANES[0])])
    running = asyncio.create_task(kept.keeper.run())
    async with asyncio.timeout(DEADLINE):
        await kept.looked.wait()
        assert [each.lane for each in await noted(session)] == [LANES[0]]
        running.cancel()
        await asyncio.wait({running})
    assert await noted(session) == []


async def test_lanes_are_looked_at_while_postgres_hangs(database_url: str) -> None:
    kept = Kept(database_url, [report(LANES[0])])
    kept.hangs.clear()
    running = asyncio.create_task(kept.keeper.run())
    async with asyncio.timeout(DEADLINE):
        await kept.sampled.wait()
        running.cancel()
        await asyncio.wait({running})
    assert running.cancelled()


async def test_lanes_that_cannot_be_told_keep_nothing_else_from_being_done(session: Session, database_url: str) -> None:
    kept = Kept(database_url, [report(LANES[0])])
    async with session.transaction():
        await session.execute("LOCK TABLE lane IN ACCESS EXCLUSIVE MODE")
        running = asyncio.create_task(kept.keeper.run())
        async with asyncio.timeout(DEADLINE):
            await kept.looked.wait()
            running.cancel()
            await asyncio.wait({running})
    assert running.cancelled()
