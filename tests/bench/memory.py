"""Resident memory of `wikimirror run` over an hour's records at full speed, large ones among them. Linux only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

from tests.bench.live import LEAST, NewDatabase
from tests.bench.machine import resident, tells
from tests.bench.processes import Broken, Process, Upstream, started, upstream, write_config
from tests.bench.upstream import Order
from wikimirror.rehearsal.streams import STREAMS

GOAL_MB: Final = 200
RECORDS: Final = 72_000
"""An hour of Wikimedia's, at 20 a second."""
LARGE_EVERY: Final = 500
LARGE_BYTES: Final = 3_000_000
_LOOK: Final = 0.05
_PATIENCE: Final = 180.0
_APPLIED: Final = "SELECT count(*) FROM wikimirror.change WHERE outcome = 'applied'"
_DURABLE: Final = "SELECT coalesce(sum(position), 0)::bigint FROM wikimirror.checkpoint"


@dataclass
class Memory:
    """What the daemon took of memory, in MB."""

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


async def measure(directory: Path, database: NewDatabase, scale: float, tell: Callable[[str], None]) -> Memory | None:
    """One run of the command; None where the system does not tell of a process's memory."""
    if not tells():
        return None
    flags = ("--texts", "--large-every", str(LARGE_EVERY), "--large-bytes", str(LARGE_BYTES))
    url = await database("memory")
    async with upstream(*flags) as service:
        path = directory / "memory.toml"
        config = write_config(path, database=url, service=service.url, start="latest", streams=STREAMS)
        async with started("wikimirror run", "wikimirror", "run", "--config", config) as daemon:
            memory = await _watch(daemon, service, url, max(LARGE_EVERY, round(RECORDS * scale)))
    tell(f"memory: {memory.before:.0f} MB before, at most {memory.peak:.0f}, {memory.after:.0f} after")
    return memory


async def _watch(daemon: Process, service: Upstream, url: str, records: int) -> Memory:
    while not (await service.publish(Order(records=0))).readers:
        await asyncio.sleep(_LOOK)
    before, begun, samples = resident(daemon.pid), time.monotonic(), list[float]()
    publishing = asyncio.create_task(service.publish(Order(records=records, by_reader=True)))
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(_PATIENCE):
            while not publishing.done() or await connection.fetchval(_DURABLE) < publishing.result().ends:
                samples.append(resident(daemon.pid))
                await asyncio.sleep(_LOOK)
        seconds, after = time.monotonic() - begun, resident(daemon.pid)
        applied = await connection.fetchval(_APPLIED)
    finally:
        publishing.cancel()
        await connection.close()
    if applied < LEAST * records:
        raise Broken(f"{applied} of {records} records were applied: not the work to be measured")
    return Memory(
        records=records,
        before=before,
        peak=resident(daemon.pid, "VmHWM"),
        median=sorted(samples)[len(samples) // 2],
        after=after,
        seconds=seconds,
    )


def lines(memory: Memory | None) -> Iterator[str]:
    """The section of docs/benchmarks.md."""
    yield from ("## Memory", "")
    if memory is None:
        yield from ("Not measured: this system does not tell.", "")
        return
    yield from (
        f"`wikimirror run` with default settings over {memory.records:,} records at full speed ({RECORDS:,} are an",
        f"hour of Wikimedia's): page_content_change's of a simulated day. One in {LARGE_EVERY} has a text of",
        f"{LARGE_BYTES / 1e6:.0f} MB with a character beyond the Basic Multilingual Plane, for which Python takes four",
        f"bytes for each character of it. The goal is {GOAL_MB} MB.",
        "",
        "| resident, MB | |",
        "|---|---|",
        f"| connected, nothing read | {memory.before:.0f} |",
        f"| at most (VmHWM) | **{memory.peak:.0f}** |",
        f"| median while it works | {memory.median:.0f} |",
        f"| all durable | {memory.after:.0f} |",
        "",
        f"It took {memory.seconds:.0f} s. `memory.bytes` is 32 MiB, `apply.batch_bytes` 8 MiB.",
        "",
    )
