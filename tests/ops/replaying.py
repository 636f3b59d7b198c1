"""`wikimirror replay` as a process that is stopped in the middle, and what Postgres then says of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from tests.live.program import DEADLINE, PROGRAM
from wikimirror.mirror.connect import connect

_LOOK = 0.02
# Registers and stamps say one thing in two ways, depending on what came in one batch: P2 is about what people see.
_INNER = "'{registers,stamp_clock,stamp_time,stamp_id}'::text[]"
_MIRROR = f"""
SELECT (SELECT md5(string_agg((to_jsonb(p) - {_INNER})::text, ',' ORDER BY wiki_id, page_id)) FROM page p),
       (SELECT md5(string_agg((to_jsonb(r) - {_INNER})::text, ',' ORDER BY wiki_id, rev_id)) FROM revision r),
       (SELECT md5(string_agg(b::text, ',' ORDER BY wiki_id, rev_id, format)) FROM body b),
       (SELECT count(*) FROM change)
"""


class Ended(NamedTuple):
    """How the process ended."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> Any:
        """The JSON that it gave."""
        assert self.out, self.err
        return json.loads(self.out)


class Replaying:
    """The process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def runs(self) -> bool:
        return self._process.returncode is None

    def send(self, sign: signal.Signals) -> None:
        self._process.send_signal(sign)

    async def end(self) -> Ended:
        """Wait for its end."""
        async with asyncio.timeout(DEADLINE):
            out, err = await self._process.communicate()
        return Ended(self._process.returncode or 0, out.decode(), err.decode())


@asynccontextmanager
async def replaying(database_url: str, *arguments: str) -> AsyncIterator[Replaying]:
    """Start `wikimirror replay` with these arguments; what still runs in the end is killed."""
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "replay", *arguments, "--json", "--postgres", database_url,
        env={name: value for name, value in os.environ.items() if not name.startswith(("WIKIMIRROR_", "PG"))},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield Replaying(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until(database_url: str, condition: str, *, within: float = DEADLINE) -> None:
    """Wait until a query, which has one value, gives true."""
    deadline = time.monotonic() + within
    async with await connect(database_url) as session:
        while True:
            async with session.transaction():
                if await session.fetchval(condition):
                    return
            assert time.monotonic() < deadline, f"{within} s without {condition}"
            await asyncio.sleep(_LOOK)


async def rows(database_url: str, query: str) -> list[tuple[Any, ...]]:
    async with await connect(database_url) as session, session.transaction():
        return [tuple(row) for row in await session.fetch(query)]


async def mirror(database_url: str) -> tuple[Any, ...]:
    """What is in the mirror, in a few values."""
    return (await rows(database_url, _MIRROR))[0]
