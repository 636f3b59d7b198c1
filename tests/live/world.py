"""A simulated wiki that is served over HTTP, and the settings of daemons that follow it."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from wikimirror.rehearsal import STREAMS, WIKIS, Day, EventStreamsServer, Log, Publication, publish, simulate_day

SOURCE: Final = "wiki"
_numbers = itertools.count(1)


@lru_cache(maxsize=1)
def a_day(seed: int, actions: int) -> Day:
    """Simulating takes its time, so tests that follow each other share it."""
    return simulate_day(seed, actions, out_of_scope=True)


@dataclass
class World:
    """A day, the log into which it is published, the server, and an empty mirror."""

    day: Day
    log: Log
    server: EventStreamsServer
    database_url: str
    directory: Path
    begun: Publication | None = None

    @property
    def publication(self) -> Publication:
        """The one that has begun."""
        assert self.begun is not None
        return self.begun

    def publish(self, rate: float) -> None:
        """Begin to publish the day, so many records a second."""
        self.begun = publish(self.day, self.log, rate=rate)

    async def published(self) -> None:
        """Publish the rest at once."""
        self.publication.hurry()
        await self.publication

    def config(self, **sections: Mapping[str, Any]) -> Path:
        """A settings file for this wiki and mirror; keys of sections replace what it has."""
        settings: dict[str, dict[str, Any]] = {
            "http": {"contact": "tests@example.org"},
            "postgres": {"url": self.database_url},
            "scope": {"wikis": list(WIKIS)},
            "admin": {"listen": "127.0.0.1:0"},
            "log": {"level": "debug"},
            "retry": {"longest": "500ms"},
            f"sources.{SOURCE}": {
                "type": "eventstreams",
                "url": self.server.url,
                "streams": list(STREAMS),
                "start": "earliest",
                "retention": "1h",
                "overlap": "500ms",
                "idle_timeout": "20s",
            },
        }
        for name, keys in sections.items():
            place = f"sources.{SOURCE}" if name == "source" else name
            settings[place] = {**settings.get(place, {}), **keys}
        path = self.directory / f"settings-{next(_numbers)}.toml"
        path.write_text("".join(_table(name, keys) for name, keys in settings.items()), encoding="utf-8")
        return path


@asynccontextmanager
async def serve(day: Day, database_url: str, directory: Path) -> AsyncIterator[World]:
    """Serve a day that is still to be published."""
    log = Log()
    async with EventStreamsServer(log) as server:
        world = World(day, log, server, database_url, directory)
        try:
            yield world
        finally:
            if world.begun is not None and not world.begun.done:
                world.begun.cancel()
                await asyncio.gather(world.begun, return_exceptions=True)


def _table(name: str, keys: Mapping[str, Any]) -> str:
    # A TOML string, number, boolean or list of them is written as JSON writes it.
    return "\n".join([f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items()), "\n"])
