"""What processes tell each other of themselves, and what `status` makes of it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import timedelta

import pytest

from tests.observe.clock import THRESHOLDS, Clock
from wikimirror.errors import DatabaseUnavailable
from wikimirror.mirror.connect import Session, connect
from wikimirror.mirror.members import Member, Noted, leave, note_members, read_members
from wikimirror.model import Lane
from wikimirror.observe.backlog import Backlog
from wikimirror.observe.telemetry import Telemetry
from wikimirror.observe.vitals import Role
from wikimirror.ops.status import status
from wikimirror.pipeline.housekeeping import Housekeeper, Telling, members_of

DEADLINE = 20.0
ME = Member("kafka", "host/1/aa", "wikimirror-0", "active", "current", 3, 0.5, 12, 4, "1.2.3", "is 0.5 s behind")


async def noted(session: Session) -> list[Noted]:
    async with session.transaction():
        return await read_members(session)


async def make_older(session: Session, holder: str, age: timedelta) -> None:
    async with session.transaction():
        await session.execute("UPDATE member SET seen_at = seen_at - $2::interval WHERE holder = $1", holder, age)


async def test_what_a_process_told_last_is_what_is_read(any_session: Session) -> None:
    await note_members(any_session, [ME, ME._replace(source="another", member_id=None)])
    (_, first) = await noted(any_session)
    later = ME._replace(state="catching_up", seconds_behind=None, records_behind=None, why="reads old records")
    await note_members(any_session, [later])
    other, told = await noted(any_session)
    assert first.member == ME
    assert told.member == later
    assert told.started_at == first.started_at <= first.seen_at < told.seen_at
    assert 0 <= told.unseen < other.unseen < DEADLINE


async def test_who_leaves_deletes_its_own_rows_and_nobody_elses(any_session: Session) -> None:
    another = ME._replace(holder="host/2/bb")
    await note_members(any_session, [ME, ME._replace(source="second"), another])
    await leave(any_session, ME.holder)
    assert [each.member for each in await noted(any_session)] == [another]


async def test_what_nobody_told_of_for_a_day_is_deleted_by_the_others(any_session: Session) -> None:
    old, recent = ME._replace(holder="host/2/bb"), ME._replace(holder="host/3/cc")
    await note_members(any_session, [old, recent])
    await make_older(any_session, old.holder, timedelta(days=1))
    await make_older(any_session, recent.holder, timedelta(hours=23))
    await note_members(any_session, [ME])
    assert {each.member.holder for each in await noted(any_session)} == {ME.holder, recent.holder}


async def test_two_who_tidy_at_once_do_not_wait_for_each_other(session: Session, database_url: str) -> None:
    await note_members(session, [ME._replace(holder="host/2/bb")])
    await make_older(session, "host/2/bb", timedelta(days=2))
    async with await connect(database_url) as other, other.transaction():
        await other.execute("DELETE FROM member WHERE holder = 'host/2/bb'")
        await note_members(session, [ME])


async def test_status_tells_who_is_gone_and_sums_what_the_others_have_not_read(session: Session) -> None:
    second, gone, standby = (ME._replace(holder=f"host/{n}") for n in "234")
    await note_members(session, [ME, second, gone, standby._replace(lanes=0, records_behind=None, role="standby")])
    await make_older(session, gone.holder, timedelta(seconds=61))
    await make_older(session, second.holder, timedelta(seconds=30))
    report = await status(session)
    assert [(each.holder, each.gone) for each in report.members] == [
        (ME.holder, False), (second.holder, False), (gone.holder, True), (standby.holder, False),
    ]  # fmt: skip
    assert report.records_behind == {"kafka": 24}
    assert asdict(report.members[0])["member_id"] == "wikimirror-0"


async def test_a_sum_that_would_leave_a_lane_out_is_not_told(session: Session) -> None:
    await note_members(session, [ME, ME._replace(holder="host/2/bb", records_behind=None)])
    assert (await status(session)).records_behind == {}


def test_a_process_tells_what_its_probes_and_metrics_tell() -> None:
    clock, telemetry = Clock(), Telemetry(THRESHOLDS)
    vitals = telemetry.add(clock.active("kafka"))
    vitals.member_id = "wikimirror-0"
    lanes = [Lane("kafka", "t", partition) for partition in range(2)]
    vitals.hold(lanes)
    for lane in lanes:
        vitals.heard(lane, clock.published(ago=90))
        vitals.told_end(lane, 5)
    vitals.accounts.take(7)
    telemetry.add(clock.vitals("live")).role = Role.STANDBY
    kafka, live = members_of(telemetry, "host/1/aa")
    version, late = telemetry.build.version, kafka.seconds_behind
    assert late == pytest.approx(90)
    why = "reads what was published 90 s ago"
    assert kafka == Member("kafka", "host/1/aa", "wikimirror-0", "active", "catching_up", 2, late, 10, 7, version, why)
    why = "another process reads this source"
    assert live == Member("live", "host/1/aa", None, "standby", "standby", 0, None, None, 0, version, why)


class Kept:
    """A housekeeper at work over sessions of the given database."""

    def __init__(self, url: str, members: list[Member]) -> None:
        self._url = url
        self.looked = asyncio.Event()
        self.fails = False
        self.samples = 0
        telling = Telling(ME.holder, self._sample, lambda: members, list)
        self.keeper = Housekeeper(self._connect, keep=None, on_backlog=self._look, telling=telling)

    async def _connect(self) -> Session:
        if self.fails:
            raise DatabaseUnavailable("away")
        return await connect(self._url)

    def _sample(self) -> None:
        self.samples += 1

    def _look(self, _: Backlog) -> None:
        self.looked.set()


async def test_the_housekeeper_tells_of_its_process_and_takes_leave_at_the_end(
    session: Session, database_url: str
) -> None:
    kept = Kept(database_url, [ME])
    running = asyncio.create_task(kept.keeper.run())
    async with asyncio.timeout(DEADLINE):
        await kept.looked.wait()
        assert [each.member for each in await noted(session)] == [ME]
        running.cancel()
        await asyncio.wait({running})
    assert running.cancelled()
    assert await noted(session) == []


async def test_what_cannot_be_told_keeps_nothing_else_from_being_done(session: Session, database_url: str) -> None:
    kept = Kept(database_url, [ME])
    async with session.transaction():
        await session.execute("LOCK TABLE member IN ACCESS EXCLUSIVE MODE")
        running = asyncio.create_task(kept.keeper.run())
        async with asyncio.timeout(DEADLINE):
            await kept.looked.wait()
            running.cancel()
            await asyncio.wait({running})
    assert running.cancelled()


async def test_without_postgres_the_housekeeper_ends_all_the_same(database_url: str) -> None:
    kept = Kept(database_url, [ME])
    running = asyncio.create_task(kept.keeper.run())
    async with asyncio.timeout(DEADLINE):
        await kept.looked.wait()
        kept.fails = True
        running.cancel()
        await asyncio.wait({running})
    assert running.cancelled()
