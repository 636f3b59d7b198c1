"""`make bench`: measures, prints, and writes docs/benchmarks.md. Ratios within one run mean something, rates little."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import asyncpg

from tests.bench import live, memory
from tests.bench.copying import Rows, copy, make_tables, rows_of
from tests.bench.load import Load, edits
from wikimirror.app.running import tune_collector
from wikimirror.merge.law import Law
from wikimirror.mirror.apply import Applier
from wikimirror.mirror.checkpoints import take_over
from wikimirror.mirror.codec import use_microseconds
from wikimirror.mirror.connect import connect
from wikimirror.mirror.embedded import EmbeddedPostgres
from wikimirror.mirror.migrate import upgrade
from wikimirror.model import Advance, Batch, Coordinates, Entry, Lane, Record
from wikimirror.rehearsal import simulate_day
from wikimirror.wire import decode

DOC = Path(__file__).parents[2] / "docs" / "benchmarks.md"
LANE = Lane("bench", "eqiad.mediawiki.page_change.v1", 0)
GOAL = 0.7


@dataclass(frozen=True)
class Workload:
    """What is applied, and in which batches."""

    name: str
    changes: int
    body_bytes: int
    batch: int
    bodies: Literal["current", "all"]


@dataclass
class Measured:
    """Runs of one workload, in changes a second: the bare COPY and apply, in turns."""

    workload: Workload
    floor: list[float] = field(default_factory=list)
    apply: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Apply over the COPY of the same round."""
        return [a / f for a, f in zip(self.apply, self.floor, strict=True)]


WORKLOADS = (
    Workload("small changes", 40_000, 0, 2000, "current"),
    Workload("small changes, batches of 200", 20_000, 0, 200, "current"),
    Workload("8 KB bodies, every text kept", 10_000, 8192, 1000, "all"),
    Workload("8 KB bodies, current texts kept", 10_000, 8192, 1000, "current"),
)


async def measure(server: EmbeddedPostgres, workload: Workload, rounds: int) -> Measured:
    """Each round in a database of its own; COPY and apply change places from round to round."""
    load = edits(workload.changes, workload.body_bytes)
    starts = range(0, workload.changes, workload.batch)
    batches = [rows_of(load, start, start + workload.batch) for start in starts]
    measured = Measured(workload)
    for number in range(rounds):
        url = await _database(server, f"bench_{number}")
        async with await connect(url) as session:
            await use_microseconds(session.connection)
            await make_tables(session)
        for copies in (number % 2 == 0, number % 2 == 1):
            seconds = await (_time_copy(url, batches) if copies else _time_apply(url, load, workload))
            (measured.floor if copies else measured.apply).append(workload.changes / seconds)
    return measured


async def _time_copy(url: str, batches: list[Rows]) -> float:
    async with await connect(url) as session:
        await use_microseconds(session.connection)
        return await copy(session, batches)


async def _time_apply(url: str, load: Load, workload: Workload) -> float:
    async with await connect(url) as session:
        held = await take_over(session, LANE, "bench")
        applier = Applier(session, Law(bodies=workload.bodies))
        started = time.perf_counter()
        applied = 0
        for start in range(0, workload.changes, workload.batch):
            stop = min(start + workload.batch, workload.changes)
            entries = [Entry(r, c) for r, c in zip(load.records[start:stop], load.changes[start:stop], strict=True)]
            step = Advance(LANE, held.epoch, start, stop)
            result = await applier.apply(Batch(advances=(step,), entries=entries))
            applied += sum(result.applied.values())
        seconds = time.perf_counter() - started
    if applied != workload.changes:
        raise AssertionError(f"{applied} of {workload.changes} changes were applied: not the work to be measured")
    return seconds


async def _database(server: EmbeddedPostgres, name: str) -> str:
    connection = await asyncpg.connect(server.dsn())
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {name}")
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()
    await upgrade(server.dsn(name))
    return server.dsn(name)


def decode_rates(rounds: int) -> dict[str, tuple[int, float, list[float]]]:
    """By dialect: records, their mean size in bytes, and records a second of each round."""
    dialects = {
        "page_change": "mediawiki.page_change.v1",
        "page_content_change": "mediawiki.page_content_change.v1",
        "revision-visibility-change": "mediawiki.revision-visibility-change",
    }
    day = simulate_day(1, 10_000)
    rates: dict[str, tuple[int, float, list[float]]] = {}
    for dialect, stream in dialects.items():
        records = [
            Record(Coordinates("bench", a.topic, 0, a.offset), a.value, a.published)
            for a in day.arrivals
            if a.value is not None and a.topic.endswith(stream)
        ]
        runs = []
        for _ in range(rounds):
            started = time.perf_counter()
            for record in records:
                decode(record)
            runs.append(len(records) / (time.perf_counter() - started))
        rates[dialect] = (len(records), statistics.mean(len(r.value or b"") for r in records), runs)
    return rates


