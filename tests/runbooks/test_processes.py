"""Processes at fault: one that is frozen, one that is down."""

from __future__ import annotations

import socket

from tests.live.daemon import Daemon
from tests.live.probes import until_answers
from tests.live.truth import durable, must_equal
from tests.live.world import SOURCE, World
from tests.runbooks.shift import Shift, opened
from tests.runbooks.staging import RATE, admin_of, config_of


async def test_a_frozen_owner_without_a_standby_is_ended_and_started_again(world: World) -> None:
    config = config_of(world, admin={"listen": free_address()})
    async with opened("WikimirrorOwnerFrozen", config, {"SOURCE": SOURCE}) as shift:
        async with Daemon(config) as frozen:
            world.publish(RATE)
            await frozen.line("durable")
            shift.known |= {"PID": frozen.pid, "ADMIN": admin_of(frozen)}
            frozen.freeze()
            await shift.rest("Diagnosis", within=100.0)
            await shift.step("Mitigation")
            await frozen.end()
        shift.take("wikimirror run")
        async with Daemon(config) as daemon:
            await daemon.line("durable")
            await shift.rest("Verify recovery")
            await world.published()
            await durable(world.database_url, world.log.ends)
            assert await daemon.stop() == 0
    await must_equal(world.database_url, world.day, world.log)


async def test_a_frozen_owner_with_a_standby_needs_nobody(world: World) -> None:
    config = config_of(world)
    async with Daemon(config) as frozen:
        await frozen.line("reading")
        world.publish(RATE)
        await frozen.line("durable")
        async with Daemon(config) as other:
            await other.line("probes and metrics")
            await until_answers(other, "/readyz", 200)
            frozen.freeze()
            await other.line("durable")
            shift = Shift("WikimirrorOwnerFrozen", config, known={"SOURCE": SOURCE, "ADMIN": admin_of(other)})
            await shift.rest("Verify recovery")
            assert await other.stop() == 0


async def test_a_daemon_that_is_down_is_seen_started_and_scraped_again(world: World) -> None:
    address = free_address()
    config = config_of(world, admin={"listen": address})
    async with opened("WikimirrorMetricsAbsent", config, {"ADMIN": f"http://{address}"}) as shift:
        async with Daemon(config) as daemon:
            world.publish(RATE)
            await daemon.line("durable")
            await daemon.kill()
        await shift.rest("Diagnosis")
        await shift.step("Mitigation")
        shift.take("wikimirror run")
        async with Daemon(config) as daemon:
            await daemon.line("durable")
            await shift.rest("Verify recovery")
            assert await daemon.stop() == 0


def free_address() -> str:
    """An address that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"
