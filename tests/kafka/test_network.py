"""What networks do to connections, to the broker and to Postgres, while a daemon reads from the one into the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final
from urllib.parse import urlsplit

import pytest

from tests.kafka.endings import QUICK, ends_equal, was_under_load
from tests.kafka.world import KafkaWorld, serve_kafka
from tests.live.daemon import Daemon
from tests.live.probes import DEADLINE, until_answers, until_metrics
from tests.live.proxy import Proxy
from tests.live.world import SOURCE, a_day
from wikimirror.mirror.embedded import EmbeddedPostgres
from wikimirror.rehearsal.broker import KafkaBroker

SEED, ACTIONS = 33, 1000
RATE = 60.0
"""Records a second, so that the day lasts longer than the trouble on a slow machine too."""
TROUBLES: Final = 5
STATEMENT: Final = "2s"
LATE: Final = 0.3
"""Seconds that each piece of data is late by, each way."""
BATCHES: Final = "wikimirror_batches_applied_total"


@dataclass
class Between:
    """A daemon at work, under load, with a proxy on either side of it."""

    world: KafkaWorld
    broker: Proxy
    postgres: Proxy
    daemon: Daemon

    async def gets_on(self, batches: int = 1) -> None:
        """Wait until more is durable."""
        before = (await self.daemon.metrics()).of(BATCHES, SOURCE)
        await until_metrics(self.daemon, lambda now: now.of(BATCHES, SOURCE) >= before + batches)

    async def ends_equal(self) -> None:
        was_under_load(self.world)
        await ends_equal(self.world, self.daemon)
        assert not self.daemon.lines("gap")


@pytest.fixture
async def between(
    frail_broker: KafkaBroker, postgres_server: EmbeddedPostgres, database_url: str, tmp_path: Path
) -> AsyncIterator[Between]:
    direct = postgres_server.dsn(urlsplit(database_url).path.lstrip("/"), tcp=True)
    async with (
        Proxy(frail_broker.behind_port, listen=frail_broker.proxied_port) as to_broker,
        Proxy(postgres_server.port) as to_postgres,
        serve_kafka(a_day(SEED, ACTIONS), frail_broker.bootstrap, database_url, tmp_path, partitions=2) as world,
    ):
        url = direct.replace(f":{postgres_server.port}/", f":{to_postgres.port}/")
        config = world.config(
            postgres={"url": url, "statement_timeout": STATEMENT},
            source={**QUICK, "bootstrap_servers": [frail_broker.address("proxied")]},
        )
        async with Daemon(config) as daemon:
            await daemon.line("reading")
            world.publish(RATE)
            yield Between(world, to_broker, to_postgres, daemon)


@pytest.mark.parametrize("side", ["broker", "postgres"])
@pytest.mark.parametrize("trouble", [Proxy.cut, Proxy.reset])
async def test_connections_that_are_cut_or_reset_in_the_midst_of_it_lose_nothing(
    between: Between, side: str, trouble: Callable[[Proxy], int]
) -> None:
    rng, proxy, hit = Random(f"{side} {trouble.__name__}"), getattr(between, side), 0
    for _ in range(TROUBLES):
        await between.gets_on()
        await asyncio.sleep(rng.uniform(0.0, 0.1))  # a random moment
        hit += trouble(proxy)
    await between.ends_equal()
    assert hit >= TROUBLES


async def test_answers_to_fetches_of_which_only_the_first_half_comes_lose_nothing(between: Between) -> None:
    proxy = between.broker
    for number in range(1, TROUBLES + 1):
        await between.gets_on()
        proxy.tear = 1
        await until(lambda number=number: proxy.torn == number)  # type: ignore[misc]
    await between.ends_equal()


async def test_lost_replies_to_commit_neither_lose_nor_count_anything_twice(between: Between) -> None:
    proxy, durable = between.postgres, "a batch whose confirmation was lost is durable"
    # Members are noted by transactions too: on until enough have hit what applies.
    while len(between.daemon.lines(durable)) < TROUBLES:
        lost = proxy.commits_lost
        await between.gets_on()
        proxy.lose_commits = 1
        await until(lambda lost=lost: proxy.commits_lost > lost)  # type: ignore[misc]
    await between.ends_equal()


async def test_a_broker_that_goes_half_open_is_left_after_a_while_told_and_joined_again(between: Between) -> None:
    for _ in range(2):
        await between.gets_on()
        between.broker.refusing = True
        assert between.broker.mute()
        await until_answers(between.daemon, "/readyz", 503, "waits for source")
        between.broker.refusing = False
        await until_answers(between.daemon, "/readyz", 200)
    await between.ends_equal()


async def test_a_postgres_that_goes_half_open_at_a_commit_is_left_told_and_written_to_again(between: Between) -> None:
    await between.gets_on()
    between.postgres.mute_at_commit = True
    await between.daemon.line("waiting", waiting_for="database", level="warning")
    await until_answers(between.daemon, "/readyz", 200)
    await between.gets_on()
    await between.ends_equal()
    assert len(between.daemon.lines("reading")) == 1, "it stayed in the group meanwhile"


# A transaction asks Postgres many times: each takes seconds then.
@pytest.mark.parametrize(("side", "batches"), [("broker", 3), ("postgres", 1)])
async def test_data_that_comes_late_makes_it_slow_and_loses_nothing(between: Between, side: str, batches: int) -> None:
    proxy: Proxy = getattr(between, side)
    await between.gets_on()
    proxy.delay = LATE
    await between.gets_on(batches)
    proxy.delay = 0.0
    await between.ends_equal()
    assert len(between.daemon.lines("reading")) == 1, "it was never out of the group"


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not holds():  # no event tells of it
            await asyncio.sleep(0.01)
