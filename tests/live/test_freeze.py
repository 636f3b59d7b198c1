"""A daemon that is frozen past its lease and wakes up: not one row of its is written any more (promise P5)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live import audit
from tests.live.daemon import Daemon, first_to_read
from tests.live.killing import last_steps, moving
from tests.live.truth import accounts_add_up, durable, must_equal, positions
from tests.live.world import SOURCE, World, a_day, serve
from wikimirror.mirror.connect import connect

SEED, ACTIONS = 51, 3000
RATE = 300.0
TAKEOVER = 10.0
"""Seconds from the freezing to the successor's first durable batch."""
TRIES = 20


@pytest.mark.parametrize("transaction", [True, False], ids=["within a transaction", "between two"])
async def test_frozen_past_its_lease_and_woken_it_writes_not_one_row_and_stands_by(
    database_url: str, tmp_path: Path, tell: Callable[[str], None], transaction: bool
) -> None:
    await audit.begin(database_url)
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as world:
        configs = [world.config(postgres={"url": audit.url_of(database_url, name)}) for name in ("one", "other")]
        async with Daemon(configs[0]) as one, Daemon(configs[1]) as other:
            former = await first_to_read([one, other])
            name, latter = ("one", other) if former is one else ("other", one)
            await latter.line("standing by")
            world.publish(RATE)

            await _freeze(world, former, transaction=transaction)
            frozen = time.monotonic()
            reading = await latter.line("reading")
            line = await latter.line("durable")
            tell(f"takeover {line['heard'] - frozen:.1f} s after SIGSTOP, {transaction=}, lease 6 s")
            written = (await audit.written(database_url))[name]
            assert written > 0

            former.wake()
            await former.line("another process has taken over; this one stands by")
            told = await former.line("standing by")
            assert f"/{latter.pid}/" in told["holder"]
            probe = await former.get("/readyz")
            assert (probe.status, probe.body["sources"][SOURCE]["role"]) == (200, "standby")

            await world.published()
            await durable(database_url, world.log.ends)
            assert await former.stop() == 0
            assert await latter.stop() == 0
            accounts_add_up(former.report)
            accounts_add_up(latter.report)
        assert (await audit.written(database_url))[name] == written, "the former owner wrote after it had lost its lanes"
        async with await connect(database_url) as session, session.transaction():
            owners = await session.fetch("SELECT DISTINCT epoch, split_part(writer, '/', 2) FROM checkpoint")
        assert [tuple(owner) for owner in owners] == [(reading["epoch"], str(latter.pid))]
        await must_equal(database_url, world.day, world.log)
    assert line["heard"] - frozen < TAKEOVER


async def _freeze(world: World, owner: Daemon, *, transaction: bool) -> None:
    """Freeze it with a transaction open that has written, or just after one is durable."""
    for _ in range(TRIES):
        await (moving(owner, 1) if transaction else owner.line("durable"))
        owner.freeze()
        _, before, after = last_steps(owner)
        if not transaction:
            return
        async with await connect(world.database_url) as session:
            if before != after and await positions(session) == before:
                return
        owner.wake()
    pytest.fail(f"{TRIES} times it was not within a transaction")
