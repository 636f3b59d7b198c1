"""The mirror against the simulated wiki: rows, what must be gone, the books, and the positions."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tests.live.daemon import DEADLINE
from tests.live.world import SOURCE
from wikimirror.app.demo import expected_of
from wikimirror.mirror.connect import Session, connect
from wikimirror.ops.compare import compare
from wikimirror.rehearsal import WIKIS, Day, Log
from wikimirror.settings import Settings

_LOOK = 0.02


Place = tuple[str, int]
"""Topic and partition."""
Places = Mapping[Place, int]
"""By topic and partition: an offset."""


async def must_equal(database_url: str, day: Day, log: Log, *, set_aside: bool = False) -> None:
    """All of a day that the log holds is in the mirror. See `must_hold`."""
    await must_hold(database_url, day, _only(log.ends), set_aside=set_aside)


async def must_hold(database_url: str, day: Day, ends: Places, *, set_aside: bool = False, gaps: int = 0) -> None:
    """All of a day up to these ends is in the mirror, once, as the day's truth says, and nothing else is.

    Nothing may have been set aside, unless records were put beside that cannot be read: then something must.
    """
    async with await connect(database_url) as session:
        found = await compare(session, expected_of(Settings.model_construct(), day.truth))
        assert found.differences == [], found.differences[:5]
        assert found.forbidden_found == 0
        assert found.compared["page"] > 0
        reached = await places(session)
        assert reached == dict(ends), f"positions {reached}, but the topics end at {dict(ends)}"
        async with session.transaction():
            twice = await session.fetch("SELECT change_id FROM change GROUP BY 1 HAVING count(*) > 1")
            assert twice == [], "the ledger has a change more than once"
            assert await session.fetchval("SELECT count(*) FROM change") == len(set(told(day)))
            assert await session.fetch("SELECT * FROM correction_chain_breaks()") == []
            assert await session.fetchval("SELECT count(*) > 0 FROM dead_letter") is set_aside
            assert await session.fetchval("SELECT count(*) FROM gap") == gaps


async def places(session: Session) -> dict[tuple[str, int], int]:
    """By topic and partition: the next offset. Partitions without a record are left out."""
    async with session.transaction():
        rows = await session.fetch("SELECT topic, partition, position FROM checkpoint WHERE source = $1", SOURCE)
    return {(topic, partition): position for topic, partition, position in rows if position}


async def positions(session: Session) -> dict[str, int]:
    """By topic, where each has one partition: the next offset. Topics without a record are left out."""
    return {topic: position for (topic, _), position in (await places(session)).items()}


async def durable(database_url: str, ends: Mapping[str, int], *, within: float = DEADLINE) -> None:
    """Wait until all before these positions of topics of one partition is durable."""
    await durable_places(database_url, _only(ends), within=within)


async def durable_places(database_url: str, ends: Places, *, within: float = DEADLINE) -> None:
    """Wait until all before these positions is durable."""
    deadline = time.monotonic() + within
    async with await connect(database_url) as session:
        while not _covers(found := await places(session), ends):
            assert time.monotonic() < deadline, f"{within} s without the end: {found} of {dict(ends)}"
            await asyncio.sleep(_LOOK)


@asynccontextmanager
async def nobody_writes(database_url: str) -> AsyncIterator[None]:
    """No page can be written meanwhile."""
    async with await connect(database_url) as session, session.transaction():
        await session.execute("LOCK TABLE page IN ACCESS EXCLUSIVE MODE")
        yield


def _covers(found: Places, ends: Places) -> bool:
    return all(found.get(place, 0) >= end for place, end in ends.items())


def _only(ends: Mapping[str, int]) -> Places:
    """The same where each topic has one partition."""
    return {(topic, 0): end for topic, end in ends.items()}


def accounts_add_up(report: Mapping[str, Any]) -> None:
    """What `run` tells at its end: everything that was read is told of, and nothing is in flight (P4)."""
    for source in report["sources"]:
        records = source["records"]
        outcomes = (sum(records[name].values()) for name in ("ignored", "applied", "refused", "set_aside"))
        assert records["read"] == sum(outcomes) + records["given_back"], f"it does not add up: {records}"
        assert records["in_flight"] == 0


def told(day: Day) -> Iterable[tuple[str, str]]:
    """What identifies each change of the mirrored wikis that a day tells of: its stream and id."""
    for arrival in day.arrivals:
        if arrival.value is None:
            continue
        record = json.loads(arrival.value)
        wiki = record.get("wiki_id", record.get("database"))
        if wiki in WIKIS and record["meta"]["domain"] != "canary":
            yield record["meta"]["stream"], record["meta"]["id"]
