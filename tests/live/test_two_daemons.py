"""Two daemons on one database: one works, the other stands by and takes over (promises P5, P7)."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.live.daemon import Daemon, first_to_read
from tests.live.truth import accounts_add_up, durable, must_equal
from tests.live.world import SOURCE, World, a_day, serve

SEED, ACTIONS = 51, 3000
RATE = 300.0
TAKEOVER = 10.0
"""Seconds from the owner's end to its successor's first durable batch."""
HANDOVER = 4.0
"""The same from the request to drain: a standby looks at the lease once a second, and draining takes its time."""


async def test_a_second_daemon_stands_by_ready_and_says_who_works_and_takes_over_within_10_s_of_a_kill(
    database_url: str, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as world:
        config = world.config()
        async with Daemon(config) as one, Daemon(config) as other:
            owner, standby = await _at_work(world, one, other)

            probe = await standby.get("/readyz")
            assert (probe.status, probe.body["sources"][SOURCE]["role"]) == (200, "standby")
            assert (await standby.get("/livez")).status == 200
            assert (await standby.metrics()).of("wikimirror_records_read_total", SOURCE) == 0
            assert standby.lines("reading") == []

            killed = time.monotonic()
            await owner.kill()
            seconds = await _taken_over(standby, killed)
            tell(f"takeover {seconds:.1f} s after kill -9, lease 6 s")
            assert seconds < TAKEOVER
            probe = await standby.get("/readyz")
            assert (probe.status, probe.body["sources"][SOURCE]["role"]) == (200, "active")

            await world.published()
            await durable(database_url, world.log.ends)
            assert await standby.stop() == 0
        await must_equal(database_url, world.day, world.log)


async def test_one_that_is_stopped_hands_over_at_once(
    database_url: str, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as world:
        config = world.config()
        async with Daemon(config) as one, Daemon(config) as other:
            owner, standby = await _at_work(world, one, other)

            asked = time.monotonic()
            owner.send(signal.SIGTERM)
            seconds = await _taken_over(standby, asked)
            tell(f"handover {seconds:.1f} s after SIGTERM")
            assert seconds < HANDOVER
            assert await owner.end() == 0
            accounts_add_up(owner.report)

            await world.published()
            await durable(database_url, world.log.ends)
            assert await standby.stop() == 0
            accounts_add_up(standby.report)
        await must_equal(database_url, world.day, world.log)


async def _at_work(world: World, one: Daemon, other: Daemon) -> tuple[Daemon, Daemon]:
    """The owner, which has records to apply, and the one that stands by and knows it."""
    owner = await first_to_read([one, other])
    standby = other if owner is one else one
    world.publish(RATE)
    told = await standby.line("standing by")
    assert f"/{owner.pid}/" in told["holder"]
    await owner.line("durable")
    return owner, standby


async def _taken_over(standby: Daemon, since: float) -> float:
    """Seconds from then until something is durable that the standby wrote."""
    await standby.line("reading")
    line = await standby.line("durable")
    return float(line["heard"]) - since
