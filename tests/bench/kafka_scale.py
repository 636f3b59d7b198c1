"""One, two and four daemons of one group on the same backlog."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import asyncpg

from tests.bench import kafka_records, machine
from tests.bench.kafka_members import Members, members, spread
from tests.bench.kafka_parts import LOOK, Bench, all_durable, fresh
from tests.bench.telling import whole
from tests.kafka.admin import admin_of

PROCESSES: Final = (1, 2, 4)
RECORDS: Final = 40_000
_PATIENCE: Final = 120.0


@dataclass
class Together:
    """So many processes on one backlog."""

    processes: int
    rate: float
    """Records a second, all together."""
    shares: list[float]
    """Of the records, by process, the greatest first."""
    cpu: float
    """Processor time of all daemons for one record, in seconds."""


async def measure(bench: Bench, rounds: int, scale: float) -> list[Together]:
    """The same backlog again and again, in turns."""
    topic, count = fresh("scale"), max(4000, round(RECORDS * scale))
    await kafka_records.make_topic(bench.bootstrap, topic)
    await kafka_records.fill(bench.bootstrap, topic, kafka_records.keyed(spread(count)))
    together = []
    for _ in range(rounds):
        for processes in PROCESSES:
            run = await _together(bench, topic, count, processes)
            bench.tell(f"kafka scale: {processes}: {run.rate:,.0f} records/s, shares {_percent(run.shares)}")
            together.append(run)
    return together


_SHARES: Final = "SELECT writer, sum(position)::bigint AS records FROM wikimirror.checkpoint GROUP BY writer"


async def _together(bench: Bench, topic: str, count: int, processes: int) -> Together:
    url, group = await bench.database("kafka_scale"), fresh("scale")
    connection = await asyncpg.connect(url)
    try:
        async with members(bench, url, topic, group, [None] * processes) as found:
            async with connection.transaction():
                # Nobody may begin before all are there: the group must have settled.
                await connection.execute("LOCK TABLE wikimirror.checkpoint IN ACCESS EXCLUSIVE MODE")
                await _all_in_group(bench, group, found)
                before = sum(machine.processor(each.pid) for each in found.running)
            span = await all_durable(url, count, *found.running)
            cpu = sum(machine.processor(each.pid) for each in found.running) - before
            shares = [row["records"] / count for row in await connection.fetch(_SHARES)]
    finally:
        await connection.close()
    return Together(processes, count / span.seconds, sorted(shares, reverse=True), cpu / count)


async def _all_in_group(bench: Bench, group: str, expected: Members) -> None:
    """Wait until the group is settled and has all of the members."""
    async with admin_of(bench.bootstrap) as admin, asyncio.timeout(_PATIENCE):
        while True:
            (answer,) = await admin.describe_consumer_groups([group])
            (_, _, state, _, _, found, *_) = answer.groups[0]
            if state == "Stable" and len(found) == len(expected.running):
                return
            expected.require_running()
            await asyncio.sleep(LOOK)


def lines(together: list[Together]) -> Iterator[str]:
    """The section of docs/benchmarks.md."""
    yield from (
        "## Kafka: several processes",
        "",
        f"`wikimirror run` with default settings, so many processes in one group on {kafka_records.PARTITIONS}",
        "partitions and one Postgres, all on this machine: with few cores the processes share them, and Postgres",
        "with the broker needs its own. The backlog is small changes; nobody begins before the group has settled.",
        "The share of a process is of all records. Processor time is that of all daemons together.",
        "",
        "| processes | records/s together | share of each | µs of processor a record |",
        "|---|---|---|---|",
    )
    by_number: dict[int, list[Together]] = {}
    for run in together:
        by_number.setdefault(run.processes, []).append(run)
    for number, runs in by_number.items():
        yield (
            f"| {number} | {whole(run.rate for run in runs)} |"
            f" {'; '.join(_percent(run.shares) for run in runs)} |"
            f" {whole(run.cpu * 1e6 for run in runs)} |"
        )
    yield ""


def _percent(shares: list[float]) -> str:
    return " ".join(f"{share:.0%}" for share in shares)
