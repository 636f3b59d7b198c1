"""A rehearsal: the daemon follows a simulated day live, until all of it is durable."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from typing import Final, Protocol

from wikimirror.model import Lost, Record
from wikimirror.ops.reports import Freshness, OnProgress
from wikimirror.pipeline.daemon import Daemon
from wikimirror.pipeline.pipeline import Durable
from wikimirror.sources import LiveSource, Positions

_LOOK: Final = 0.5
"""Seconds between two tellings of progress."""
_MOST: Final = 0.99


class Upstream(Protocol):
    """A day on its way to whoever reads it."""

    @property
    def published(self) -> int:
        """Records so far."""
        ...

    @property
    def total(self) -> int:
        """Records of the whole day."""
        ...

    @property
    def ends(self) -> Mapping[str, int]:
        """By topic: the position after the last record that a reader can get."""
        ...

    def hurry(self) -> None:
        """Publish the rest at once."""
        ...


class Watched:
    """A source, with a note of how much of it is durable."""

    def __init__(self, source: LiveSource) -> None:
        self._source = source
        self._reached: dict[str, int] = {}
        self.changed = asyncio.Event()

    @property
    def name(self) -> str:
        """The source's own."""
        return self._source.name

    def starting_positions(self) -> Positions:
        """The source's own."""
        return self._source.starting_positions()

    def read(self, positions: Positions) -> AsyncGenerator[Record | Lost]:
        """The source's own."""
        return self._source.read(positions)

    async def acknowledge(self, positions: Positions) -> None:
        """Note it, and tell whoever waits."""
        self._reached.update({lane.topic: position.offset for lane, position in positions.items()})
        self.changed.set()
        await self._source.acknowledge(positions)

    @property
    def durable(self) -> int:
        """About how many records are durable."""
        return sum(self._reached.values())

    def has(self, ends: Mapping[str, int]) -> bool:
        """Whether everything before these positions is durable."""
        return all(self._reached.get(topic, 0) >= end for topic, end in ends.items())


class Stopwatch:
    """How fresh changes were when they became durable."""

    def __init__(self) -> None:
        self._seconds: list[float] = []

    def note(self, durable: Durable) -> None:
        """Take a batch's changes in."""
        self._seconds += [seconds for _, seconds in durable.fresh]

    @property
    def freshness(self) -> Freshness | None:
        """Of all changes so far; None: there were none."""
        if not self._seconds:
            return None
        ordered = sorted(self._seconds)
        return Freshness(statistics.median(ordered), ordered[round(_MOST * (len(ordered) - 1))])


async def follow_to_the_end(
    daemon: Daemon, source: Watched, upstream: Upstream, on_progress: OnProgress, stop: Callable[[], bool]
) -> float:
    """Run the daemon until all of the day is published and durable, then drain it; returns the seconds that took.

    `stop` tells whether the person at the keyboard wants an end: the rest of the day then comes at once. Raises what
    ended the daemon before.
    """
    begun = time.monotonic()
    running = asyncio.create_task(daemon.run(), name="daemon")
    try:
        while not running.done():
            if stop():
                upstream.hurry()
            if upstream.published == upstream.total and source.has(upstream.ends):
                daemon.stop()
                break
            source.changed.clear()
            changed = asyncio.create_task(source.changed.wait())
            await asyncio.wait({running, changed}, timeout=_LOOK, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
            seconds = time.monotonic() - begun
            on_progress(source.durable, upstream.total, source.durable / max(seconds, 1e-6))
        await running
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait({running})
    return time.monotonic() - begun
