"""kill -9 of members of a group under load: nothing is lost, nothing is done twice (promises P1, P4, P5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from tests.kafka.members import SHORT_SESSION, Group, Member, serve_group
from tests.live.budget import USUAL, read_kills, rounds, seed_of
from tests.live.daemon import DEADLINE
from tests.live.killing import Moment, Tally, kill, moments_of, moving
from tests.live.pacing import Pace
from wikimirror.rehearsal import simulate_day

ROUND: Final = 10
"""Kills during one day."""
MEMBERS: Final = 3
"""Of them one is on its way up: so that a kill does not cost the time in which Python starts."""
ACTIONS_A_KILL: Final = 300
RATE: Final = 1000.0
"""Records a second, while the day is published."""
AIMED: Final = 0.8
"""The share of kills that are aimed at a transaction."""
PROVEN: Final = 0.4
"""The share that must have met one."""
LONGEST_WAIT: Final = 0.5
"""Seconds after which one is killed at any moment."""
MOST_BATCHES: Final = 2
LOOK: Final = 0.02
SETTINGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "source": SHORT_SESSION,
    "apply": {"batch_records": 100},
    "admin": {"listen": "off"},
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("number", "kills"), list(enumerate(rounds(read_kills() * ROUND // USUAL or 1, ROUND))))
async def test_members_killed_at_random_moments_under_load_lose_nothing_and_do_nothing_twice(
    kafka: str, database_url: str, tmp_path: Path, number: int, kills: int, tell: Callable[[str], None]
) -> None:
    seed = seed_of(number)
    rng, tally = Random(f"kills {seed}"), Tally(seed)
    day = simulate_day(seed, ACTIONS_A_KILL * kills, out_of_scope=True)
    async with serve_group(day, kafka, database_url, tmp_path, settings=SETTINGS) as group:
        pool = Pool(group)
        await pool.fill()
        await group.shared(*pool.members)
        group.world.publish(RATE)
        async with Pace(group.world.publication, kills) as pace:
            for killed, moment in enumerate(moments_of(kills, AIMED, rng)):
                working = await pool.working()
                pace.after(killed)
                if moment is Moment.TRANSACTION:
                    victim = await first_to_move(working, rng.randint(1, MOST_BATCHES))
                else:
                    victim = rng.choice(working)
                    await asyncio.sleep(rng.uniform(0.0, LONGEST_WAIT))
                await kill(victim, database_url, tally)
                await pool.fill()
        assert tally.kills == kills
        tell(f"members of Kafka: {tally}")
        # What the killed ones had not read yet, and what they had read and not applied, is done by those who are left.
        await group.shared(*pool.members)
        await group.finish(*pool.members, exact=False)
    if kills == ROUND:
        assert tally.within >= PROVEN * kills, f"too few met a transaction: {tally}"


class Pool:
    """As many members as are wanted, whoever is killed."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._started = 0
        self.members: list[Member] = []

    async def fill(self) -> None:
        """Start members instead of those who were killed."""
        self.members = [each for each in self.members if each.status is None]
        while len(self.members) < MEMBERS:
            self._started += 1
            self.members.append(await self._group.join(f"member-{self._started}"))

    async def working(self) -> list[Member]:
        """Wait until some of them read; those."""
        async with asyncio.timeout(DEADLINE):
            while not (found := [each for each in self.members if each.lanes]):
                await asyncio.sleep(LOOK)
        for each in found:
            each.skip("first write")
        return found


async def first_to_move(members: list[Member], number: int) -> Member:
    """The one that is first within its next transaction but `number - 1` that moves a position."""
    waits = {asyncio.create_task(moving(each, number)): each for each in members}
    done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.wait(waits)
    first = done.pop()
    first.result()
    return waits[first]
