"""What networks do to connections, on both sides of the daemon, while it works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest
import structlog.testing

from tests.live.proxy import Proxy
from tests.live.within import Following, assert_equal, following, settings_for
from wikimirror.mirror.connect import connect
from wikimirror.mirror.embedded import EmbeddedPostgres
from wikimirror.rehearsal import Day, EventStreamsServer, Log, Publication, publish, publish_canaries, simulate_day

ACTIONS = 1200
RATE = 400.0
"""Records a second while there is trouble."""
TROUBLES = 6
CONNECTIONS = {"postgres": 3, "source": 1}
"""To Postgres: what applies, what keeps the lease, what looks after the ledger."""


@pytest.fixture(scope="module")
def day() -> Day:
    return simulate_day(11, ACTIONS)


@dataclass
class World:
    """A simulated wiki, the daemon, a Postgres, and a proxy on either side of the daemon."""

    day: Day
    log: Log
    publication: Publication
    postgres: Proxy
    source: Proxy
    daemon: Following
    url: str
    """Of the database, not by way of the proxy."""

    def side(self, name: str) -> Proxy:
        return self.postgres if name == "postgres" else self.source

    async def until_connected(self, side: str, number: int = 1) -> None:
        proxy = self.side(side)
        await self.daemon.until(lambda: proxy.connections >= number)

    async def ends_equal(self) -> None:
        """Publish the rest, wait for it to be durable, and compare."""
        self.publication.hurry()
        await self.publication
        await self.daemon.reaches(self.log)
        await self.daemon.drained()
        await assert_equal(self.daemon.settings, self.url, self.day, self.log)
        async with await connect(self.url) as session, session.transaction():
            applied = await session.fetchval("SELECT count(*) FROM change WHERE outcome = 'applied'")
        assert self.daemon.vitals.accounts.applied.total() == applied


Enter = Callable[..., Awaitable[World]]


@pytest.fixture
async def enter(day: Day, postgres_server: EmbeddedPostgres, database_url: str) -> AsyncIterator[Enter]:
    """`await enter()` starts it all; its arguments are more settings."""
    async with AsyncExitStack() as opened:

        async def make(**more: Any) -> World:
            log = Log()
            server = await opened.enter_async_context(EventStreamsServer(log))
            postgres = await opened.enter_async_context(Proxy(postgres_server.port))
            source = await opened.enter_async_context(Proxy(server.port))
            direct = postgres_server.dsn(urlsplit(database_url).path.lstrip("/"), tcp=True)
            proxied = direct.replace(f":{postgres_server.port}/", f":{postgres.port}/")
            settings = settings_for(f"http://127.0.0.1:{source.port}", proxied, **more)
            publication = publish(day, log, rate=RATE)
            opened.callback(publication.cancel)
            daemon = await opened.enter_async_context(following(settings))
            return World(day, log, publication, postgres, source, daemon, database_url)

        yield make


async def cut(proxy: Proxy, _: Random) -> int:
    return proxy.cut()


async def reset(proxy: Proxy, _: Random) -> int:
    return proxy.reset()


async def delay(proxy: Proxy, rng: Random) -> int:
    proxy.delay = rng.uniform(0.05, 0.2)
    await asyncio.sleep(rng.uniform(0.1, 0.4))  # the trouble itself
    proxy.delay = 0.0
    return proxy.connections


@pytest.mark.parametrize("side", ["postgres", "source"])
@pytest.mark.parametrize("trouble", [cut, reset, delay])
async def test_connections_cut_reset_or_delayed_at_random_moments_under_load_lose_nothing(
    enter: Enter, side: str, trouble: Callable[[Proxy, Random], Awaitable[int]]
) -> None:
    rng, world, hit = Random(f"{side} {trouble.__name__}"), await enter(), 0
    proxy = world.side(side)
    await world.until_connected(side, CONNECTIONS[side])
    for _ in range(TROUBLES):
        await world.until_connected(side)
        await asyncio.sleep(rng.uniform(0.0, 0.3))  # a random moment
        hit += await trouble(proxy, rng)
    assert not world.publication.done, "there was no load any more"
    await world.ends_equal()
    assert hit >= TROUBLES
    assert world.daemon.vitals.lane_losses == 0
