"""Where the processor time of a record goes: a sampling profiler over a real run, and the kernel's own account."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

from tests.bench import kafka_records, machine
from tests.bench.flame import Stack, flame_graph, stacks_of
from tests.bench.kafka_parts import LOOK, Bench, all_durable, fresh, write_config
from tests.bench.load import edits
from tests.bench.processes import Broken, started

RECORDS: Final = {"small changes": (60_000, 0), "8 KB bodies": (10_000, 8192)}
"""How many, and the bytes of their texts."""
PICTURE: Final = "flame.svg"
_RATE: Final = 200
"""Looks a second."""
_PATIENCE: Final = 30.0
_WAITS: Final = ("wait (threading.py", "_worker (concurrent/futures")
"""Innermost frames of threads that do nothing."""

DECODE: Final = "decode"
ASSEMBLE: Final = "assemble: scope and merge law"
ROWS: Final = "rows and statements"
POSTGRES_DRIVER: Final = "driver: asyncpg"
KAFKA_DRIVER: Final = "driver: aiokafka"
PIPELINE: Final = "reading, channels, positions"
TELLING: Final = "metrics and logs"
LOOP: Final = "event loop, and what it calls in C"
_PARTS: Final[Mapping[str, str]] = {
    "wikimirror/wire/": DECODE,
    "wikimirror/merge/": ASSEMBLE,
    "wikimirror/pipeline/assemble.py": ASSEMBLE,
    "wikimirror/mirror/": ROWS,
    "wikimirror/observe/": TELLING,
    "wikimirror/": PIPELINE,
    "asyncpg/": POSTGRES_DRIVER,
    "aiokafka/": KAFKA_DRIVER,
    "asyncio/streams.py": KAFKA_DRIVER,
    "cramjam": KAFKA_DRIVER,
}
"""By the beginning of a frame's path; the innermost frame that is here tells the part."""
_EVERYBODYS: Final = "wikimirror/model.py"
"""What all parts use: the part that calls it tells."""
PARTS: Final = (DECODE, ASSEMBLE, ROWS, POSTGRES_DRIVER, KAFKA_DRIVER, PIPELINE, TELLING, LOOP)


@dataclass
class Spent:
    """Seconds of processor time of one run."""

    workload: str
    records: int
    parts: dict[str, float]
    """The daemon's."""
    backends: float
    """Postgres's processes that serve the daemon."""
    others: float
    """Postgres's other processes: they write the log and the tables."""
    samples: int

    @property
    def daemon(self) -> float:
        """All of the daemon's."""
        return sum(self.parts.values())


async def measure(bench: Bench, scale: float, pictures: Path) -> list[Spent]:
    """A run of each workload; the first one's flame graph is written. Empty where the profiler may not look."""
    if not machine.tells():
        return []
    found: list[Spent] = []
    for name, (records, body_bytes) in RECORDS.items():
        count = max(1000, round(records * scale))
        run = await _run(bench, name, count, body_bytes)
        if run is None:
            bench.tell("NOT MEASURED: py-spy may not look into the daemon here: it needs the right to trace processes")
            return []
        spent, stacks = run
        if not found:
            title = f"wikimirror run on Kafka, {name}: {spent.samples:,} samples"
            pictures.mkdir(exist_ok=True)
            (pictures / PICTURE).write_text(flame_graph(stacks, title))
        found.append(spent)
        bench.tell(
            f"processor, {name}: {_micro(spent.daemon, spent)} µs a record, Postgres {_micro(spent.backends, spent)}"
        )
    return found


async def _run(bench: Bench, name: str, count: int, body_bytes: int) -> tuple[Spent, Counter[Stack]] | None:
    topic, url = fresh("processor"), await bench.database("processor")
    await kafka_records.make_topic(bench.bootstrap, topic)
    await kafka_records.fill(bench.bootstrap, topic, kafka_records.keyed(edits(count, body_bytes).changes))
    config = write_config(
        bench.directory / "processor.toml", database=url, bootstrap=bench.bootstrap, topic=topic, group=fresh("spy")
    )
    raw = bench.directory / "stacks"
    connection = await asyncpg.connect(url)
    try:
        async with started("wikimirror run", "wikimirror", "run", "--config", config) as daemon:
            async with _held_up(connection):
                spy = await _spy(daemon.pid, raw)
                if spy is None:
                    return None
                before = await _account(connection, daemon.pid)
            await all_durable(url, count, daemon)
            after = await _account(connection, daemon.pid)
            # The daemon must live as long as it is looked at.
            spy.send_signal(signal.SIGINT)
            await asyncio.wait_for(spy.wait(), _PATIENCE)
    finally:
        await connection.close()
    stacks = Counter({stack: count for stack, count in stacks_of(raw.read_text()).items() if not _waits(stack)})
    daemon_seconds, backends, others = (late - early for late, early in zip(after, before, strict=True))
    seen = Counter[str]()
    for stack, times in stacks.items():
        seen[part_of(stack)] += times
    samples = max(1, seen.total())
    parts = {part: daemon_seconds * seen[part] / samples for part in PARTS}
    return Spent(name, count, parts, backends, others, samples), stacks


