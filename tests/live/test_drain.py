"""A daemon that is asked to end: once, it drains; twice, it aborts; nothing is lost either way (promises P1, P4)."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.live.daemon import Daemon
from tests.live.killing import last_steps
from tests.live.truth import accounts_add_up, durable, must_equal, nobody_writes, places
from tests.live.world import World, a_day, serve
from wikimirror.mirror.connect import connect

SEED, ACTIONS = 51, 3000
RATE = 2000.0
AT_ONCE = 3.0
"""Seconds that an abort may take."""
SIGNALS = [signal.SIGTERM, signal.SIGINT]


@pytest.mark.parametrize("sign", SIGNALS, ids=lambda sign: sign.name)
async def test_asked_once_under_load_it_applies_what_it_read_and_its_report_adds_up(
    database_url: str, tmp_path: Path, sign: signal.Signals
) -> None:
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as world:
        async with Daemon(world.config()) as daemon:
            await daemon.line("reading")
            world.publish(RATE)
            await daemon.line("durable")
            await daemon.line("first write")
            assert not world.publication.done, "it is not asked under load"
            assert await daemon.stop(sign) == 0
        accounts_add_up(daemon.report)
        (source,) = daemon.report["sources"]
        assert source["records"]["given_back"] == 0
        async with await connect(database_url) as session:
            assert await places(session) == last_steps(daemon).before
        await _rest(world)


@pytest.mark.parametrize("sign", SIGNALS, ids=lambda sign: sign.name)
async def test_asked_twice_it_aborts_at_once_and_what_it_had_read_is_read_again(
    database_url: str, tmp_path: Path, sign: signal.Signals
) -> None:
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as world:
        async with Daemon(world.config()) as daemon:
            await daemon.line("reading")
            world.publish(RATE)
            await daemon.line("durable")
            async with nobody_writes(database_url):
                daemon.send(sign)
                await daemon.line("draining")
                asked = time.monotonic()
                assert await daemon.stop(sign) == 1
                assert time.monotonic() - asked < AT_ONCE
        assert daemon.lines("aborting")
        assert "given back" in daemon.report["error"]["message"]
        await _rest(world)


async def _rest(world: World) -> None:
    """Another daemon goes on, and all is as the wiki says."""
    await world.published()
    async with Daemon(world.config()) as daemon:
        await durable(world.database_url, world.log.ends)
        assert await daemon.stop() == 0
    await must_equal(world.database_url, world.day, world.log)
