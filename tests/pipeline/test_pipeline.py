"""A pipeline from a scripted source into a real Postgres."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import structlog

from tests.mirror.lanes import rows, value
from tests.pipeline.scripted import LANE, SOURCE, Scripted, Step, edits
from wikimirror.errors import Fenced, GapFound, SourceRefused, SourceUnavailable
from wikimirror.merge.law import Law
from wikimirror.merge.scope import Scope
from wikimirror.mirror.checkpoints import Held, take_over, take_over_all
from wikimirror.mirror.connect import Limits, Session, connect
from wikimirror.model import Lost, Position
from wikimirror.observe.vitals import Vitals, Waiting
from wikimirror.pipeline.pipeline import Durable, Pipeline, Plan

PLAN = Plan(
    scope=Scope(),
    law=Law(),
    batch_records=500,
    batch_bytes=8 * 2**20,
    batch_age=0.005,
    memory=2**20,
    longest_pause=0.05,
)
LIMITS = Limits(lock=2.0, statement=10.0)


@dataclass
class Run:
    """A pipeline at work."""

    source: Scripted
    vitals: Vitals
    pipeline: Pipeline
    task: asyncio.Task[None]
    sessions: list[Session]
    durable: list[Durable] = field(default_factory=list)

    async def drained(self) -> None:
        self.pipeline.drain()
        async with asyncio.timeout(20):
            await self.task
        assert self.vitals.accounts.unaccounted == 0
        assert self.vitals.accounts.in_flight == 0


Start = Callable[..., Awaitable[Run]]


@pytest.fixture
async def start(database_url: str) -> AsyncIterator[Start]:
    """`await start(*scripts)` takes the lane over and starts a pipeline."""
    runs: list[Run] = []

    async def make(*scripts: list[Step], plan: Plan = PLAN, limits: Limits = LIMITS, **options: Any) -> Run:
        source, vitals, sessions = Scripted(list(scripts), **options), Vitals(SOURCE), list[Session]()

        async def open_one() -> Session:
            sessions.append(await connect(database_url, limits=limits))
            return sessions[-1]

        durable = list[Durable]()
        pipeline = Pipeline(source, open_one, plan, vitals, durable.append)
        async with await connect(database_url) as session:
            held = await take_over_all(session, await source.starting_positions(), "test")
        run = Run(source, vitals, pipeline, asyncio.create_task(pipeline.run(held)), sessions, durable)
        runs.append(run)
        return run

    yield make
    for run in runs:
        run.task.cancel()
        await asyncio.wait({run.task})
        if not run.task.cancelled():
            run.task.exception()


async def position(session: Session) -> tuple[int, int]:
    """The lane's epoch and offset in Postgres."""
    ((epoch, offset),) = await rows(session, "SELECT epoch, position FROM checkpoint")
    return epoch, offset


@asynccontextmanager
async def locked(database_url: str) -> AsyncIterator[None]:
    """Nobody can write a page meanwhile."""
    async with await connect(database_url) as session, session.transaction():
        await session.execute("LOCK TABLE page IN ACCESS EXCLUSIVE MODE")
        yield


async def test_what_is_read_becomes_durable_and_is_accounted_for(start: Start, session: Session) -> None:
    run = await start([*edits(0, 1200)])
    await run.source.until_applied(1200)
    await run.drained()

    assert await position(session) == (1, 1200)
    assert await value(session, "SELECT count(*) FROM page") == 1200
    accounts = run.vitals.accounts
    assert (accounts.read, accounts.applied) == (1200, {"edit": 1200})
    assert sum(len(each.fresh) for each in run.durable) == 1200
    assert all(0 <= seconds < 60 for each in run.durable for _, seconds in each.fresh)
    assert run.vitals.applied_lag is not None
    assert run.vitals.bytes_waiting == 0


async def test_a_single_record_does_not_wait_for_others(start: Start) -> None:
    run = await start([*edits(0, 1)], plan=replace(PLAN, batch_age=0.0))
    await run.source.until_applied(1)
    assert run.durable[0].fresh[0][1] < 5
    await run.drained()


async def test_draining_applies_all_that_was_read_and_stops_reading(start: Start, session: Session) -> None:
    more = asyncio.Event()
    run = await start([*edits(0, 300), more, *edits(300, 100)])
    await run.source.until_applied(300)
    await run.drained()

    assert run.source.sent == 300
    assert await position(session) == (1, 300)
    assert run.source.closed == 1


async def test_an_abort_leaves_positions_that_agree_with_the_rows_and_gives_the_rest_back(
    start: Start, session: Session, database_url: str
) -> None:
    first, second = edits(0, 100), edits(100, 100)
    run = await start([*first, go := asyncio.Event(), *second])
    await run.source.until_applied(100)
    async with locked(database_url):
        go.set()
        async with asyncio.timeout(10):
            while run.vitals.accounts.in_flight < 100:  # it is told by no event
                await asyncio.sleep(0.001)
        run.task.cancel()
        await asyncio.wait({run.task})

    assert await position(session) == (1, 100)
    assert await value(session, "SELECT count(*) FROM page") == 100
    assert run.vitals.accounts.given_back == 100
    assert run.vitals.accounts.unaccounted == 0


