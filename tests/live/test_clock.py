"""A time of day that steps: the daemon's own, by hours and days, back and forth, under load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.live.proxy import Proxy
from tests.live.within import Following, ends_equal, following
from tests.live.world import a_day, serve
from tests.mirror.lanes import rows
from wikimirror.app import live
from wikimirror.mirror.connect import Session
from wikimirror.observe.health import State
from wikimirror.observe.vitals import Role, Vitals

HOUR, DAY = 3600.0, 86400.0
STEPS = (3 * HOUR, -5 * HOUR, 30 * DAY, 0.0, -120.0, 25 * HOUR)
"""What the clock is ahead by; the service keeps records for an hour."""
WELL = {State.CONNECTING, State.CURRENT, State.CATCHING_UP}


class Clock:
    """The daemon's time of day. The service and Postgres have the right one."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> int:
        return round(self.wall() * 1_000_000)

    def wall(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of every daemon that is built in this process."""
    made = Clock()
    monkeypatch.setattr(live, "now", made.now)
    monkeypatch.setattr(live, "Vitals", partial(Vitals, wall=made.wall))
    return made


@asynccontextmanager
async def watched(daemon: Following) -> AsyncIterator[None]:
    """Meanwhile its health is well: whatever the clock does, no probe fails."""
    ailing = []

    async def watch() -> None:
        while True:
            verdict = daemon.verdict
            well = verdict.alive and verdict.state in WELL and verdict.role is Role.ACTIVE
            behind, silent = verdict.seconds_behind or 0.0, verdict.silent_seconds or 0.0
            if not well or behind < 0 or silent > 10:
                ailing.append(verdict)
            await asyncio.sleep(0.002)  # no event tells of a verdict

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})
    assert ailing == []
    if not watching.cancelled():
        watching.result()


async def _gets_on(daemon: Following, connects: int) -> None:
    """Wait until something new is durable that came over so manieth connection."""
    durable = daemon.source.durable
    await daemon.until(lambda: daemon.vitals.connects >= connects and daemon.source.durable > durable)


async def test_a_time_of_day_that_steps_under_load_costs_neither_lease_nor_health_nor_a_record(
    clock: Clock, database_url: str, tmp_path: Path, session: Session
) -> None:
    async with serve(a_day(12, 1200), database_url, tmp_path) as world, Proxy(world.server.port) as proxy:
        config = world.config(source={"url": f"http://127.0.0.1:{proxy.port}"}, lease={"duration": "1s"})
        world.publish(150)
        async with following(config) as daemon:
            vitals = daemon.vitals
            await daemon.until(lambda: vitals.batches > 0)
            async with watched(daemon):
                for ahead in STEPS:
                    clock.ahead = ahead
                    await _gets_on(daemon, vitals.connects)
                    # Another connection is made by the new time.
                    await _gets_on(daemon, vitals.connects + proxy.cut())
            assert not world.publication.done, "there was no load any more"
            await ends_equal(world, daemon)
    assert min(daemon.fresh) >= 0.0
    assert vitals.lane_losses == 0
    assert {epoch for (epoch,) in await rows(session, "SELECT epoch FROM checkpoint")} == {1}


@pytest.mark.parametrize("ahead", [30 * DAY, -30 * DAY])
async def test_started_again_with_a_wrong_time_of_day_it_goes_on_where_it_was(
    clock: Clock, database_url: str, tmp_path: Path, ahead: float
) -> None:
    async with serve(a_day(13, 300), database_url, tmp_path) as world:
        world.publish(1000)
        async with following(world.config()) as daemon:
            await daemon.gets_on()
            await daemon.drained()
            before = daemon.vitals
        await world.published()
        clock.ahead = ahead
        async with following(world.config()) as daemon:
            await ends_equal(world, daemon, before)
