"""Lanes that are behind: a slow source, deletions that wait, a backlog that grows, retention that runs out."""

from __future__ import annotations

import pytest

from tests.live.daemon import Daemon
from tests.live.truth import durable
from tests.live.world import SOURCE, World
from tests.runbooks.shift import opened
from tests.runbooks.staging import RATE, admin_of, config_of, forgotten_transaction
from wikimirror.rehearsal import NO_FAULTS, Faults, publish_canaries

SLOW = Faults(records_a_second=RATE / 4)


async def test_a_slow_source_is_named_as_what_makes_the_mirror_late(world: World) -> None:
    config = config_of(world)
    async with Daemon(config) as daemon:
        world.publish(RATE)
        await daemon.line("durable")
        known = {"SOURCE": SOURCE, "ADMIN": admin_of(daemon)}
        async with opened("WikimirrorFreshnessBudgetBurn", config, known) as shift:
            world.server.faults = SLOW
            await shift.rest("Diagnosis")
            await shift.rest("Mitigation")
            world.server.faults = NO_FAULTS
            await shift.rest("Verify recovery")
        assert await daemon.stop() == 0


async def test_deletions_that_wait_for_a_lock_are_counted_once_it_is_gone(world: World) -> None:
    config = config_of(world)
    async with Daemon(config) as daemon, opened("WikimirrorRetractionLatencyBurn", config) as shift:
        world.publish(10 * RATE)
        await daemon.line("durable")
        async with forgotten_transaction(world.database_url):
            await shift.rest("Diagnosis")
        canaries = publish_canaries(world.log, 0.5)
        await shift.rest("Verify recovery")
        canaries.cancel()
        await world.published()
        await durable(world.database_url, world.log.ends)
        assert await daemon.stop() == 0


@pytest.mark.timeout(240)
async def test_a_lane_that_falls_further_behind_is_told_from_one_that_catches_up(world: World) -> None:
    """Which takes half a minute of proof."""
    config = config_of(world)
    async with Daemon(config) as daemon, opened("WikimirrorCatchUpDiverging", config, {"SOURCE": SOURCE}) as shift:
        world.publish(RATE)
        await daemon.line("durable")
        world.server.faults = SLOW
        await shift.rest("Diagnosis", within=100.0)
        await shift.rest("Mitigation")
        world.server.faults = NO_FAULTS
        await shift.rest("Verify recovery", within=100.0)
        assert await daemon.stop() == 0


async def test_a_source_that_will_soon_delete_what_was_not_read_is_told_before_it_does(world: World) -> None:
    config = config_of(world, source={"retention": "5m"})
    async with Daemon(config) as daemon, opened("WikimirrorRetentionHeadroomLow", config, {"SOURCE": SOURCE}) as shift:
        world.publish(RATE)
        await daemon.line("durable")
        async with forgotten_transaction(world.database_url):
            await shift.rest("Diagnosis")
            await shift.rest("Mitigation")
        await shift.rest("Verify recovery")
        assert await daemon.stop() == 0