def preamble(server: str) -> list[str]:
    """What all of it was measured on."""
    return [
        "# Benchmarks",
        "",
        "Written by `make bench`; do not edit. Times and rates depend on the machine and on what else it does: compare",
        "ratios, and look at how far rounds differ.",
        "",
        f"{datetime.now(tz=UTC):%Y-%m-%d}; {_machine()}; Python {platform.python_version()}; {server}, fsync on,",
        "over a Unix socket on the same machine.",
        "",
    ]


def applying(measured: list[Measured]) -> list[str]:
    """The section about apply."""
    lines = [
        "## Apply over a bare COPY",
        "",
        "One connection, one process; decoding is not part of it. Each ratio is of one round, apply and COPY in turns.",
        "The floor is a COPY of a page, a revision, a ledger and (with bodies) a body row for each change into tables",
        "of the same columns and indexes, in batches and transactions of the same size. Apply does all it does for",
        f"real: locks, registers, the merge law, ledger, checkpoint. The goal is {GOAL}.",
        "",
        "| workload | changes | batch | ratio (median) | ratio of each round | apply, changes/s | COPY, changes/s |",
        "|---|---|---|---|---|---|---|",
    ]
    for m in measured:
        w = m.workload
        lines.append(
            f"| {w.name} | {w.changes:,} | {w.batch:,} | **{statistics.median(m.ratios):.2f}** |"
            f" {' '.join(f'{ratio:.2f}' for ratio in m.ratios)} | {_rates(m.apply)} | {_rates(m.floor)} |"
        )
    return [
        *lines,
        "",
        "With only current texts kept apply may beat the floor: a text that a later change of the batch supersedes is",
        "never sent.",
        "",
    ]


def decoding(rates: dict[str, tuple[int, float, list[float]]]) -> list[str]:
    """The section about decoding."""
    lines = [
        "## Decoding",
        "",
        "One thread, records of a simulated day, bytes to change.",
        "",
        "| dialect | records | mean size, bytes | records/s of each round | median, µs a record |",
        "|---|---|---|---|---|",
    ]
    for dialect, (count, size, runs) in rates.items():
        median = 1_000_000 / statistics.median(runs)
        lines.append(f"| {dialect} | {count:,} | {size:,.0f} | {_rates(runs)} | {median:.1f} |")
    return [*lines, ""]


def _rates(rates: list[float]) -> str:
    return " ".join(f"{rate:,.0f}" for rate in rates)


def _machine() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, {platform.system()}"


async def main(rounds: int, scale: float) -> str:
    """All measurements; returns the report."""
    tune_collector()
    with tempfile.TemporaryDirectory(prefix="wm-bench-") as path:
        directory = Path(path)
        async with EmbeddedPostgres(directory / "data", fsync=True) as server:

            async def database(name: str) -> str:
                return await _database(server, name)

            connection = await asyncpg.connect(server.dsn())
            version = f"PostgreSQL {await connection.fetchval('SHOW server_version')}"
            await connection.close()
            measured = [await _measure_scaled(server, workload, rounds, scale) for workload in WORKLOADS]
            lived = await live.measure(directory, database, max(1, rounds // 2), scale, _tell)
            remembered = await memory.measure(directory, database, scale, _tell)
    sections = (
        preamble(version),
        live.lines(lived),
        memory.lines(remembered),
        applying(measured),
        decoding(decode_rates(rounds)),
    )
    return "\n".join(line for section in sections for line in section)


async def _measure_scaled(server: EmbeddedPostgres, workload: Workload, rounds: int, scale: float) -> Measured:
    scaled = replace(workload, changes=max(workload.batch, round(workload.changes * scale)))
    result = await measure(server, scaled, rounds)
    _tell(f"{workload.name}: {' '.join(f'{ratio:.2f}' for ratio in result.ratios)} of COPY")
    return result


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=5, help="rounds of each measurement (default 5), half as many of live ones"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="share of the changes, for a quick look (default 1)")
    parser.add_argument("--out", type=Path, default=DOC, help="where to write the report")
    arguments = parser.parse_args()
    text = asyncio.run(main(arguments.rounds, arguments.scale))
    arguments.out.write_text(text)
    _tell(text)
