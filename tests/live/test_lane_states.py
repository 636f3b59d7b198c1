"""The state of each lane of a running daemon, as its own process and Postgres tell it (promise P7)."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.live.lane_watch import (
    HEALTH,
    hasten,
    until_a_lane,
    until_all,
    until_told,
    verdicts,
    without,
)
from tests.live.within import Following, following
from tests.live.world import World, a_day, serve
from tests.statements import run
from wikimirror.mirror.connect import Session, connect
from wikimirror.observe.lanes import LaneState
from wikimirror.ops.status import status
from wikimirror.rehearsal import Day
from wikimirror.rehearsal.faults import Faults
from wikimirror.rehearsal.log import milliseconds
from wikimirror.rehearsal.publishing import publish_canaries

SEED, ACTIONS = 71, 1200
MOSTLY = 0.6
"""A share of the window's time."""
SLOW = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END $$;
CREATE TRIGGER slow AFTER UPDATE ON wikimirror.checkpoint FOR EACH STATEMENT EXECUTE FUNCTION slow();
"""


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    hasten(monkeypatch)


@pytest.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as served:
        yield served


def config(world: World, **sections: Any) -> Path:
    return world.config(**{"health": HEALTH, "lease": {"duration": "2s"}, **sections})


def published(world: World, *, since: float, a_second: float) -> None:
    """All of the day is in the log, as if it had been published from that many seconds ago on at this rate."""
    day: Day = world.day
    begin = milliseconds() - round(1000 * since)
    for number, arrival in enumerate(day.arrivals):
        world.log.append(arrival.topic, arrival.value, begin + round(1000 * number / a_second))


@asynccontextmanager
async def locked(database_url: str) -> AsyncIterator[None]:
    """Nobody can write a page meanwhile."""
    async with await connect(database_url) as session, session.transaction():
        await session.execute("LOCK TABLE page IN EXCLUSIVE MODE")
        yield


async def _current(world: World, daemon: Following) -> None:
    """All is read, and every topic goes on: one on which nothing happens would be silent."""
    await daemon.reaches(world.log)
    going_on = publish_canaries(world.log, every=0.5)
    try:
        await until_all(daemon, LaneState.CURRENT)
    finally:
        going_on.cancel()
        await asyncio.wait({going_on})


async def test_a_locked_table_stalls_the_lanes_that_have_records_in_flight_and_says_why_and_then_they_catch_up(
    world: World, session: Session
) -> None:
    async with following(config(world, postgres={"url": world.database_url, "lock_timeout": "400ms"})) as daemon:
        world.publish(80)
        await daemon.gets_on()
        async with locked(world.database_url):
            lane, verdict = await until_a_lane(
                daemon, LaneState.STALLED, lambda told: told.evidence.waiting_for == "database"
            )
            assert verdict.catch_up_seconds == math.inf
            assert verdict.seconds_behind is not None
            assert verdict.seconds_behind > 1
            assert "lock" in (verdict.evidence.waiting_reason or "")
            told = await until_told(
                world.database_url, lambda lanes: any(each.lane == lane and each.state == "stalled" for each in lanes)
            )
            (noted,) = [each for each in told if each.lane == lane]
            assert noted.catch_up_seconds == math.inf
            assert noted.evidence["waiting_for"] == "database"
            (row,) = [each for each in (await status(session)).lanes if each.topic == lane.topic]
            assert (row.state, row.never) == ("stalled", True)
            (member,) = (await status(session)).members
            assert "waits for database" in (member.why or "")
        await world.published()
        await _current(world, daemon)
        assert all(each.catch_up_seconds is None for each in verdicts(daemon).values())
        # Nothing is told any more of lanes that nobody holds.
        await daemon.drained()
    await until_told(world.database_url, lambda lanes: not lanes)


async def test_a_database_that_is_slower_than_the_wiki_makes_lanes_grow_and_the_share_of_applying_says_so(
    world: World,
) -> None:
    await run(world.database_url, SLOW)
    published(world, since=10, a_second=200)
    async with following(config(world, apply={"batch_records": 15})) as daemon:
        # What the beginning took is a part of the window for a while.
        _, verdict = await until_a_lane(
            daemon, LaneState.GROWING, lambda told: (told.evidence.apply_share or 0) > MOSTLY
        )
        assert verdict.catch_up_seconds == math.inf
        evidence = verdict.evidence
        assert evidence.position_to > evidence.position_from
        assert evidence.behind_to is not None
        assert evidence.behind_from is not None
        assert evidence.behind_to > evidence.behind_from
        assert evidence.source_share is not None
        assert evidence.source_share < 1 - MOSTLY
        await run(world.database_url, "DROP TRIGGER slow ON wikimirror.checkpoint")
        await _current(world, daemon)


async def test_a_source_that_sends_slower_than_it_publishes_makes_lanes_grow_and_the_share_of_waiting_says_so(
    world: World,
) -> None:
    published(world, since=10, a_second=100)
    world.server.faults = Faults(records_a_second=20)
    async with following(config(world)) as daemon:
        _, verdict = await until_a_lane(
            daemon, LaneState.GROWING, lambda told: (told.evidence.source_share or 0) > MOSTLY
        )
        assert verdict.evidence.apply_share is not None
        assert verdict.evidence.apply_share < 1 - MOSTLY


async def test_a_lane_that_reads_faster_than_was_published_catches_up_and_says_when_and_how_long_it_may_take(
    world: World,
) -> None:
    published(world, since=600, a_second=len(world.day.arrivals) / 600)
    world.server.faults = Faults(records_a_second=120)
    async with following(config(world)) as daemon:
        lane, verdict = await until_a_lane(daemon, LaneState.CATCHING_UP, lambda told: bool(told.catch_up_seconds))
        assert 0 < (verdict.catch_up_seconds or 0) < 60
        headroom = verdict.headroom_seconds
        assert headroom is not None
        assert 3000 < headroom < 3600, "an hour less the age of what is read next"
        await until_told(
            world.database_url, lambda lanes: any(each.lane == lane and each.catch_up_seconds for each in lanes)
        )
        world.server.faults = Faults()
        await _current(world, daemon)


async def test_a_service_that_sends_nothing_makes_all_lanes_silent_and_canaries_make_them_current(
    world: World,
) -> None:
    async with following(config(world)) as daemon:
        world.publish(2000)
        await world.published()
        await daemon.reaches(world.log)
        await until_all(daemon, LaneState.SILENT)
        assert all((each.evidence.silent_seconds or 0) >= 3 for each in verdicts(daemon).values())
        await _current(world, daemon)


async def test_connections_to_clusters_that_number_differently_are_no_going_back(world: World) -> None:
    world.server.faults = Faults(renumbered_by=1_000_000, cut_after=150)
    async with following(config(world)) as daemon, without(daemon, LaneState.REWOUND):
        world.publish(300)
        await daemon.until(lambda: daemon.vitals.connects >= 4)
        world.server.faults = Faults()
        await world.published()
        await daemon.until(lambda: daemon.vitals.batches > 0 and daemon.vitals.accounts.in_flight == 0)


async def test_a_position_that_goes_back_is_told(world: World) -> None:
    async with following(config(world)) as daemon:
        world.publish(2000)
        await world.published()
        await daemon.reaches(world.log)
        await daemon.drained()
    # As a producer leaves it whose clock was ahead for a moment.
    await run(
        world.database_url,
        "UPDATE wikimirror.checkpoint SET position = 1000000, position_time = now() + interval '1 hour'",
    )
    async with following(config(world)) as daemon:
        await daemon.until(lambda: daemon.vitals.connected)
        last = world.day.arrivals[-1]
        world.log.append(last.topic, last.value)
        lane, verdict = await until_a_lane(daemon, LaneState.REWOUND)
        assert lane.topic == last.topic
        assert verdict.position < 1_000_000
