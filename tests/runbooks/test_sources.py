"""The source at fault: silent, away, slow."""

from __future__ import annotations

from tests.live.daemon import Daemon
from tests.live.truth import durable, must_equal
from tests.live.world import SOURCE, World
from tests.runbooks.shift import opened
from tests.runbooks.staging import RATE, config_of
from wikimirror.rehearsal import NO_FAULTS, Answer, Faults, publish_canaries

AWAY = Faults(answer=Answer.UNAVAILABLE, answers=10**6, cut_after=0)


async def test_a_silent_source_is_told_from_one_that_is_caught_up_with(world: World) -> None:
    config = config_of(world)
    async with Daemon(config) as daemon, opened("WikimirrorSourceSilent", config, {"SOURCE": SOURCE}) as shift:
        world.publish(RATE)
        await daemon.line("durable")
        world.publication.pause()
        await shift.rest("Diagnosis")
        await world.published()
        canaries = publish_canaries(world.log, 0.5)
        await shift.rest("Verify recovery")
        canaries.cancel()
        assert await daemon.stop() == 0


async def test_a_source_that_is_away_is_asked_from_the_daemons_machine(world: World) -> None:
    config = config_of(world)
    async with Daemon(config) as daemon, opened("WikimirrorSourceUnavailable", config, {"SOURCE": SOURCE}) as shift:
        world.publish(RATE)
        await daemon.line("durable")
        world.server.faults = AWAY
        await shift.rest("Diagnosis")
        world.server.faults = NO_FAULTS
        await shift.rest("Verify recovery")
        await world.published()
        await durable(world.database_url, world.log.ends)
        assert await daemon.stop() == 0
    await must_equal(world.database_url, world.day, world.log)
