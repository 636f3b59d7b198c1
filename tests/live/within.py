"""The daemon within the test's own process, following a simulated wiki: what it does is seen at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import stamina.instrumentation
import structlog.testing

from tests.live.truth import must_equal
from tests.live.world import SOURCE, World
from wikimirror.app.live import build_daemon, telemetry_of
from wikimirror.app.places import Place
from wikimirror.mirror.connect import connect
from wikimirror.observe.health import Verdict
from wikimirror.observe.telemetry import Telemetry
from wikimirror.observe.vitals import Vitals
from wikimirror.ops.demo import Watch
from wikimirror.pipeline.daemon import Daemon
from wikimirror.pipeline.pipeline import Durable
from wikimirror.rehearsal import Log
from wikimirror.settings import Reloader, Settings, load

DEADLINE = 30.0
"""Seconds that anything may take, unless told otherwise."""


@dataclass
class Following:
    """A daemon at work."""

    daemon: Daemon
    source: Watch
    telemetry: Telemetry
    task: asyncio.Task[None]
    lines: list[Any]
    """What it said, as structlog has it: `event`, `log_level` and more."""
    fresh: list[float]
    """Of each change applied the seconds from publication to durable."""

    @property
    def vitals(self) -> Vitals:
        return self.telemetry.vitals[SOURCE]

    @property
    def verdict(self) -> Verdict:
        return self.telemetry.verdicts()[SOURCE]

    def said(self, event: str, **fields: object) -> list[Any]:
        """All such lines so far."""
        return [line for line in self.lines if line["event"] == event and fields.items() <= line.items()]

    async def until(self, holds: Callable[[], bool], within: float = DEADLINE) -> None:
        """Wait until something holds. Raises what ended the daemon before."""
        async with asyncio.timeout(within):
            while not holds():  # of most of it no event tells
                if self.task.done():
                    self.task.result()
                    raise AssertionError("the daemon has ended")
                await asyncio.sleep(0.005)

    async def gets_on(self) -> None:
        """Wait until something new is durable."""
        before = self.source.durable
        await self.until(lambda: self.source.durable > before)

    async def reaches(self, log: Log, within: float = DEADLINE) -> None:
        """Wait until all that is in the log is durable."""
        ends = {(topic, 0): end for topic, end in log.ends.items()}
        await self.until(lambda: self.source.has(ends), within)

    async def drained(self) -> None:
        """Stop it in good order. What it read is accounted for, and nothing was done twice."""
        self.daemon.stop()
        async with asyncio.timeout(DEADLINE):
            await self.task
        accounts = self.vitals.accounts
        assert (accounts.unaccounted, accounts.in_flight, accounts.given_back) == (0, 0, 0)


@asynccontextmanager
async def following(config: Path) -> AsyncIterator[Following]:
    """A daemon as `run` builds it from a settings file, until it is left. The database must be migrated."""
    settings = load(config)
    telemetry = telemetry_of(settings)
    watch = Watch()
    fresh: list[float] = []

    def note(durable: Durable) -> None:
        watch.note(durable)
        fresh.extend(seconds for _, seconds in durable.fresh)

    # As `observe.logging.configure` does: we tell attempts ourselves.
    stamina.instrumentation.set_on_retry_hooks(())
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        reloader = Reloader(config)
        daemon = build_daemon(settings, place_of(settings), telemetry, reloader=reloader, on_durable=note)
        task = asyncio.create_task(daemon.run(), name="daemon")
        try:
            yield Following(daemon, watch, telemetry, task, lines, fresh)
        finally:
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                task.exception()


def place_of(settings: Settings) -> Place:
    assert settings.postgres.url is not None
    return Place(settings.postgres.url.get_secret_value(), embedded=False)


async def applied_once(database_url: str, *vitals: Vitals) -> None:
    """What the counters say was applied is what the ledger says."""
    async with await connect(database_url) as session, session.transaction():
        applied = await session.fetchval("SELECT count(*) FROM change WHERE outcome = 'applied'")
    assert sum(each.accounts.applied.total() for each in vitals) == applied


async def ends_equal(world: World, daemon: Following, *before: Vitals, set_aside: bool = False) -> None:
    """Publish the rest, wait for it to be durable, drain, and compare. `before`: of daemons that worked before."""
    await world.published()
    await daemon.reaches(world.log)
    await daemon.drained()
    await must_equal(world.database_url, world.day, world.log, set_aside=set_aside)
    await applied_once(world.database_url, daemon.vitals, *before)
