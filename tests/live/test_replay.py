"""Ranges of EventStreams are replayed while the daemon follows them: the mirror stays the wiki, and no lane moves."""

from __future__ import annotations

import asyncio
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.live.daemon import DEADLINE, Daemon
from tests.live.program import wikimirror
from tests.live.truth import durable, must_equal, positions
from tests.live.world import SOURCE, World, a_day, serve
from tests.ops.replaying import replaying, rows, until
from wikimirror.mirror.connect import connect

SEED, ACTIONS = 71, 2500
RATE = 400.0
ACTIVE = "wikimirror_replay_active"
QUICK = {"idle_timeout": "6s"}
"""Silence that ends a lane: longer than a busy machine keeps still."""
LANES = "SELECT source, topic, partition, epoch, writer FROM checkpoint WHERE source = 'wiki' ORDER BY 1, 2, 3"
LOOK = 0.1


def instant() -> str:
    return datetime.now(tz=UTC).isoformat().replace("+00:00", "Z")


async def replay(config: Path, *arguments: str) -> Any:
    code, report = await wikimirror("replay", "--source", SOURCE, "--rate", "0", *arguments, "--config", str(config))
    assert code == 0, report
    assert report["read"] == sum(
        sum(report[outcome].values()) for outcome in ("ignored", "applied", "refused", "set_aside")
    )
    return report


async def published(world: World, share: float) -> str:
    """Wait until so much of the day is published; when that is."""
    async with asyncio.timeout(DEADLINE):
        while world.publication.published < share * len(world.day.arrivals):
            await asyncio.sleep(LOOK)
    return instant()


def sendable(world: World) -> int:
    """Records of the day that come over HTTP: null records do not."""
    return sum(arrival.value is not None for arrival in world.day.arrivals)


async def active(daemon: Daemon, wanted: float) -> None:
    deadline = time.monotonic() + DEADLINE
    while (await daemon.metrics()).of(ACTIVE, SOURCE) != wanted:
        assert time.monotonic() < deadline, f"{ACTIVE} did not become {wanted}"
        await asyncio.sleep(LOOK)


@pytest.mark.timeout(300)
async def test_any_range_replayed_twice_beside_the_daemon_leaves_the_mirror_as_the_wiki_and_moves_no_lane(
    database_url: str, tmp_path: Path
) -> None:
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as world:
        config = world.config(source=QUICK, http={"contact": "tests@example.org"})
        async with Daemon(config) as daemon:
            await daemon.line("reading")
            world.publish(RATE)
            start = await published(world, 0.3)
            end = await published(world, 0.6)
            held = await rows(database_url, LANES)
            assert held
            ranges = [("--from", start, "--to", end), ("--from", start, "--to", end), ("--from", "30m", "--to", end)]
            read = [(await replay(config, *arguments))["read"] for arguments in ranges]
            assert 0 < read[0] == read[1] < read[2]
            one = await replay(config, "--from", "30m", "--kind", "delete")
            assert one["ignored"]["filtered"] > 0
            await world.published()
            await durable(database_url, world.log.ends)
            whole = await replay(config, "--from", "30m")
            assert whole["read"] >= sendable(world)
            assert whole["lost"] == []
            assert await rows(database_url, LANES) == held, "same epochs, same writers: nobody took a lane over"
            async with await connect(database_url) as session:
                assert await positions(session) == world.log.ends
            assert await daemon.stop() == 0
        await must_equal(database_url, world.day, world.log)


@pytest.mark.timeout(180)
async def test_while_a_replay_is_at_work_the_daemon_tells_so(database_url: str, tmp_path: Path) -> None:
    async with serve(a_day(SEED, 400), database_url, tmp_path) as world:
        config = world.config(source=QUICK)
        async with Daemon(config) as daemon:
            world.publish(2000)
            await world.published()
            await durable(database_url, world.log.ends)
            assert (await daemon.metrics()).of(ACTIVE, SOURCE) == 0
            arguments = ("--source", SOURCE, "--from", "30m", "--rate", "5", "--config", str(config))
            async with replaying(database_url, *arguments) as process:
                await active(daemon, 1)
                process.send(signal.SIGTERM)
                assert (await process.end()).code == 143
            await active(daemon, 0)
            assert await daemon.stop() == 0
        await must_equal(database_url, world.day, world.log)


@pytest.mark.timeout(180)
async def test_killed_and_resumed_beside_the_daemon_it_leaves_nothing_out(database_url: str, tmp_path: Path) -> None:
    async with serve(a_day(SEED, 1200), database_url, tmp_path) as world:
        config = world.config(source=QUICK)
        # An empty mirror: what the replay leaves out is in no row.
        world.publish(5000)
        await world.published()
        arguments = ("--source", SOURCE, "--from", "30m", "--rate", "200", "--config", str(config))
        async with replaying(database_url, *arguments) as process:
            await until(database_url, "SELECT coalesce(max(records_read), 0) > 200 FROM replay")
            process.send(signal.SIGKILL)
            await process.end()
        code, report = await wikimirror("replay", "--resume", "1", "--rate", "0", "--config", str(config))
        assert code == 0, report
        assert report["read"] >= sendable(world)
        async with Daemon(config) as daemon:
            await durable(database_url, world.log.ends)
            assert await daemon.stop() == 0
            (source,) = daemon.report["sources"]
            assert source["records"]["applied"] == {}, "the replay had applied all of it"
        await must_equal(database_url, world.day, world.log)
