"""The processes that the live benchmarks are made of: the simulated service, and a daemon that follows it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from tests.bench.upstream import Done, Order

REPO: Final = Path(__file__).parents[2]
_PATIENCE: Final = 120.0
"""Seconds that anything may take."""
_LIMIT: Final = 2**26
"""Bytes of a line: what a follower measured."""


class Broken(Exception):
    """A process of a benchmark ended, or did not answer."""


class Process:
    """A Python process that answers in lines."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self._process = process
        self.name = name

    @property
    def pid(self) -> int:
        """The system's number of it."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    def say(self, line: bytes) -> None:
        """Write a line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + b"\n")

    async def hear(self) -> bytes:
        """The next line of its standard output. Raises Broken."""
        assert self._process.stdout is not None
        async with asyncio.timeout(_PATIENCE):
            line = await self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise Broken(f"{self.name} ended with {await self._process.wait()}")
        return line

    async def stop(self) -> None:
        """Ask it to end, and wait for that."""
        if self.running:
            self._process.terminate()
        await self._process.wait()


@asynccontextmanager
async def started(name: str, *arguments: str | Path) -> AsyncGenerator[Process]:
    """Run `python -m …`, and end it when left."""
    process = Process(
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LIMIT,
            cwd=REPO,
        ),
        name,
    )
    try:
        yield process
    finally:
        await process.stop()


class Upstream:
    """The simulated service: see tests/bench/upstream.py."""

    def __init__(self, process: Process, url: str) -> None:
        self._process = process
        self.url = url

    async def publish(self, order: Order) -> Done:
        """Carry an order out."""
        self._process.say(msgspec.json.encode(order))
        return msgspec.json.decode(await self._process.hear(), type=Done)


@asynccontextmanager
async def upstream(*flags: str) -> AsyncGenerator[Upstream]:
    """The simulated service, with these flags."""
    async with started("the simulated service", "tests.bench.upstream", *flags) as process:
        yield Upstream(process, msgspec.json.decode(await process.hear(), type=Done).url)


def write_config(path: Path, *, database: str, service: str, start: str, streams: Sequence[str] = ()) -> Path:
    """Settings as a user has them, all else by default; `streams` likewise if none are named."""
    named = f"streams = {list(streams)}" if streams else ""
    path.write_text(
        f"""
        [http]
        contact = "bench@example.org"
        [postgres]
        url = "{database}"
        [log]
        level = "warning"
        [admin]
        listen = "off"
        [sources.bench]
        type = "eventstreams"
        url = "{service}"
        start = "{start}"
        {named}
        """
    )
    return path
