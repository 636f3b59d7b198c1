"""kill -9 at random moments under load: nothing is lost, nothing is done twice (promises P1, P4, P5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.live.budget import ROUND, read_kills, rounds, seed_of
from tests.live.killing import Moment, Tally, relay
from tests.live.truth import durable, must_equal
from tests.live.world import World, serve
from wikimirror.rehearsal import Publication, simulate_day

ACTIONS_A_KILL = 600
RATE = 3000.0
"""Records a second, while the day is published."""
AIMED = 0.6
"""The share of kills that are aimed at a transaction."""
PROVEN = 0.4
"""The share that must have met one."""


class Pace:
    """Publishes so that no part of the day is left over, nor missing, while daemons are killed."""

    def __init__(self, publication: Publication, kills: int) -> None:
        self._publication = publication
        self._kills = kills
        self._due = 0

    def after(self, kills: int) -> None:
        """So many have been killed: the share of the next may be published."""
        self._due = self._publication.total * (kills + 1) // self._kills
        self._publication.resume()

    async def run(self) -> None:
        while True:
            if self._publication.published >= self._due:
                self._publication.pause()
            await asyncio.sleep(0.002)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("number", "kills"), list(enumerate(rounds(read_kills()))))
async def test_killed_at_random_moments_under_load_it_ends_as_the_wiki(
    database_url: str, tmp_path: Path, number: int, kills: int, tell: Callable[[str], None]
) -> None:
    seed = seed_of(number)
    rng, tally = Random(f"kills {seed}"), Tally(seed)
    aimed = round(AIMED * kills)
    moments = [Moment.TRANSACTION] * aimed + [Moment.ANY] * (kills - aimed)
    rng.shuffle(moments)
    async with serve(simulate_day(seed, ACTIONS_A_KILL * kills, out_of_scope=True), database_url, tmp_path) as world:
        config = world.config(
            lease={"duration": "500ms"},
            apply={"batch_records": 150},
            source={"overlap": "100ms"},
            admin={"listen": "off"},
        )
        world.publish(RATE)
        pace = Pace(world.publication, kills)
        pacing = asyncio.create_task(pace.run())
        async with relay(config, database_url) as daemons:
            for killed, moment in enumerate(moments):
                owner = await daemons.owner()
                pace.after(killed)
                await daemons.strike(owner, moment, rng, tally)
            pacing.cancel()
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
