"""Resident memory of `wikimirror run` on fifty partitions of large records, also while Postgres stands still."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

import asyncpg
import msgspec

from tests.bench import kafka_records, machine
from tests.bench.kafka_parts import LOOK, Bench, all_durable, fresh, write_config
from tests.bench.load import edits
from tests.bench.memory import GOAL_MB
from tests.bench.processes import Process, started
from wikimirror.model import Body, Format

PARTITIONS: Final = 50
LARGE_BYTES: Final = 3_000_000
HELD: Final = 4.0
"""Seconds for which Postgres stands still, several times what it takes to fill all up, within lock_timeout."""


class Topic(NamedTuple):
    """What is in a topic: in each partition so many large records, each followed by so many small ones."""

    name: str
    compression: str | None
    large: int
    small: int
    repetitive: bool = False
    """Each text is one word again and again: it compresses to next to nothing."""


_TOPICS: Final = (
    Topic("none", None, 2, 200),
    Topic("zstd", "zstd", 2, 200),
    Topic("zstd, repetitive texts", "zstd", 5, 10, repetitive=True),
)


@dataclass
class Memory:
    """One run, in MB."""

    topic: Topic
    held: bool
    before: float
    """Connected, nothing read."""
    peak: float
    """By the kernel's own account (VmHWM)."""
    median: float
    after: float
    seconds: float
    records: int


async def measure(bench: Bench, scale: float) -> list[Memory]:
    """A run for each case; empty where the system does not tell of a process's memory."""
    if not machine.tells():
        return []
    found = []
    for topic in _TOPICS:
        name, records = await _fill(bench, topic, scale)
        for held in (False, True):
            memory = await _run(bench, topic, name, records, held=held)
            state = "held" if held else "free"
            bench.tell(f"kafka memory, {topic.name}, Postgres {state}: at most {memory.peak:.0f} MB")
            found.append(memory)
    return found


async def _fill(bench: Bench, topic: Topic, scale: float) -> tuple[str, int]:
    """Make the topic; its name among Kafka's, and how many records it has."""
    name, rng = fresh("memory"), random.Random("large")  # not for secrets
    await kafka_records.make_topic(bench.bootstrap, name, PARTITIONS)
    words = ["".join(rng.choices("abcdefghijklmnop", k=7)) for _ in range(1 if topic.repetitive else 3000)]
    small = max(10, round(topic.small * scale))
    changes = iter(edits(PARTITIONS * topic.large * (1 + small)).changes)

    def values() -> Iterator[tuple[int, bytes | None, bytes]]:
        for _ in range(topic.large):
            for partition in range(PARTITIONS):
                # One character beyond the Basic Multilingual Plane: Python then takes four bytes for each.
                text = "\N{OPEN BOOK} " + " ".join(rng.choices(words, k=LARGE_BYTES // 8))
                large = msgspec.structs.replace(next(changes), bodies=(Body(Format.WIKITEXT, text),))
                yield partition, None, kafka_records.value_of(large)
                for _ in range(small):
                    yield partition, None, kafka_records.value_of(next(changes))

    return name, await kafka_records.fill(bench.bootstrap, name, values(), compression=topic.compression)


async def _run(bench: Bench, topic: Topic, name: str, records: int, *, held: bool) -> Memory:
    url = await bench.database("kafka_memory")
    config = write_config(
        bench.directory / "memory.toml", database=url, bootstrap=bench.bootstrap, topic=name, group=fresh("memory")
    )
    async with started("wikimirror run", "wikimirror", "run", "--config", config) as daemon:
        async with _locked(url, "wikimirror.checkpoint"):
            before = machine.resident(daemon.pid)
        samples: list[float] = []
        watching = asyncio.create_task(_watch(daemon, samples))
        begun = time.monotonic()
        if held:
            async with _locked(url, "wikimirror.page"):
                await asyncio.sleep(HELD)
        await all_durable(url, records, daemon)
        seconds = time.monotonic() - begun
        watching.cancel()
        return Memory(
            topic=topic,
            held=held,
            before=before,
            peak=machine.resident(daemon.pid, "VmHWM"),
            median=sorted(samples)[len(samples) // 2],
            after=machine.resident(daemon.pid),
            seconds=seconds,
            records=records,
        )


async def _watch(daemon: Process, samples: list[float]) -> None:
    while True:
        samples.append(machine.resident(daemon.pid))
        await asyncio.sleep(LOOK)


@asynccontextmanager
async def _locked(url: str, table: str) -> AsyncGenerator[None]:
    """Lock a table and enter once the daemon stands before it."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction(), asyncio.timeout(30):
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            while not await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                await asyncio.sleep(LOOK)
            yield
    finally:
        await connection.close()


def lines(found: list[Memory]) -> Iterator[str]:
    """The section of docs/benchmarks.md."""
    yield from ("## Memory with fifty partitions", "")
    if not found:
        yield from ("NOT MEASURED: this system does not tell.", "")
        return
    yield from (
        f"`wikimirror run` with default settings on a Kafka topic of {PARTITIONS} partitions. In each are large",
        f"records and after each of them small ones. A large one has a text of {LARGE_BYTES / 1e6:.0f} MB with a",
        "character for which Python takes four bytes for each character of the text. The repetitive ones compress",
        "to next to nothing, so that the brokers send all at once what unpacks to very much. Where Postgres is",
        f"held, a lock on `page` keeps the first batch waiting for {HELD:.0f} s, so that everything that can fill",
        f"up does. The goal is {GOAL_MB} MB.",
        "",
        (
            "| compression | large ones | records | Postgres | nothing read, MB | at most (VmHWM), MB | median, MB |"
            " all durable, MB | s |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    )
    for m in found:
        yield (
            f"| {m.topic.name} | {PARTITIONS * m.topic.large} | {m.records:,} | {'held' if m.held else 'free'} |"
            f" {m.before:.0f} | **{m.peak:.0f}** | {m.median:.0f} |"
            f" {m.after:.0f} | {m.seconds:.0f} |"
        )
    yield ""
