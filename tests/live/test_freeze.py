"""A daemon that is frozen past its lease and wakes up: not one row of its is written any more (promise P5)."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.live import audit
from tests.live.daemon import Daemon, first_to_read
from tests.live.freezing import BETWEEN, WITHIN, freeze
from tests.live.truth import accounts_add_up, durable, must_equal
from tests.live.world import SOURCE, World, a_day, serve
from wikimirror.errors import DatabaseUnavailable
from wikimirror.mirror.checkpoints import advance, take_over_all
from wikimirror.mirror.connect import connect
from wikimirror.mirror.evict import name_of
from wikimirror.model import Advance, Lane, Position

SEED, ACTIONS = 51, 3000
STATEMENTS, PREPARING = "between two statements", "between a statement's preparing and its execution"
RATE = 300.0
TAKEOVER = 10.0
"""Seconds from the freezing to the successor's first durable batch."""
LOST = "another process has taken over; this one stands by"


@pytest.mark.parametrize("where", [WITHIN, BETWEEN])
async def test_frozen_past_its_lease_and_woken_it_writes_not_one_row_and_stands_by(
    database_url: str, tmp_path: Path, tell: Callable[[str], None], where: str
) -> None:
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as world, _pair(world) as (former, latter):
        await freeze(database_url, former.daemon, where)
        frozen = time.monotonic()
        reading = await latter.daemon.line("reading")
        line = await latter.daemon.line("durable")
        seconds = line["heard"] - frozen
        tell(f"takeover {seconds:.1f} s after SIGSTOP {where}, lease 6 s")
        await _writes_not_one_row(world, former, latter, reading["epoch"])
    assert seconds < TAKEOVER


async def test_woken_before_it_looks_at_its_lease_again_it_is_fenced_by_the_epoch(
    database_url: str, tmp_path: Path
) -> None:
    # It looks three times in the life of a lease.
    lease = {"duration": "60s"}
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as world, _pair(world, lease=lease) as both:
        former, latter = both
        await freeze(database_url, former.daemon, BETWEEN)
        async with await connect(database_url) as session, session.transaction():
            await session.execute("UPDATE lease SET expires_at = clock_timestamp()")
        reading = await latter.daemon.line("reading")
        await latter.daemon.line("durable")
        await _writes_not_one_row(world, former, latter, reading["epoch"])
        (lost,) = former.daemon.lines(LOST)
        assert "with epoch" in lost["reason"]


@pytest.mark.parametrize("where", [STATEMENTS, PREPARING])
async def test_lanes_are_taken_over_from_a_writer_that_stands_still_within_its_transaction(
    database_url: str, tmp_path: Path, where: str
) -> None:
    sessions = connect(database_url, application_name=name_of("former"))
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as world, await sessions as former:
        topics = (topic for topics in world.log.topics_of.values() for topic in topics)
        lanes = {Lane(SOURCE, topic, 0): Position(0) for topic in topics}
        held = await take_over_all(former, lanes, "former")
        with suppress(DatabaseUnavailable):
            async with former.transaction(), Daemon(world.config()) as latter:
                await advance(former, [Advance(lane, each.epoch, 0, 1) for lane, each in held.items()])
                if where == PREPARING:
                    # Until it is executed Postgres counts the writer as active: no timeout for idle ones ends it.
                    await former.connection.prepare("SELECT $1::int")
                reading = await latter.line("reading", within=TAKEOVER)
    assert reading["epoch"] == max(each.epoch for each in held.values()) + 1
    assert set(reading["lanes"].values()) == {0}


class Named(NamedTuple):
    """A daemon, and the name by which its rows are noted."""

    name: str
    daemon: Daemon


@asynccontextmanager
async def _pair(world: World, **sections: Mapping[str, Any]) -> AsyncIterator[tuple[Named, Named]]:
    """Two daemons: the first works, has more and more to apply, and the second stands by."""
    await audit.begin(world.database_url)
    names = ("one", "other")
    configs = [world.config(postgres={"url": audit.url_of(world.database_url, name)}, **sections) for name in names]
    async with Daemon(configs[0]) as one, Daemon(configs[1]) as other:
        pair = [Named(*each) for each in zip(names, (one, other), strict=True)]
        if await first_to_read([one, other]) is other:
            pair.reverse()
        former, latter = pair
        await latter.daemon.line("standing by")
        world.publish(RATE)
        yield former, latter


async def _writes_not_one_row(world: World, former: Named, latter: Named, epoch: int) -> None:
    """Wake the former: it stands by, and all else is done by the latter alone, to the end of the day."""
    written = (await audit.written(world.database_url))[former.name]
    assert written > 0
    former.daemon.wake()
    await former.daemon.line(LOST)
    told = await former.daemon.line("standing by")
    assert f"/{latter.daemon.pid}/" in told["holder"]
    probe = await former.daemon.get("/readyz")
    assert (probe.status, probe.body["sources"][SOURCE]["role"]) == (200, "standby")

    await world.published()
    await durable(world.database_url, world.log.ends)
    for each in (former, latter):
        assert await each.daemon.stop() == 0
        accounts_add_up(each.daemon.report)
    now = (await audit.written(world.database_url))[former.name]
    assert now == written, f"the former owner wrote {now - written} rows after it had lost its lanes"
    async with await connect(world.database_url) as session, session.transaction():
        owners = await session.fetch("SELECT DISTINCT epoch, split_part(writer, '/', 2) FROM checkpoint")
    assert [tuple(owner) for owner in owners] == [(epoch, str(latter.daemon.pid))]
    await must_equal(world.database_url, world.day, world.log)
