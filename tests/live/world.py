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


@dataclass(kw_only=True)
class Mirrored:
    """A day that is or will be published, and an empty mirror."""

    day: Day
    database_url: str
    directory: Path
    begun: Publication | None = None

    @property
    def publication(self) -> Publication:
        """The one that has begun."""
        assert self.begun is not None
        return self.begun

    async def published(self) -> None:
        """Publish the rest at once."""
        self.publication.hurry()
        await self.publication

    async def end(self) -> None:
        """Publish no more."""
        if self.begun is not None:
            self.begun.cancel()
            await asyncio.gather(self.begun, return_exceptions=True)

    def written(self, source: Mapping[str, Any], sections: Mapping[str, Mapping[str, Any]]) -> Path:
        """A settings file for this mirror and source; keys of sections replace what it has, "source" is the source."""
        settings: dict[str, dict[str, Any]] = {
            "postgres": {"url": self.database_url},
            "scope": {"wikis": list(WIKIS)},
            "admin": {"listen": "127.0.0.1:0"},
            "log": {"level": "debug"},
            "retry": {"longest": "500ms"},
            f"sources.{SOURCE}": dict(source),
        }
        for name, keys in sections.items():
            place = f"sources.{SOURCE}" if name == "source" else name
            settings[place] = {**settings.get(place, {}), **keys}
        path = self.directory / f"settings-{next(_numbers)}.toml"
        path.write_text("".join(_table(name, keys) for name, keys in settings.items()), encoding="utf-8")
        return path


@dataclass(kw_only=True)
class World(Mirrored):
    """A day, the log into which it is published, the server, and an empty mirror."""

    log: Log
    server: EventStreamsServer

    def publish(self, rate: float) -> None:
        """Begin to publish the day, so many records a second."""
        self.begun = publish(self.day, self.log, rate=rate)

    def config(self, **sections: Mapping[str, Any]) -> Path:
        """A settings file for this wiki and mirror; keys of sections replace what it has."""
        source = {
            "type": "eventstreams",
            "url": self.server.url,
            "streams": list(STREAMS),
            "start": "earliest",
            "retention": "1h",
            "overlap": "500ms",
            "idle_timeout": "20s",
        }
        return self.written(source, {"http": {"contact": "tests@example.org"}, **sections})


@asynccontextmanager
async def serve(day: Day, database_url: str, directory: Path) -> AsyncIterator[World]:
    """Serve a day that is still to be published."""
    log = Log()
    async with EventStreamsServer(log) as server:
        world = World(day=day, log=log, server=server, database_url=database_url, directory=directory)
        try:
            yield world
        finally:
            await world.end()


def _table(name: str, keys: Mapping[str, Any]) -> str:
    # A TOML string, number, boolean or list of them is written as JSON writes it.
    return "\n".join([f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items()), "\n"])