async def test_a_database_that_stands_still_stops_the_reading_at_the_budget(start: Start, database_url: str) -> None:
    plan = replace(PLAN, memory=256 * 1024, batch_records=10)
    async with locked(database_url):
        run = await start([*edits(0, 2000, size=4000)], plan=plan, limits=Limits(lock=30.0, statement=60.0))
        held = -1
        async with asyncio.timeout(20):
            while held != (held := run.source.sent) or held == 0:  # that nothing happens is no event
                await asyncio.sleep(0.2)
        assert run.vitals.bytes_waiting <= 256 * 1024
        assert run.source.sent < 100
    await run.source.until_applied(2000)
    await run.drained()


async def test_a_record_larger_than_the_whole_budget_passes(start: Start, session: Session) -> None:
    run = await start([*edits(0, 3, size=3 * 2**20)], plan=replace(PLAN, memory=2**20))
    await run.source.until_applied(3)
    await run.drained()
    assert await position(session) == (1, 3)


async def test_when_a_connection_ends_reading_goes_on_from_what_was_read_not_from_what_is_durable(
    start: Start, database_url: str
) -> None:
    async with locked(database_url):
        run = await start([*edits(0, 50)], [*edits(50, 50)])
        await run.source.until(lambda: len(run.source.asked) == 2)
        assert run.source.asked[1][LANE].offset == 50
        assert run.source.asked[1][LANE].time > 0
        assert run.source.acknowledged == {}
    await run.source.until_applied(100)
    await run.drained()


async def test_a_connection_lost_in_the_middle_loses_nothing(start: Start, session: Session) -> None:
    run = await start([*edits(0, 50), SourceUnavailable("cut")], [*edits(50, 50)])
    await run.source.until_applied(100)
    await run.drained()
    assert await value(session, "SELECT count(*) FROM page") == 100


async def test_connections_that_bring_something_and_break_off_again_and_again_are_told_aloud_once(start: Start) -> None:
    scripts = [[*edits(10 * each, 10), SourceUnavailable(f"cut {each}")] for each in range(5)]
    with structlog.testing.capture_logs() as lines:
        run = await start(*scripts, [*edits(50, 10)])
        await run.source.until_applied(60)
    (told,) = [line for line in lines if line["log_level"] == "warning"]
    assert (told["event"], told["reason"]) == ("reading breaks off again and again", "cut 2")


async def test_records_read_again_are_applied_and_move_no_position(start: Start, session: Session) -> None:
    run = await start([*edits(0, 50)], [*edits(30, 20, again=True), *edits(50, 10)])
    await run.source.until_applied(60)
    await run.drained()
    assert await position(session) == (1, 60)
    assert run.vitals.accounts.refused == {"duplicate": 20}


async def test_only_records_read_again_prove_who_owns_the_lane(start: Start, session: Session) -> None:
    go = asyncio.Event()
    run = await start([*edits(0, 5), go, *edits(0, 5, again=True)])
    await run.source.until_applied(5)
    await take_over(session, LANE, "another")
    go.set()
    with pytest.raises(Fenced):
        async with asyncio.timeout(20):
            await run.task


async def test_a_lost_stretch_becomes_a_gap_with_the_batch_and_reading_goes_on(start: Start, session: Session) -> None:
    now = time.time_ns() // 1000
    lost = Lost(LANE, Position(10, now - 5_000_000), Position(40, now), "jump")
    run = await start([*edits(0, 10), lost, *edits(40, 10)])
    await run.source.until_applied(50)
    await run.drained()
    assert await rows(session, "SELECT topic, from_position, to_position, reason, closed_at FROM gap") == [
        (LANE.topic, 10, 40, "jump", None)
    ]
    assert await position(session) == (1, 50)


async def test_a_lost_stretch_alone_is_told_without_waiting_for_a_record(start: Start, session: Session) -> None:
    now = time.time_ns() // 1000
    run = await start([Lost(LANE, Position(0, 1), Position(-1, now), "retention"), asyncio.Event()])
    await run.source.until(lambda: LANE in run.source.acknowledged)
    assert await value(session, "SELECT count(*) FROM gap") == 1
    await run.drained()
    async with await connect_again(session) as again:
        held = await take_over(again, LANE, "test")
    assert held == Held(2, 0, now)


async def connect_again(session: Session) -> Session:
    return Session(session.connection, session.schema, session.server, session.where, LIMITS, write=True)


async def test_where_a_gap_must_halt_what_came_before_is_applied_and_nothing_is_written_of_it(
    start: Start, session: Session
) -> None:
    lost = Lost(LANE, Position(10), Position(40), "jump")
    run = await start([*edits(0, 10), lost, *edits(40, 10)], plan=replace(PLAN, halt_on_gap=True))
    with pytest.raises(GapFound, match=r"scripted eqiad.*jump"):
        async with asyncio.timeout(20):
            await run.task
    assert await position(session) == (1, 10)
    assert await value(session, "SELECT count(*) FROM gap") == 0