@asynccontextmanager
async def _held_up(connection: asyncpg.Connection) -> AsyncGenerator[None]:
    """Until left, a daemon that starts stands before the first thing it writes: so its start is left out."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute("LOCK TABLE wikimirror.checkpoint IN ACCESS EXCLUSIVE MODE")
        async with asyncio.timeout(_PATIENCE):
            while not await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                await asyncio.sleep(LOOK)
        yield
    finally:
        await transaction.rollback()


async def _spy(pid: int, raw: Path) -> asyncio.subprocess.Process | None:
    """A profiler that looks at a process from now on; None where it may not."""
    program = Path(sys.executable).parent / "py-spy"
    options = ("record", "--pid", str(pid), "--rate", str(_RATE), "--format", "raw", "--output", str(raw))
    try:
        spy = await asyncio.create_subprocess_exec(
            program, *options, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
    except FileNotFoundError as error:
        raise Broken(f"{program} is missing: make install") from error
    assert spy.stdout is not None
    async with asyncio.timeout(_PATIENCE):
        while line := await spy.stdout.readline():
            if b"Sampling" in line:
                return spy
    await spy.wait()
    return None


async def _account(connection: asyncpg.Connection, daemon: int) -> tuple[float, float, float]:
    """Processor time so far: the daemon's, that of its backends, that of the rest of Postgres but ourselves."""
    rows = await connection.fetch(
        "SELECT pid, application_name LIKE 'wikimirror %' AS serves FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    )
    backends = sum(machine.processor(row["pid"]) for row in rows if row["serves"])
    others = sum(machine.processor(row["pid"]) for row in rows if not row["serves"])
    return machine.processor(daemon), backends, others


def part_of(stack: Stack) -> str:
    """What a stack was at work on: its innermost frame that tells."""
    for frame in reversed(stack):
        place = frame.rpartition("(")[2]
        if place.startswith(_EVERYBODYS):
            continue
        for prefix, part in _PARTS.items():
            if place.startswith(prefix):
                # The frame that runs the event loop is the program's own.
                return LOOP if "app/running.py" in place else part
    return LOOP


def _waits(stack: Stack) -> bool:
    return any(each in stack[-1] for each in _WAITS)


def lines(spent: list[Spent]) -> Iterator[str]:
    """The section of docs/benchmarks.md."""
    yield from ("## Processor time by part", "")
    if not spent:
        yield from ("NOT MEASURED: py-spy may not look into other processes on this machine.", "")
        return
    head = " | ".join(f"{each.workload} ({each.records:,})" for each in spent)
    yield from (
        "Seconds of processor time for a million records of a Kafka backlog: `wikimirror run` with default",
        "settings, its start left out. The daemon's and Postgres's sums are the kernel's; the daemon's is divided",
        f"among its parts as a sampling profiler (py-spy, {_RATE} looks a second) found it at work on them. What a",
        "library in C does within a call of ours counts for the library; what it does when the event loop calls",
        "it cannot be told from the loop.",
        "",
        f"| part | {head} |",
        f"|---|{'---|' * len(spent)}",
    )
    for part in PARTS:
        yield f"| {part} | {' | '.join(_micro(each.parts[part], each) for each in spent)} |"
    yield f"| **the daemon** | {' | '.join(f'**{_micro(each.daemon, each)}**' for each in spent)} |"
    served = " | ".join(f"**{_micro(each.backends, each)}**" for each in spent)
    yield f"| **Postgres: the daemon's backends** | {served} |"
    yield f"| Postgres: log and table writers | {' | '.join(_micro(each.others, each) for each in spent)} |"
    yield from ("", f"![Flame graph of {spent[0].workload}](pictures/{PICTURE})", "")


def _micro(seconds: float, spent: Spent) -> str:
    """Microseconds a record, which is seconds for a million."""
    return f"{seconds / spent.records * 1e6:.0f}"
