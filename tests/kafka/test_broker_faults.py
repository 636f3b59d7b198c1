"""A broker that dies, restarts, stands still or goes for good while a daemon reads from it under load."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest

from tests.kafka.endings import QUICK, ends_equal, was_under_load
from tests.kafka.world import KafkaWorld, serve_kafka
from tests.live.daemon import Daemon
from tests.live.probes import until_answers, until_metrics
from tests.live.truth import accounts_add_up, nobody_writes
from tests.live.world import SOURCE, a_day
from wikimirror.rehearsal.broker import KafkaBroker

SEED, ACTIONS = 31, 1200
RATE = 40.0
"""Records a second, so that the day lasts longer than the trouble on a slow machine too."""
OUTAGE: Final = 4.0
"""Seconds: longer than the session in the group and than `idle_timeout`."""
SAID: Final = 20
"""Lines of the log that an outage may take, however many attempts are made."""
DRAIN: Final = 10.0
"""Seconds that draining may take."""

Trouble = Callable[[KafkaBroker], Awaitable[None]]


@pytest.fixture
async def world(frail_broker: KafkaBroker, database_url: str, tmp_path: Path) -> AsyncIterator[KafkaWorld]:
    day = a_day(SEED, ACTIONS)
    async with serve_kafka(day, frail_broker.bootstrap, database_url, tmp_path, partitions=2) as served:
        try:
            yield served
        finally:
            # Without a broker no topic can be deleted.
            await give_back(frail_broker)


async def kill(broker: KafkaBroker) -> None:
    await broker.kill()


async def stop(broker: KafkaBroker) -> None:
    await broker.stop()


async def freeze(broker: KafkaBroker) -> None:
    broker.freeze()


async def give_back(broker: KafkaBroker) -> None:
    if broker.running:
        broker.wake()
    await broker.start()


@pytest.mark.parametrize(("trouble", "attempts"), [(kill, SAID + 1), (stop, SAID + 1), (freeze, 1)])
async def test_a_broker_that_is_away_for_longer_than_the_session_is_waited_for_in_few_words_and_loses_nothing(
    trouble: Trouble, attempts: int, frail_broker: KafkaBroker, world: KafkaWorld
) -> None:
    config = world.config(source=QUICK, log={"level": "info"}, retry={"longest": "100ms"})
    async with Daemon(config) as daemon:
        await daemon.line("reading")
        world.publish(RATE)
        await until_metrics(daemon, lambda now: now.of("wikimirror_records_read_total", SOURCE) > RATE)
        await until_answers(daemon, "/readyz", 200)
        began, said = time.monotonic(), len(daemon.log)
        await trouble(frail_broker)
        await until_answers(daemon, "/readyz", 503, "waits for source")
        await until_metrics(daemon, lambda now: now.of("wikimirror_retries_total", SOURCE) >= attempts)
        await until_answers(daemon, "/livez", 200)
        await asyncio.sleep(max(0.0, began + OUTAGE - time.monotonic()))  # it is the trouble itself
        await give_back(frail_broker)
        await until_answers(daemon, "/readyz", 200)
        lines = Counter((line["event"], line.get("reason", "")) for line in daemon.log[said:])
        assert lines.total() <= SAID, lines
        assert max(lines.values()) == 1, f"what is waited for is told once: {lines}"
        was_under_load(world)
        await ends_equal(world, daemon)


async def test_a_daemon_whose_broker_goes_for_good_while_it_drains_ends_in_time_with_all_it_read_applied(
    frail_broker: KafkaBroker, world: KafkaWorld
) -> None:
    config = world.config(source=QUICK, run={"drain_timeout": f"{DRAIN:g}s"})
    async with Daemon(config) as daemon:
        await daemon.line("reading")
        async with nobody_writes(world.database_url):
            world.publish(RATE)
            await until_metrics(daemon, lambda now: now.of("wikimirror_records_in_flight", SOURCE) > 0)
            daemon.send(signal.SIGTERM)
            began = time.monotonic()
            await daemon.line("draining")
            await frail_broker.kill()
        assert await daemon.end(within=DRAIN) == 0
        assert time.monotonic() - began < DRAIN
        accounts_add_up(daemon.report)
        assert not daemon.lines("aborting")
        assert daemon.report["sources"][0]["records"]["given_back"] == 0
    await give_back(frail_broker)
    async with Daemon(config) as successor:
        await successor.line("reading")
        await ends_equal(world, successor)


async def test_a_daemon_that_waits_for_a_broker_which_is_gone_ends_at_once_when_asked(
    frail_broker: KafkaBroker, world: KafkaWorld
) -> None:
    async with Daemon(world.config(source=QUICK)) as daemon:
        await daemon.line("reading")
        world.publish()
        await world.published()
        await world.durable()
        frail_broker.freeze()
        await daemon.line("waiting", waiting_for="source")
        assert await daemon.stop(within=DRAIN) == 0
        accounts_add_up(daemon.report)
    await world.must_equal()
