"""A rolling restart of the daemons of a group, while records come in."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from tests.bench import kafka_records
from tests.bench.kafka_members import members, spread
from tests.bench.kafka_parts import Bench, all_durable, fresh
from tests.kafka.admin import producer_of

RATE: Final = 1000
"""Records a second."""
_PROCESSES: Final = 4
_BETWEEN: Final = 2.0
"""Seconds of quiet work after each restart, so that pauses are told apart."""
_TICK: Final = 0.05


@dataclass
class Rolling:
    """A restart of all processes, one after another. Seconds."""

    is_static: bool
    records: int
    pauses: list[list[float]] = field(default_factory=list)
    """Of each restart the longest pause of each partition."""
    usual: float = 0.0
    """The longest pause of any partition while nobody was restarted."""
    restarts: list[float] = field(default_factory=list)
    """From SIGTERM until all partitions are held again by four."""


async def measure(bench: Bench) -> list[Rolling]:
    """One restart of static members, and one of others."""
    found = []
    for is_static in (True, False):
        rolling = await roll(bench, _PROCESSES, is_static=is_static, rate=RATE)
        worst = " ".join(f"{max(pauses):.1f}" for pauses in rolling.pauses)
        bench.tell(f"kafka rolling restart, {'static' if is_static else 'dynamic'} members: longest pauses {worst} s")
        found.append(rolling)
    return found


async def roll(bench: Bench, processes: int, *, is_static: bool, rate: int, between: float = _BETWEEN) -> Rolling:
    """Restart each of the processes while records are published at a rate."""
    topic, url = fresh("rolling"), await bench.database("kafka_rolling")
    await kafka_records.make_topic(bench.bootstrap, topic)
    names = [f"member-{number}" if is_static else None for number in range(processes)]
    load = _Load(bench.bootstrap, topic, rate)
    rolling, restarts = Rolling(is_static, 0), list[tuple[float, float]]()
    async with members(bench, url, topic, fresh("rolling"), names) as found:
        await found.settled(kafka_records.PARTITIONS)
        publishing = asyncio.create_task(load.run())
        try:
            await asyncio.sleep(between)
            quiet_from = time.time()
            await asyncio.sleep(between)
            quiet_until = time.time()
            for old, name in zip(list(found.running), names, strict=True):
                begun = time.time()
                await found.replace(old, name)
                await found.settled(kafka_records.PARTITIONS)
                rolling.restarts.append(time.time() - begun)
                await asyncio.sleep(between)
                restarts.append((begun, time.time()))
        finally:
            load.stop()
            await publishing
        rolling.records = load.sent
        await all_durable(url, load.sent, *found.running)
    times = await _times(url)
    rolling.usual = max(_longest(each, quiet_from, quiet_until) for each in times.values())
    rolling.pauses = [[_longest(each, *span) for each in times.values()] for span in restarts]
    return rolling


class _Load:
    """Publishes to all partitions evenly, until stopped."""

    def __init__(self, bootstrap: str, topic: str, rate: int) -> None:
        self._bootstrap, self._topic, self._rate = bootstrap, topic, rate
        self._stopped = asyncio.Event()
        self.sent = 0

    def stop(self) -> None:
        """No more."""
        self._stopped.set()

    async def run(self) -> None:
        """Publish."""
        begun = time.monotonic()
        async with producer_of(self._bootstrap, linger_ms=5) as producer:
            while not self._stopped.is_set():
                due = round((time.monotonic() - begun) * self._rate)
                await self._send(producer, due - self.sent)
                await asyncio.sleep(_TICK)
            await producer.flush()

    async def _send(self, producer: Any, count: int) -> None:
        for partition, key, value in kafka_records.keyed(spread(count, self.sent + 1)):
            await producer.send(self._topic, value, key=key, partition=partition)
        self.sent += count


async def _times(url: str) -> dict[int, list[float]]:
    """By partition the moments at which batches with records of it were applied, in order. Seconds since the epoch."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "SELECT DISTINCT partition, extract(epoch FROM applied)::float8 AS at FROM wikimirror.change ORDER BY 1, 2"
        )
    finally:
        await connection.close()
    found: dict[int, list[float]] = {number: [] for number in range(kafka_records.PARTITIONS)}
    for row in rows:
        found[row["partition"]].append(row["at"])
    return found


def _longest(times: list[float], begun: float, ended: float) -> float:
    """The longest time without anything durable whose middle lies within a span."""
    return max(
        (after - before for before, after in itertools.pairwise(times) if begun <= (before + after) / 2 < ended),
        default=ended - begun,
    )


def lines(found: list[Rolling]) -> Iterator[str]:
    """The section of docs/benchmarks.md."""
    yield from (
        "## Kafka: a rolling restart",
        "",
        f"A rolling restart of four processes while {RATE:,} records a second come in: SIGTERM, and once it has",
        "ended the same again, one after another. A pause is the time for which nothing of a partition became",
        "durable, as the ledger tells; the usual one is the longest while nobody is restarted. The group is settled",
        "when four processes hold all partitions again. All records that were published were applied, each once.",
        "",
        "| members | records | usual pause, s | restart | settled after, s | median pause, s | longest, s |",
        "|---|---|---|---|---|---|---|",
    )
    for rolling in found:
        kind = "static (`member_id`)" if rolling.is_static else "dynamic"
        for number, (pauses, seconds) in enumerate(zip(rolling.pauses, rolling.restarts, strict=True), start=1):
            yield (
                f"| {kind} | {rolling.records:,} | {rolling.usual:.2f} | {number} | {seconds:.1f} |"
                f" {statistics.median(pauses):.2f} | **{max(pauses):.2f}** |"
            )
    yield ""
