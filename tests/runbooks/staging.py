"""How an incident comes about: settings that tell of it soon, a forgotten transaction, records that nobody can read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg

from tests.kafka.world import KafkaWorld
from tests.live.daemon import Daemon
from tests.live.world import World
from wikimirror.rehearsal import Day
from wikimirror.rehearsal.arrivals import Arrival

RATE: Final = 40.0
"""Records a second, so that the day lasts longer than the incident."""
DEADLINE: Final = 30.0
SOON: Final[dict[str, dict[str, Any]]] = {
    "health": {"stalled_after": "4s", "silent_after": "4s", "behind_after": "3s"},
    "postgres": {"lock_timeout": "1s", "statement_timeout": "3s"},
    "lease": {"duration": "2s"},
    "retry": {"longest": "500ms"},
    # What a new connection reads again would mend some of it before the person does.
    "source": {"idle_timeout": "10m"},
}
"""Sections of settings by which trouble is told within seconds, and mended by nobody else."""


def config_of(world: World | KafkaWorld, **sections: Mapping[str, Any]) -> Path:
    """Settings for a world by which trouble is told soon."""
    merged = {name: dict(keys) for name, keys in SOON.items()}
    for name, keys in sections.items():
        merged[name] = {**merged.get(name, {}), **keys}
    if "postgres" in merged:
        merged["postgres"] = {"url": world.database_url, **merged["postgres"]}
    return world.config(**merged)


def admin_of(daemon: Daemon) -> str:
    """Where a daemon answers."""
    return str(daemon.lines("probes and metrics")[0]["url"])


@asynccontextmanager
async def forgotten_transaction(database_url: str) -> AsyncIterator[int]:
    """Somebody has locked `page` and gone to lunch. Gives the process id of that session."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("BEGIN")
        await connection.execute("LOCK TABLE wikimirror.page IN ACCESS EXCLUSIVE MODE")
        yield connection.get_server_pid()
    finally:
        connection.terminate()


async def fetch(url: str, query: str, *arguments: Any) -> list[Any]:
    connection = await asyncpg.connect(url, server_settings={"search_path": "wikimirror"})
    try:
        return [tuple(row) for row in await connection.fetch(query, *arguments)]
    finally:
        await connection.close()


async def until(url: str, query: str, *arguments: Any) -> list[Any]:
    """Wait until the query finds something."""
    async with asyncio.timeout(DEADLINE):
        while not (found := await fetch(url, query, *arguments)):
            await asyncio.sleep(0.1)
    return found


def changes_of(day: Day, kind: str) -> Iterator[tuple[Arrival, dict[str, Any]]]:
    """The day's records of a kind, in order, with what they say."""
    for arrival in day.arrivals:
        if arrival.value is not None:
            record = json.loads(arrival.value)
            if record.get("page_change_kind") == kind:
                yield arrival, record
