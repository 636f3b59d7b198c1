"""Daemons of one group, started, replaced and waited for; and records for them to share."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import asyncpg
import msgspec

from tests.bench.kafka_parts import LOOK, Bench, write_config
from tests.bench.load import edits
from tests.bench.processes import Broken, Process, started
from wikimirror.model import Change, PageKey

_PATIENCE: Final = 120.0
_WRITERS: Final = (
    "SELECT writer, count(*)::int AS lanes FROM wikimirror.checkpoint WHERE writer IS NOT NULL GROUP BY writer"
)


def spread(count: int, first: int = 1) -> list[Change]:
    """Creations of pages without favourites, so that all partitions get as many."""
    return [_renumbered(change, first + number) for number, change in enumerate(edits(count).changes)]


def _renumbered(change: Change, number: int) -> Change:
    return msgspec.structs.replace(
        change,
        identity=number.to_bytes(16, "big"),
        page=PageKey("enwiki", number),
        rev_id=number,
        parent_rev_id=0,
        title=f"Page number {number}",
        url=f"https://en.wikipedia.org/wiki/Page_number_{number}",
    )


@asynccontextmanager
async def members(bench: Bench, url: str, topic: str, group: str, names: list[str | None]) -> AsyncGenerator[Members]:
    """Daemons of one group, one for each name: a static member's, or None."""
    async with AsyncExitStack() as stack:
        found = Members(bench, url, topic, group, stack)
        for name in names:
            await found.start(name)
        yield found


class Members:
    """The daemons of a group."""

    def __init__(self, bench: Bench, url: str, topic: str, group: str, stack: AsyncExitStack) -> None:
        self._bench, self._url, self._topic, self._group, self._stack = bench, url, topic, group, stack
        self._numbers = itertools.count(1)
        self.running: list[Process] = []

    async def start(self, name: str | None) -> Process:
        """Start one more."""
        path = self._bench.directory / f"member-{next(self._numbers)}.toml"
        more = "" if name is None else f'member_id = "{name}"'
        write_config(
            path, database=self._url, bootstrap=self._bench.bootstrap, topic=self._topic, group=self._group, more=more
        )
        process = await self._stack.enter_async_context(
            started(f"daemon {name or ''}", "wikimirror", "run", "--config", path)
        )
        self.running.append(process)
        return process

    async def replace(self, old: Process, name: str | None) -> None:
        """Stop one with SIGTERM, wait until it is gone, start it anew."""
        await old.stop()
        self.running.remove(old)
        await self.start(name)

    def require_running(self) -> None:
        """Raise Broken if one has ended that nobody stopped."""
        for process in self.running:
            if not process.running:
                raise Broken(f"{process.name} ended")

    async def settled(self, lanes: int) -> dict[int, int]:
        """Wait until each of the running processes holds lanes, and together so many; lanes by process id."""
        connection = await asyncpg.connect(self._url)
        try:
            async with asyncio.timeout(_PATIENCE):
                while True:
                    writers = {row["writer"]: row["lanes"] for row in await connection.fetch(_WRITERS)}
                    # A writer is named for its host, its process id and a random part.
                    held = {int(writer.split("/")[1]): lanes for writer, lanes in writers.items()}
                    alive = {process.pid for process in self.running}
                    if held.keys() == alive and len(writers) == len(alive) and sum(writers.values()) == lanes:
                        return held
                    self.require_running()
                    await asyncio.sleep(LOOK)
        finally:
            await connection.close()
