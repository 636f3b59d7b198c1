"""The daemon within the test's own process, following a simulated wiki: what it does is seen at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from wikimirror.app.demo import expected_of
from wikimirror.app.live import build_daemon, connector, telemetry_of
from wikimirror.app.places import Place
from wikimirror.mirror.connect import connect
from wikimirror.observe.vitals import Vitals
from wikimirror.ops.compare import compare
from wikimirror.ops.demo import Watched
from wikimirror.pipeline.daemon import Daemon
from wikimirror.rehearsal import Day, Log
from wikimirror.settings import Settings, load
from wikimirror.sources import LiveSource

SOURCE = "wiki"
DEADLINE = 30.0
RETENTION = "1h"


def settings_for(wiki: str, postgres: str, **more: Any) -> Settings:
    """Following the service at one URL into the Postgres at another. `more`: keys of the source, or with `__` any."""
    source = {
        "type": "eventstreams",
        "url": wiki,
        "start": "earliest",
        "retention": RETENTION,
        "overlap": "1s",
        "idle_timeout": "5s",
        **{key: value for key, value in more.items() if "__" not in key},
    }
    others = {key.replace("__", "."): value for key, value in more.items() if "__" in key}
    return load(
        flags={
            "postgres.url": postgres,
            "http.contact": "tests@example.org",
            "retry.longest": "500ms",
            "lease.duration": "2s",
            "admin.listen": "off",
            **{f"sources.{SOURCE}.{key}": value for key, value in source.items()},
            **others,
        }
    )


@dataclass
class Following:
    """A daemon at work."""

    settings: Settings
    daemon: Daemon
    source: Watched
    vitals: Vitals
    verdict: Callable[[], Any]
    task: asyncio.Task[None]

    async def until(self, holds: Callable[[], bool], seconds: float = DEADLINE) -> None:
        """Wait until something holds. Raises what ended the daemon before."""
        async with asyncio.timeout(seconds):
            while not holds():  # of most of it no event tells
                if self.task.done():
                    self.task.result()
                    raise AssertionError("the daemon has ended")
                await asyncio.sleep(0.005)

    async def drained(self) -> None:
        """Stop it in good order. What it read is accounted for."""
        self.daemon.stop()
        async with asyncio.timeout(DEADLINE):
            await self.task
        accounts = self.vitals.accounts
        assert (accounts.unaccounted, accounts.in_flight, accounts.given_back) == (0, 0, 0)

    async def reaches(self, log: Log, seconds: float = DEADLINE) -> None:
        """Wait until all that is in the log is durable."""
        try:
            await self.until(lambda: self.source.has(log.ends), seconds)
        except TimeoutError:
            print("DEBUG", log.ends, self.source._reached, self.vitals.accounts)
            raise


@asynccontextmanager
async def following(settings: Settings) -> AsyncIterator[Following]:
    """A daemon as `run` builds it, until it is left."""
    telemetry = telemetry_of(settings)
    watched: list[Watched] = []

    def watch(source: LiveSource) -> LiveSource:
        watched.append(Watched(source))
        return watched[-1]

    assert settings.postgres.url is not None
    place = Place(settings.postgres.url.get_secret_value(), embedded=False)
    daemon = build_daemon(settings, connector(settings, place), telemetry, wrap=watch)
    task = asyncio.create_task(daemon.run(), name="daemon")
    try:
        yield Following(
            settings, daemon, watched[0], telemetry.vitals[SOURCE], lambda: telemetry.verdicts()[SOURCE], task
        )
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()


async def assert_equal(settings: Settings, url: str, day: Day, log: Log) -> None:
    """The mirror at `url` is what the day's truth says, every position is at its topic's end, each change is in once."""
    async with await connect(url) as session:
        comparison = await compare(session, expected_of(settings, day.truth))
        assert comparison.differences == []
        assert comparison.forbidden_found == 0
        async with session.transaction():
            positions = {row[0]: row[1] for row in await session.fetch("SELECT topic, position FROM checkpoint")}
            twice = await session.fetch("SELECT change_id FROM change GROUP BY 1 HAVING count(*) > 1")
    assert positions == {**dict.fromkeys(positions, 0), **log.ends}
    assert twice == []
