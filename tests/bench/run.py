"""`make bench`: measures, prints, and writes docs/benchmarks.md. Ratios within one run mean something, rates little."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import re
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from tests.bench import (
    applying,
    decoding,
    kafka,
    kafka_memory,
    kafka_parts,
    kafka_rolling,
    kafka_scale,
    live,
    memory,
    processor,
    size,
)
from wikimirror.app.running import tune_collector
from wikimirror.mirror.embedded import EmbeddedPostgres
from wikimirror.mirror.migrate import upgrade
from wikimirror.rehearsal.broker_home import HOW_TO_GET_KAFKA

SECTIONS = ("live", "memory", "apply", "decode", "rows", "kafka", "processor", "kafka-memory", "scale", "rolling")
"""The order of the report, and the names of `--only`."""
ON_KAFKA = frozenset({"kafka", "processor", "kafka-memory", "scale", "rolling"})
DOC = Path(__file__).parents[2] / "docs" / "benchmarks.md"


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


def preamble(server: str) -> list[str]:
    """What all of it was measured on."""
    return [
        "# Benchmarks",
        "",
        "Written by `make bench`; do not edit. Times and rates depend on the machine and on what else it does: compare",
        "ratios, and look at how far rounds differ.",
        "",
        f"{_machine()}; Python {platform.python_version()}; {server}, fsync on,",
        "over a Unix socket on the same machine.",
        "",
    ]


def _machine() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, {platform.system()}"


@dataclass(frozen=True)
class Asked:
    """What is to be measured, and how thoroughly."""

    only: frozenset[str]
    rounds: int
    scale: float
    rows: int
    pictures: Path

    @property
    def few(self) -> int:
        """Rounds of what takes long."""
        return max(1, self.rounds // 2)


async def main(asked: Asked) -> tuple[list[str], dict[str, list[str]]]:
    """All that is asked for; the preamble, and the lines of each section by its name."""
    tune_collector()
    with tempfile.TemporaryDirectory(prefix="wm-bench-") as path:
        directory = Path(path)
        async with EmbeddedPostgres(directory / "data", fsync=True) as server:
            connection = await asyncpg.connect(server.dsn())
            version = f"PostgreSQL {await connection.fetchval('SHOW server_version')}"
            await connection.close()
            sections = await _without_kafka(asked, directory, server)
            sections |= await _with_kafka(asked, directory, server)
    return preamble(version), sections


async def _without_kafka(asked: Asked, directory: Path, server: EmbeddedPostgres) -> dict[str, list[str]]:
    async def database(name: str) -> str:
        return await _database(server, name)

    found: dict[str, list[str]] = {}
    if "apply" in asked.only:
        measured = await applying.measure(database, asked.rounds, asked.scale, _tell)
        found["apply"] = list(applying.lines(measured))
    if "live" in asked.only:
        found["live"] = list(live.lines(await live.measure(directory, database, asked.few, asked.scale, _tell)))
    if "memory" in asked.only:
        found["memory"] = list(memory.lines(await memory.measure(directory, database, asked.scale, _tell)))
    if "decode" in asked.only:
        found["decode"] = list(decoding.lines(decoding.measure(asked.rounds)))
    if "rows" in asked.only:
        rows = await size.measure(database, asked.few + 1, asked.scale, asked.rows, _tell, asked.pictures)
        found["rows"] = list(size.lines(rows))
    return found


async def _with_kafka(asked: Asked, directory: Path, server: EmbeddedPostgres) -> dict[str, list[str]]:
    only, found = asked.only & ON_KAFKA, dict[str, list[str]]()
    if not only:
        return found
    if not kafka_parts.is_there():
        _tell(f"NOT MEASURED, for this machine has no Kafka: {', '.join(sorted(only))}. {HOW_TO_GET_KAFKA}")
        return {
            name: [f"## {name}", "", f"NOT MEASURED, for there was no Kafka: {HOW_TO_GET_KAFKA}.", ""] for name in only
        }

    async def database(name: str) -> str:
        return await _database(server, name)

    async with kafka_parts.broker(directory) as bootstrap:
        bench = kafka_parts.Bench(directory, database, bootstrap, _tell)
        if "kafka" in only:
            found["kafka"] = list(kafka.lines(await kafka.measure(bench, asked.few + 1, asked.scale)))
        if "processor" in only:
            found["processor"] = list(processor.lines(await processor.measure(bench, asked.scale, asked.pictures)))
        if "kafka-memory" in only:
            found["kafka-memory"] = list(kafka_memory.lines(await kafka_memory.measure(bench, asked.scale)))
        if "scale" in only:
            found["scale"] = list(kafka_scale.lines(await kafka_scale.measure(bench, asked.few, asked.scale)))
        if "rolling" in only:
            found["rolling"] = list(kafka_rolling.lines(await kafka_rolling.measure(bench)))
    return found


def report(former: str, beginning: list[str], sections: dict[str, list[str]]) -> str:
    """The whole document. Sections that were not measured now stay as they were, with the day they were measured."""
    today = f"{datetime.now(tz=UTC):%Y-%m-%d}"
    kept = dict(re.findall(r"<!-- (\S+) -->\n(.*?)(?=<!-- |\Z)", former, re.DOTALL))
    for name, lines in sections.items():
        kept[name] = "\n".join((*lines, f"Measured on {today}.", "", ""))
    told = [f"<!-- {name} -->\n{kept[name]}" for name in SECTIONS if name in kept]
    return "\n".join(beginning) + "\n" + "".join(told).rstrip("\n") + "\n"


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rounds",
        type=int,
        default=5,
        help="rounds of each measurement (default 5), half as many of those that are slow",
    )
    parser.add_argument("--scale", type=float, default=1.0, help="share of the changes, for a quick look (default 1)")
    parser.add_argument(
        "--only",
        action="append",
        choices=SECTIONS,
        help="measure this section alone; the others stay (may be repeated)",
    )
    parser.add_argument(
        "--rows", type=int, default=size.MOST, choices=range(size.FIRST, 8), help="rows: up to ten to the power of this"
    )
    parser.add_argument("--out", type=Path, default=DOC, help="where to write the report; pictures go beside it")
    arguments = parser.parse_args()
    asked = Asked(
        only=frozenset(arguments.only or SECTIONS),
        rounds=arguments.rounds,
        scale=arguments.scale,
        rows=arguments.rows,
        pictures=arguments.out.parent / "pictures",
    )
    beginning, sections = asyncio.run(main(asked))
    former = arguments.out.read_text() if arguments.out.exists() else ""
    text = report(former, beginning, sections)
    arguments.out.write_text(text)
    _tell(text)
