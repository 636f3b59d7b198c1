"""A Postgres that a test may take away, and give back at the same address."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.statements import run
from wikimirror.errors import EmbeddedPostgresError
from wikimirror.mirror.embedded import EmbeddedPostgres

DEADLINE = 30.0
"""Seconds in which it must be back."""


@contextmanager
def own_cluster() -> Iterator[Cluster]:
    """A new one, in a directory with a short name, for the socket's sake."""
    directory = Path(tempfile.mkdtemp(prefix="wm-"))
    try:
        made = Cluster(directory)
        yield made
        made.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


class Cluster:
    """A Postgres of the tests' own, as safe as a real one, that they may take away."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._server = EmbeddedPostgres(directory).start()

    async def database(self, name: str) -> str:
        """The URL of a new empty database."""
        await run(self._server.dsn(), f"CREATE DATABASE {name}")
        return self._server.dsn(name)

    async def end(self, sign: signal.Signals) -> None:
        """End it by a signal, whatever it is at."""
        process = self._server._process
        assert process is not None
        process.send_signal(sign)
        await asyncio.to_thread(process.wait)

    async def start(self) -> None:
        """Start it again at the same address."""
        limit = time.monotonic() + DEADLINE
        self._server = EmbeddedPostgres(self._directory)
        while True:
            try:
                await self._server.start_async()
            except EmbeddedPostgresError:
                # What a killed server leaves behind takes a moment to go.
                assert time.monotonic() < limit
                await asyncio.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        self._server.stop()
