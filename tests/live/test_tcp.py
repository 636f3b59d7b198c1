"""What networks do to connections, on both sides of the daemon, while it works."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.live.proxy import Proxy
from tests.live.within import Following, ends_equal, following
from tests.live.world import World, a_day, serve
from wikimirror.mirror.embedded import EmbeddedPostgres
from wikimirror.observe.vitals import Waiting
from wikimirror.rehearsal import Faults

ACTIONS = 1200
RATE = 150.0
"""Records a second, so that the day lasts longer than the trouble on a slow machine too."""
TROUBLES = 6
CONNECTIONS = {"postgres": 3, "source": 1}
"""To Postgres: what applies, what keeps the lease, what looks after the ledger."""


@dataclass
class Between:
    """A simulated wiki, the daemon, a Postgres, and a proxy on either side of the daemon."""

    world: World
    postgres: Proxy
    source: Proxy
    daemon: Following

    def side(self, name: str) -> Proxy:
        return self.postgres if name == "postgres" else self.source

    async def until_connected(self, proxy: Proxy, number: int = 1) -> None:
        await self.daemon.until(lambda: proxy.connections >= number)

    async def ends_equal(self) -> None:
        """There was load until now. Publish the rest, wait for it to be durable, and compare."""
        assert not self.world.publication.done, "there was no load any more"
        await ends_equal(self.world, self.daemon)


Enter = Callable[..., Awaitable[Between]]


@pytest.fixture
async def enter(postgres_server: EmbeddedPostgres, database_url: str, tmp_path: Path) -> AsyncIterator[Enter]:
    """`await enter(rate)` starts it all, with so many records a second; more arguments are keys of settings."""
    async with AsyncExitStack() as opened:

        async def make(rate: float, source: dict[str, Any] | None = None, **sections: dict[str, Any]) -> Between:
            world = await opened.enter_async_context(serve(a_day(11, ACTIONS), database_url, tmp_path))
            to_postgres = await opened.enter_async_context(Proxy(postgres_server.port))
            to_source = await opened.enter_async_context(Proxy(world.server.port))
            direct = postgres_server.dsn(urlsplit(database_url).path.lstrip("/"), tcp=True)
            proxied = direct.replace(f":{postgres_server.port}/", f":{to_postgres.port}/")
            config = world.config(
                postgres={"url": proxied, **sections.pop("postgres", {})},
                source={"url": f"http://127.0.0.1:{to_source.port}", **(source or {})},
                lease={"duration": "2s"},
                **sections,
            )
            world.publish(rate)
            daemon = await opened.enter_async_context(following(config))
            return Between(world, to_postgres, to_source, daemon)

        yield make


async def cut(proxy: Proxy, _: Random) -> int:
    return proxy.cut()


async def reset(proxy: Proxy, _: Random) -> int:
    return proxy.reset()


async def delay(proxy: Proxy, rng: Random) -> int:
    proxy.delay = rng.uniform(0.05, 0.2)
    await asyncio.sleep(rng.uniform(0.1, 0.4))  # it is the trouble itself
    proxy.delay = 0.0
    return proxy.connections


@pytest.mark.parametrize("side", ["postgres", "source"])
@pytest.mark.parametrize("trouble", [cut, reset, delay])
async def test_connections_cut_reset_or_delayed_at_random_moments_under_load_lose_nothing(
    enter: Enter, side: str, trouble: Callable[[Proxy, Random], Awaitable[int]]
) -> None:
    rng, between, hit = Random(f"{side} {trouble.__name__}"), await enter(RATE), 0
    proxy = between.side(side)
    await between.until_connected(proxy, CONNECTIONS[side])
    for _ in range(TROUBLES):
        await between.until_connected(proxy)
        await asyncio.sleep(rng.uniform(0.0, 0.3))  # a random moment
        hit += await trouble(proxy, rng)
    await between.ends_equal()
    assert hit >= TROUBLES
    assert between.daemon.vitals.lane_losses == 0


async def test_a_source_that_goes_half_open_under_load_is_left_after_idle_timeout(enter: Enter) -> None:
    rng, between = Random("half-open source"), await enter(RATE, source={"idle_timeout": "1s"})
    vitals = between.daemon.vitals
    # The service still counts connections of whose end nobody told it.
    between.world.server.faults = Faults(connections=None)
    for number in range(3):
        await between.until_connected(between.source)
        await asyncio.sleep(rng.uniform(0.1, 0.3))  # a random moment
        assert between.source.mute() == 1
        begun = time.monotonic()
        await between.daemon.until(lambda number=number: vitals.disconnects["idle"] > number)  # type: ignore[misc]
        assert time.monotonic() - begun < 2.0
    await between.ends_equal()


async def test_a_postgres_that_goes_half_open_under_load_is_left_fifteen_seconds_after_statement_timeout(
    enter: Enter,
) -> None:
    between = await enter(RATE / 3, postgres={"statement_timeout": "300ms"})
    vitals, proxy = between.daemon.vitals, between.postgres
    await between.until_connected(proxy, CONNECTIONS["postgres"])
    await asyncio.sleep(Random("half-open Postgres").uniform(0.1, 0.5))  # a random moment
    proxy.mute_at_commit = True
    await between.daemon.until(lambda: not proxy.connections)
    applied, begun = vitals.batches, time.monotonic()
    await between.daemon.until(lambda: vitals.batches > applied + 1)
    assert time.monotonic() - begun < 0.3 + 15 + 3
    assert vitals.retries[Waiting.DATABASE] >= 1
    await between.ends_equal()


async def test_lost_replies_to_commit_neither_lose_nor_count_anything_twice(enter: Enter) -> None:
    rng, between = Random("lost replies"), await enter(RATE)
    proxy, daemon = between.postgres, between.daemon
    # The lease is kept by transactions too: on until enough have hit what applies.
    while len(daemon.said("a batch whose confirmation was lost is durable")) < TROUBLES:
        lost, batches = proxy.commits_lost, daemon.vitals.batches
        await daemon.until(lambda batches=batches: daemon.vitals.batches > batches)  # type: ignore[misc]
        await asyncio.sleep(rng.uniform(0.0, 0.1))  # a random moment
        proxy.lose_commits = 1
        await daemon.until(lambda lost=lost: proxy.commits_lost > lost)  # type: ignore[misc]
    await between.ends_equal()
    assert proxy.commits_lost >= TROUBLES
