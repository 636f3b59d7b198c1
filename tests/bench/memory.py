"""Resident memory of `wikimirror run` over an hour's records at full speed, large ones among them. Linux only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

from tests.bench.live import NewDatabase
from tests.bench.processes import Process, Upstream, started, upstream, write_config
from tests.bench.upstream import Order
from wikimirror.rehearsal.streams import STREAMS

GOAL_MIB: Final = 200
RECORDS: Final = 72_000
"""An hour of Wikimedia's, at 20 a second."""
LARGE_EVERY: Final = 500
LARGE_BYTES: Final = 3_000_000
_LOOK: Final = 0.05
_PATIENCE: Final = 180.0
_DURABLE: Final = "SELECT coalesce(sum(position), 0)::bigint FROM wikimirror.checkpoint"


@dataclass
class Memory:
    """What the daemon took of memory, in MiB."""

    records: int
    before: float
    """Connected, nothing read."""
    peak: float
    """By the kernel's own account (VmHWM)."""
    median: float
    """Of samples while it worked."""
    after: float
    """All durable."""
    seconds: float


async def measure(directory: Path, database: NewDatabase, records: int, tell: Callable[[str], None]) -> Memory | None:
    """One run of the command; None where the system does not tell of a process's memory."""
    if not Path("/proc/self/status").exists():
        return None
    flags = ("--texts", "--large-every", str(LARGE_EVERY), "--large-bytes", str(LARGE_BYTES))
    url = await database("memory")
    async with upstream(*flags) as service:
        streams = f"streams = {list(STREAMS)}"
        config = write_config(
            directory / "memory.toml", database=url, service=service.url, start="latest", streams=streams
        )
        async with started("wikimirror run", "wikimirror", "run", "--config", config) as daemon:
            memory = await _watch(daemon, service, url, records)
    tell(f"memory: {memory.before:.0f} MiB before, at most {memory.peak:.0f}, {memory.after:.0f} after")
    return memory


async def _watch(daemon: Process, service: Upstream, url: str, records: int) -> Memory:
    while not (await service.publish(Order(records=0))).readers:
        await asyncio.sleep(_LOOK)
    before, begun, samples = _resident(daemon), time.monotonic(), list[float]()
    publishing = asyncio.create_task(service.publish(Order(records=records, by_reader=True)))
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(_PATIENCE):
            while not publishing.done() or await connection.fetchval(_DURABLE) < publishing.result().ends:
                samples.append(_resident(daemon))
                await asyncio.sleep(_LOOK)
    finally:
        publishing.cancel()
        await connection.close()
    seconds = time.monotonic() - begun
    return Memory(
        records=records,
        before=before,
        peak=_resident(daemon, "VmHWM"),
        median=sorted(samples)[len(samples) // 2],
        after=_resident(daemon),
        seconds=seconds,
    )


def _resident(process: Process, of: str = "VmRSS") -> float:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
    return int(status[of].split()[0]) / 1024


def lines(memory: Memory | None) -> Iterator[str]:
    """The section of docs/benchmarks.md."""
    yield from ("## Memory", "")
    if memory is None:
        yield from ("Not measured: this system does not tell.", "")
        return
    yield from (
        f"`wikimirror run` with default settings over {memory.records:,} records (an hour of Wikimedia's) at full speed,",
        f"page_content_change's of a simulated day; one in {LARGE_EVERY} has a text of {LARGE_BYTES / 1e6:.0f} MB with a character beyond",
        f"the Basic Multilingual Plane, for which Python takes four bytes a character. The goal is {GOAL_MIB} MiB.",
        "",
        "| resident, MiB | |",
        "|---|---|",
        f"| connected, nothing read | {memory.before:.0f} |",
        f"| at most (VmHWM) | **{memory.peak:.0f}** |",
        f"| median while it works | {memory.median:.0f} |",
        f"| all durable | {memory.after:.0f} |",
        "",
        f"It took {memory.seconds:.0f} s.",
        "",
    )
