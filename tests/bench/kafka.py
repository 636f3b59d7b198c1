"""From broker to durable row: the daemon, a bare COPY of the same rows, and what people write today, in turns."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import asyncpg
import msgspec

from tests.bench import kafka_records, naive
from tests.bench.copying import Rows, copy, make_tables, rows_of
from tests.bench.kafka_parts import SOURCE, Bench, all_durable, fresh, write_config
from tests.bench.load import edits
from tests.bench.processes import Broken, started
from tests.bench.telling import whole
from wikimirror.mirror.codec import use_microseconds
from wikimirror.mirror.connect import connect

GOAL: Final = 0.5
_EACH: Final = 5000
"""Records that are written one statement each: enough to see how slow that is."""


@dataclass(frozen=True)
class Workload:
    """A backlog. `batch`: changes in a transaction of the COPY, as many as the daemon takes with default settings."""

    name: str
    records: int
    body_bytes: int
    batch: int
    bodies: str


WORKLOADS: Final = (
    Workload("small changes", 60_000, 0, 2000, "current"),
    Workload("8 KB bodies, every text kept", 10_000, 8192, 1000, "all"),
    Workload("8 KB bodies, current texts kept", 10_000, 8192, 1000, "current"),
)


@dataclass
class Measured:
    """Records a second of each round."""

    workload: Workload
    records: int
    floor: list[float] = field(default_factory=list)
    daemon: list[float] = field(default_factory=list)
    naive: dict[str, list[float]] = field(default_factory=lambda: {way: [] for way in naive.WAYS})

    @property
    def ratios(self) -> list[float]:
        """The daemon over the COPY of the same round."""
        return [a / f for a, f in zip(self.daemon, self.floor, strict=True)]


async def measure(bench: Bench, rounds: int, scale: float) -> list[Measured]:
    """Each round in a database of its own; the backlog is read anew by another group."""
    return [await _measure(bench, workload, rounds, scale) for workload in WORKLOADS]


async def _measure(bench: Bench, workload: Workload, rounds: int, scale: float) -> Measured:
    count = max(workload.batch, round(workload.records * scale))
    load, topic = edits(count, workload.body_bytes), fresh("speed")
    await kafka_records.make_topic(bench.bootstrap, topic)
    await kafka_records.fill(bench.bootstrap, topic, kafka_records.keyed(load.changes))
    load = kafka_records.decoded(SOURCE, topic, load)
    batches = [rows_of(load, start, start + workload.batch) for start in range(0, count, workload.batch)]
    del load
    measured = Measured(workload, count)
    for number in range(rounds):
        url = await bench.database("kafka_speed")
        await _make_tables(url)
        turns = [_Turn(bench, measured, url, topic, batches, way) for way in ("floor", "daemon", *naive.WAYS)]
        shift = number % len(turns)
        for turn in (*turns[shift:], *turns[:shift]):
            await turn.take()
    told = " ".join(f"{ratio:.2f}" for ratio in measured.ratios)
    others = "; ".join(f"{way} {whole(rates)}" for way, rates in measured.naive.items())
    bench.tell(f"kafka, {workload.name}: {told} of COPY; {whole(measured.daemon)} records/s; {others}")
    return measured


async def _make_tables(url: str) -> None:
    async with await connect(url) as session:
        await make_tables(session)
    connection = await asyncpg.connect(url, server_settings={"search_path": "wikimirror"})
    try:
        await connection.execute(naive.TABLES)
    finally:
        await connection.close()


@dataclass
class _Turn:
    """One of those that are compared, once."""

    bench: Bench
    measured: Measured
    url: str
    topic: str
    batches: list[Rows]
    way: str

    async def take(self) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute("CHECKPOINT")
        finally:
            await connection.close()
        match self.way:
            case "floor":
                self.measured.floor.append(await self._floor())
            case "daemon":
                self.measured.daemon.append(await self._daemon())
            case way:
                self.measured.naive[way].append(await self._naive(way))

    async def _floor(self) -> float:
        async with await connect(self.url) as session:
            await use_microseconds(session.connection)
            return self.measured.records / await copy(session, self.batches)

    async def _daemon(self) -> float:
        config = write_config(
            self.bench.directory / "kafka.toml",
            database=self.url,
            bootstrap=self.bench.bootstrap,
            topic=self.topic,
            group=fresh("daemon"),
            more=f'[history]\nbodies = "{self.measured.workload.bodies}"',
        )
        records = self.measured.records
        async with started("wikimirror run", "wikimirror", "run", "--config", config) as daemon:
            span = await all_durable(self.url, records, daemon)
        return records / span.seconds

    async def _naive(self, way: str) -> float:
        records = min(self.measured.records, _EACH) if way == "each" else self.measured.records
        arguments = (self.url, self.bench.bootstrap, self.topic, fresh(way), way, "--records", str(records))
        async with started(way, "tests.bench.naive", *arguments) as process:
            took = msgspec.json.decode(await process.hear(), type=naive.Took)
        if took.records < records:
            raise Broken(f"{took.records} of {records} records were written: not the work to be measured")
        return took.records / (took.done - took.begun)


def lines(measured: list[Measured]) -> Iterator[str]:
    """The section of docs/benchmarks.md."""
    yield from (
        "## Kafka: from broker to durable row",
        "",
        "Apache Kafka, one `wikimirror run` with default settings, and Postgres: each a process of its own, all",
        f"on this machine. The records are there before the daemon starts, in {kafka_records.PARTITIONS}",
        "partitions. Its time counts from the beginning of its first transaction until all records are durable;",
        "its start is left out. The floor is a COPY of a page, a revision, a ledger and (with bodies) a body row",
        "for each record into tables of the same columns and indexes: nothing is read from Kafka and nothing is",
        "decoded for it. Beside it is what people write today, both without ledger, registers, positions and the",
        "merge law, so a deleted text may come back and their answer depends on the order of records: an aiokafka",
        "consumer that runs one INSERT … ON CONFLICT DO UPDATE a record, for all of its rows at once (measured",
        "over the first records only), and one with executemany and a transaction for each batch of up to 2,000.",
        f"They keep every text. All take turns; each ratio is of one round. The goal is {GOAL}.",
        "",
        (
            "| workload | records | daemon over COPY (median) | of each round | daemon, records/s | COPY, records/s |"
            " one statement a record, records/s | executemany, records/s |"
        ),
        "|---|---|---|---|---|---|---|---|",
    )
    for m in measured:
        yield (
            f"| {m.workload.name} | {m.records:,} | **{statistics.median(m.ratios):.2f}** |"
            f" {' '.join(f'{ratio:.2f}' for ratio in m.ratios)} | {whole(m.daemon)} | {whole(m.floor)} |"
            f" {whole(m.naive['each'])} | {whole(m.naive['many'])} |"
        )
    yield ""
