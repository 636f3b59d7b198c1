"""Several daemons in one group of Kafka: which lanes each has, and what became of all they read.

async with serve_group(day, kafka, database_url, tmp_path) as group:
    one, other = await group.join("one"), await group.join("other")
    await group.shared(one, other)
    group.world.publish(200)
    ...
    await group.finish(one, other)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from tests.kafka.admin import group_offsets
from tests.kafka.world import KafkaWorld, serve_kafka
from tests.live import audit
from tests.live.daemon import DEADLINE, Daemon
from tests.live.killing import place_of
from tests.live.truth import Place, accounts_add_up
from wikimirror.mirror.connect import connect
from wikimirror.rehearsal import Day
from wikimirror.rehearsal.broker_home import outside_broker

PARTITIONS: Final = 2
"""Of each topic. A day has six topics."""
SESSION: Final = 6.0 if outside_broker() else 3.0
"""Seconds, where it matters how soon a member is missed. Brokers of others allow no less than 6."""
SHORT_SESSION: Final = {"session_timeout": f"{SESSION:.0f}s", "request_timeout": "2s"}
_LONG_SESSION: Final = {"session_timeout": "20s", "rebalance_timeout": "20s"}
"""Where nobody is to be missed, a machine that is slow for a moment must not change that."""
_GAVE_UP: Final = {
    "giving the lanes back",
    "the lanes are lost: what was read is given back",
    "another writer has taken lanes over",
    "the stay in the group is over",
}
_STANDS_BY: Final = "standing by: other members have all lanes"
_LOOK: Final = 0.02


class Member(Daemon):
    """A daemon of a group, and the name by which its rows are noted."""

    def __init__(self, name: str, config: Path) -> None:
        super().__init__(config)
        self.name = name

    @property
    def lanes(self) -> frozenset[Place] | None:
        """What it last said that it reads; None while it has no part in the group."""
        found: frozenset[Place] | None = None
        for line in self.log:
            said = line.get("event")
            if said == "reading":
                found = frozenset(place_of(lane) for lane in line["lanes"])
            elif said == _STANDS_BY:
                found = frozenset()
            elif said in _GAVE_UP:
                found = None
        return found


class Group:
    """Members that share the lanes of a world, and an audit of what they write."""

    def __init__(
        self, world: KafkaWorld, partitions: int, sections: Mapping[str, Mapping[str, Any]], opened: AsyncExitStack
    ) -> None:
        self.world = world
        self.lanes = frozenset((topic, number) for topic in world.topics.names for number in range(partitions))
        self._sections = sections
        self._opened = opened

    async def join(self, name: str, **source: Any) -> Member:
        """Start a member, with these settings of the source."""
        url = audit.url_of(self.world.database_url, name)
        said = {**self._sections, "source": {**self._sections.get("source", {}), **source}}
        config = self.world.config(**said, postgres={"url": url})
        return await self._opened.enter_async_context(Member(name, config))

    async def shared(self, *members: Member, lanes: Collection[Place] | None = None, within: float = DEADLINE) -> None:
        """Wait until these members have all lanes among them, each its own, and as evenly as can be."""
        wanted = sorted(self.lanes if lanes is None else lanes)
        deadline = time.monotonic() + within
        while True:
            held = [each.lanes for each in members]
            counts = [len(each or ()) for each in held]
            if None not in held and sorted(lane for each in held for lane in each or ()) == wanted:
                assert max(counts) - min(counts) <= 1, f"unevenly: {counts}"
                return
            tails = "\n".join(each.tail for each in members)
            assert all(each.status is None for each in members), f"one has ended: {tails}"
            assert time.monotonic() < deadline, f"{within} s without all lanes: {counts} of {len(wanted)}\n{tails}"
            await asyncio.sleep(_LOOK)

    async def offsets(self) -> dict[Place, int]:
        """What the group was told of each lane."""
        found: dict[Place, int] = {}
        for topic in self.world.topics.names:
            told = await group_offsets(self.world.bootstrap, self.world.group, topic)
            found |= {(topic, partition): offset for partition, offset in told.items()}
        return found

    async def finish(self, *members: Member, before: Collection[Member] = (), exact: bool = True) -> None:
        """Publish the rest, wait for it, drain these members, and compare with the wiki.

        `before`: others that ended in good order. With them no member may be missing, or what each did cannot be summed
        up: then, or where one was cut off after COMMIT and before it knew, it is not `exact`.
        """
        world = self.world
        await world.published()
        await world.durable()
        for each in members:
            assert await each.stop() == 0, each.tail
        for each in (*members, *before):
            accounts_add_up(each.report)
        await self._applied([*members, *before], exact=exact)
        await world.must_equal()
        await self._one_writer_each()
        told = await self.offsets()
        assert {place: told.get(place) for place in world.ends} == world.ends

    async def _applied(self, members: Collection[Member], *, exact: bool) -> None:
        """Over all members each record was settled once, and what they say was applied is what the ledger says."""
        records = [source["records"] for each in members for source in each.report["sources"]]
        settled = sum(each["read"] - each["given_back"] for each in records)
        applied = sum(sum(each["applied"].values()) for each in records)
        async with await connect(self.world.database_url) as session, session.transaction():
            ledger = await session.fetchval("SELECT count(*) FROM change WHERE outcome = 'applied'")
        if exact:
            assert (settled, applied) == (self.world.topics.sent, ledger)
        else:
            assert settled <= self.world.topics.sent
            assert applied <= ledger

    async def _one_writer_each(self) -> None:
        """Each lane's position moved without a gap and without going back, in each epoch by one member."""
        found = await audit.moves(self.world.database_url)
        assert {place: moves[-1].after for place, moves in found.items()} == self.world.ends
        for place, moves in found.items():
            assert moves[0].before == 0
            writers: dict[int, str] = {}
            for move in moves:
                assert writers.setdefault(move.epoch, move.daemon) == move.daemon, f"{place}: {moves}"
            for former, latter in pairwise(moves):
                assert former.after == latter.before, f"{place}: {moves}"


@asynccontextmanager
async def serve_group(
    day: Day,
    bootstrap: str,
    database_url: str,
    directory: Path,
    *,
    partitions: int = PARTITIONS,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> AsyncIterator[Group]:
    """A world and a group that nobody has joined yet. `settings` are sections of those of all its members."""
    await audit.begin(database_url)
    sections = settings or {}
    said = {**sections, "source": {**_LONG_SESSION, **sections.get("source", {})}}
    async with (
        serve_kafka(day, bootstrap, database_url, directory, partitions=partitions) as world,
        AsyncExitStack() as opened,
    ):
        yield Group(world, partitions, said, opened)


async def writers_of(database_url: str, lanes: Collection[Place]) -> dict[Place, str]:
    """Who has these lanes, as Postgres knows it: the writer of an assignment."""
    async with await connect(database_url) as session, session.transaction():
        rows = await session.fetch("SELECT topic, partition, writer FROM checkpoint")
    return {(topic, partition): writer for topic, partition, writer in rows if (topic, partition) in lanes}
