"""Killing daemons: when, and what their last transaction came to."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from tests.live.daemon import Daemon, first_to_read
from tests.live.truth import Place
from wikimirror.mirror.connect import Limits, Session, connect

STANDBYS: Final = 2
"""Daemons that wait or are on their way up, so that a kill does not cost the time in which Python starts."""
_USUAL_LIFE: Final = 0.5
_LONGEST_LIFE: Final = 2.0
_MOST_BATCHES: Final = 3
_LANE: Final = re.compile(r"(?:.* )?(.+)\[(\d+)\]")
_CHECKPOINTS: Final = """
SELECT topic, partition, position, split_part(writer, '/', 2) FROM checkpoint
WHERE (topic, partition) IN (SELECT * FROM unnest($1::text[], $2::int[])) ORDER BY 1, 2 FOR UPDATE
"""


class Moment(Enum):
    """When a daemon is killed."""

    TRANSACTION = auto()
    """On the line that tells of a transaction's first write, in one that moves positions."""
    ANY = auto()
    """Whatever it is doing."""


@dataclass
class Tally:
    """What the kills of a round met."""

    seed: int
    kills: int = 0
    within: int = 0
    """Between the first write and COMMIT: the line was there, and Postgres has the position before it."""
    unsaid: int = 0
    """After COMMIT, before the line that would have told of it."""

    def __str__(self) -> str:
        return (
            f"{self.kills} kills of seed {self.seed}, {self.within} between the first write and COMMIT,"
            f" {self.unsaid} between COMMIT and its line"
        )


class Steps(NamedTuple):
    """The lanes of an owner, the positions that it knew to be durable, and those after its last transaction.

    Positions of lanes without a record are left out. Both are the same when it knew its last transaction to be durable.
    """

    lanes: Collection[Place]
    before: dict[Place, int]
    after: dict[Place, int]


class Relay:
    """Daemons of one configuration: one works, the others are ready or on their way up to take over."""

    def __init__(self, config: Path, database_url: str, opened: AsyncExitStack) -> None:
        self._config = config
        self._database_url = database_url
        self._opened = opened
        self._waiting: list[Daemon] = []
        self._life = _USUAL_LIFE
        """Seconds of reading after which the last one was killed within a transaction: machines differ."""

    async def owner(self) -> Daemon:
        """The one that says next that it reads; others are started until there are enough."""
        while len(self._waiting) < 1 + STANDBYS:
            self._waiting.append(await self._opened.enter_async_context(Daemon(self._config)))
        owner = await first_to_read(self._waiting)
        self._waiting.remove(owner)
        return owner

    async def strike(self, owner: Daemon, moment: Moment, rng: Random, tally: Tally) -> None:
        """Kill it at that moment and see what became of its last transaction."""
        if moment is Moment.TRANSACTION:
            await moving(owner, rng.randint(1, _MOST_BATCHES))
            self._life = min(_LONGEST_LIFE, time.monotonic() - owner.lines("reading")[-1]["heard"])
        else:
            await asyncio.sleep(rng.uniform(0.0, self._life))
        await kill(owner, self._database_url, tally)

    async def drain(self, owner: Daemon) -> None:
        """Stop the owner in good order, when the others are gone."""
        await asyncio.gather(*(each.kill() for each in self._waiting))
        assert await owner.stop() == 0


@asynccontextmanager
async def relay(config: Path, database_url: str) -> AsyncIterator[Relay]:
    """Whatever still runs in the end is killed."""
    async with AsyncExitStack() as opened:
        yield Relay(config, database_url, opened)


def moments_of(kills: int, aimed: float, rng: Random) -> list[Moment]:
    """In any order; `aimed` is the share of those within a transaction."""
    within = round(aimed * kills)
    moments = [Moment.TRANSACTION] * within + [Moment.ANY] * (kills - within)
    rng.shuffle(moments)
    return moments


async def kill(owner: Daemon, database_url: str, tally: Tally) -> None:
    """Kill it and see what became of its last transaction."""
    await owner.kill()
    tally.kills += 1
    lanes, before, after = last_steps(owner)
    async with await connect(database_url, limits=Limits(lock=30.0, statement=30.0)) as session:
        now = await settled(session, owner.pid, lanes)
    if now is None:
        return
    assert now in (before, after), "the positions are neither those before the transaction nor those after it"
    if after != before:
        tally.within += now == before
        tally.unsaid += now == after


async def moving(owner: Daemon, number: int) -> None:
    """Wait for so many transactions that move a position; what is read again at the beginning moves none."""
    while number:
        await owner.line("first write")
        _, before, after = last_steps(owner)
        number -= before != after


def last_steps(owner: Daemon) -> Steps:
    """What its log tells of its last transaction, as long as it has these lanes."""
    lanes: Collection[Place] = ()
    before: dict[Place, int] = {}
    after = before
    for line in owner.log:
        match line.get("event"):
            case "reading":
                lanes = tuple(place_of(lane) for lane in line["lanes"])
                before = after = _by_place(line["lanes"])
            case "first write":
                after = {**before, **_by_place(line["positions"])}
            case "durable":
                before = after
    return Steps(lanes, before, after)


async def settled(session: Session, pid: int, lanes: Collection[Place]) -> dict[Place, int] | None:
    """The positions of lanes once no transaction of that process is under way; None: another has any of them since."""
    async with session.transaction():
        rows = await session.fetch(_CHECKPOINTS, [topic for topic, _ in lanes], [number for _, number in lanes])
    if any(row[3] != str(pid) for row in rows):
        return None
    return {(topic, partition): position for topic, partition, position, _ in rows if position}


def place_of(lane: str) -> Place:
    """Lanes are told as `topic[0]`, with or without the source's name before."""
    found = _LANE.fullmatch(lane)
    assert found is not None, lane
    return found[1], int(found[2])


def _by_place(positions: dict[str, int]) -> dict[Place, int]:
    return {place_of(lane): position for lane, position in positions.items() if position}
