"""kill -9 at random moments under load: nothing is lost, nothing is done twice (promises P1, P4, P5)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.live.budget import ROUND, read_kills, rounds, seed_of
from tests.live.killing import Tally, moments_of, relay
from tests.live.pacing import Pace
from tests.live.truth import durable, must_equal
from tests.live.world import World, serve
from wikimirror.rehearsal import simulate_day

ACTIONS_A_KILL = 600
RATE = 3000.0
"""Records a second, while the day is published."""
AIMED = 0.6
"""The share of kills that are aimed at a transaction."""
PROVEN = 0.4
"""The share that must have met one."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("number", "kills"), list(enumerate(rounds(read_kills()))))
async def test_killed_at_random_moments_under_load_it_ends_as_the_wiki(
    database_url: str, tmp_path: Path, number: int, kills: int, tell: Callable[[str], None]
) -> None:
    seed = seed_of(number)
    rng, tally = Random(f"kills {seed}"), Tally(seed)
    moments = moments_of(kills, AIMED, rng)
    async with serve(simulate_day(seed, ACTIONS_A_KILL * kills, out_of_scope=True), database_url, tmp_path) as world:
        config = world.config(
            lease={"duration": "500ms"},
            apply={"batch_records": 150},
            source={"overlap": "100ms"},
            admin={"listen": "off"},
        )
        world.publish(RATE)
        async with Pace(world.publication, kills) as pace, relay(config, database_url) as daemons:
            for killed, moment in enumerate(moments):
                owner = await daemons.owner()
                pace.after(killed)
                await daemons.strike(owner, moment, rng, tally)
            owner = await daemons.owner()
            await _all_durable(world)
            await daemons.drain(owner)
        await must_equal(database_url, world.day, world.log)
    tell(str(tally))
    assert tally.kills == kills
    if kills == ROUND:
        assert tally.within >= PROVEN * kills, f"too few met a transaction: {tally}"


async def _all_durable(world: World) -> None:
    await world.published()
    await durable(world.database_url, world.log.ends)
