"""What the parts on Kafka share: a broker of their own, settings for a daemon, and waiting until all is durable."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import asyncpg

from tests.bench.processes import Broken, Process
from wikimirror.rehearsal.broker import KafkaBroker
from wikimirror.rehearsal.broker_home import find_java, find_kafka, outside_broker

SOURCE: Final = "bench"
LOOK: Final = 0.02
_PATIENCE: Final = 300.0
"""Seconds that anything may take."""
_numbers = itertools.count(1)

NewDatabase = Callable[[str], Awaitable[str]]
"""Makes a migrated database of that name, and gives its URL."""
Tell = Callable[[str], None]


class Bench(NamedTuple):
    """Where a part works: a directory, its databases and its broker."""

    directory: Path
    database: NewDatabase
    bootstrap: str
    tell: Tell


def is_there() -> bool:
    """Whether a Kafka can be had."""
    return outside_broker() is not None or (find_kafka() is not None and find_java() is not None)


@asynccontextmanager
async def broker(directory: Path) -> AsyncGenerator[str]:
    """The bootstrap servers of a Kafka: a private one, or the one that $KAFKA_BOOTSTRAP names."""
    outside = outside_broker()
    if outside is not None:
        yield outside
        return
    async with KafkaBroker(directory / "kafka") as started:
        yield started.bootstrap


def fresh(name: str) -> str:
    """A name that no topic and no group had before."""
    return f"{name}-{time.time_ns()}-{next(_numbers)}"


def write_config(path: Path, *, database: str, bootstrap: str, topic: str, group: str, more: str = "") -> Path:
    """Settings as a user has them, all else by default. `more`: further keys of the source, then further sections."""
    path.write_text(
        f"""
        [postgres]
        url = "{database}"
        [log]
        level = "warning"
        [admin]
        listen = "off"
        [sources.{SOURCE}]
        type = "kafka"
        bootstrap_servers = ["{bootstrap}"]
        topics = ["{topic}"]
        group = "{group}"
        {more}
        """
    )
    return path


class Span(NamedTuple):
    """From the first transaction of a run to the moment all is durable. Seconds since the epoch."""

    begun: float
    done: float

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.done - self.begun


_POSITIONS: Final = "SELECT coalesce(sum(position), 0)::bigint FROM wikimirror.checkpoint"
_BEGUN: Final = "SELECT extract(epoch FROM min(applied))::float8 FROM wikimirror.change"
_APPLIED: Final = "SELECT count(*) FROM wikimirror.change WHERE outcome = 'applied'"


async def all_durable(url: str, records: int, *daemons: Process) -> Span:
    """Wait until the positions say that so many records are durable; all of them must have been applied, once.

    Raises Broken where a daemon ends meanwhile, or something else was done than the work to be measured.
    """
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(_PATIENCE):
            while await connection.fetchval(_POSITIONS) < records:
                for daemon in daemons:
                    if not daemon.running:
                        raise Broken(f"{daemon.name} ended")
                await asyncio.sleep(LOOK)
        done = time.time()
        applied = await connection.fetchval(_APPLIED)
        if applied != records:
            raise Broken(f"{applied} of {records} records were applied: not the work to be measured")
        return Span(await connection.fetchval(_BEGUN), done)
    finally:
        await connection.close()