async def test_a_refusal_at_first_ends_the_pipeline_and_later_is_waited_for(start: Start) -> None:
    run = await start([SourceRefused("no such stream")])
    with pytest.raises(SourceRefused):
        async with asyncio.timeout(20):
            await run.task

    def joined() -> None:
        run.vitals.joined()

    run = await start([joined, *edits(0, 5)], [SourceRefused("gone for a moment")], [*edits(5, 5)])
    await run.source.until_applied(10)
    await run.drained()


async def test_a_source_that_ends_each_connection_without_anything_new_is_asked_ever_more_seldom(start: Start) -> None:
    run = await start(*[[*edits(0, 1, again=True)] for _ in range(8)], [*edits(0, 3)])
    await run.source.until_applied(3)
    await run.drained()
    assert run.vitals.retries[Waiting.SOURCE] == 8


async def test_an_ended_backend_is_waited_for_and_the_batch_is_written_once(start: Start, session: Session) -> None:
    go = asyncio.Event()
    run = await start([*edits(0, 10), go, *edits(10, 10)])
    await run.source.until_applied(10)
    pid = run.sessions[0].connection.get_server_pid()
    await session.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
    go.set()
    await run.source.until_applied(20)
    await run.drained()
    assert len(run.sessions) == 2
    assert run.vitals.accounts.applied == {"edit": 20}
    assert run.vitals.retries[Waiting.DATABASE] >= 1
    assert run.vitals.waits == {}


async def test_a_lost_reply_to_commit_neither_loses_nor_counts_anything_twice(
    start: Start, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[Session] = []

    async def commit_unanswered(self: Session) -> None:
        await self.connection.execute("COMMIT")
        if not lost:
            lost.append(self)
            self.connection.terminate()
            raise ConnectionResetError(104, "cut by the test")

    go = asyncio.Event()
    run = await start([*edits(0, 10), go, *edits(10, 10)])
    await run.source.until_applied(10)
    monkeypatch.setattr(Session, "_commit", commit_unanswered)
    go.set()
    await run.source.until_applied(20)
    await run.drained()
    assert lost
    assert await position(session) == (1, 20)
    assert run.vitals.accounts.applied == {"edit": 20}
    assert run.vitals.accounts.refused == {}
    assert await value(session, "SELECT count(*) FROM change") == 20


async def test_a_batch_that_takes_longer_than_statement_timeout_is_cut_until_it_fits(
    start: Start, session: Session
) -> None:
    await slow_inserts(session, 0.02)
    plan = replace(PLAN, batch_age=1.0, batch_records=64)
    run = await start([*edits(0, 64)], plan=plan, limits=Limits(lock=2.0, statement=0.5))
    await run.source.until_applied(64)
    await run.drained()
    assert run.vitals.accounts.applied == {"edit": 64}
    assert await value(session, "SELECT count(*) FROM page") == 64


async def slow_inserts(session: Session, seconds: float) -> None:
    """Each new page takes this long."""
    async with session.transaction():
        await session.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN PERFORM pg_sleep({seconds}); RETURN NEW; END $$"
        )
        await session.execute("CREATE TRIGGER slow BEFORE INSERT ON page FOR EACH ROW EXECUTE FUNCTION slow()")


async def test_a_former_owner_writes_nothing(start: Start, session: Session) -> None:
    go = asyncio.Event()
    run = await start([*edits(0, 10), go, *edits(10, 10)])
    await run.source.until_applied(10)
    await take_over(session, LANE, "another")
    go.set()
    with pytest.raises(Fenced):
        async with asyncio.timeout(20):
            await run.task
    assert await value(session, "SELECT count(*) FROM page") == 10
    assert run.vitals.accounts.given_back == 10
    assert run.vitals.accounts.unaccounted == 0


async def test_a_drain_that_comes_before_reading_has_begun_ends_at_once(database_url: str) -> None:
    source, vitals = Scripted([[*edits(0, 10)]]), Vitals(SOURCE)

    async def open_one() -> Session:
        return await connect(database_url, limits=LIMITS)

    pipeline = Pipeline(source, open_one, PLAN, vitals, lambda _: None)
    async with await connect(database_url) as session:
        held = await take_over_all(session, await source.starting_positions(), "test")
    running = asyncio.create_task(pipeline.run(held))
    pipeline.drain()
    async with asyncio.timeout(5):
        await running
    assert vitals.accounts.unaccounted == 0


async def test_when_all_is_durable_nothing_is_in_flight_however_long_nothing_comes(start: Start) -> None:
    run = await start([*edits(0, 10)])
    await run.source.until_applied(10)
    for _ in range(20):
        await asyncio.sleep(0.005)
        assert run.vitals.oldest_in_flight is None
    await run.drained()
