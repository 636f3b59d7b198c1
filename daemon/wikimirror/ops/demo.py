"""A rehearsal: the daemon follows a simulated day live, until all of it is durable."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, Protocol

from wikimirror.ops.reports import Freshness, OnProgress
from wikimirror.pipeline.daemon import Daemon
from wikimirror.pipeline.pipeline import Durable

_LOOK: Final = 0.5
"""Seconds between two tellings of progress."""
_MOST: Final = 0.99


class Upstream(Protocol):
    """A day on its way to whoever reads it."""

    @property
    def done(self) -> bool:
        """Whether nothing more will come. Raises what ended it before."""
        ...

    @property
    def total(self) -> int:
        """Records of the whole day."""
        ...

    @property
    def ends(self) -> Mapping[tuple[str, int], int]:
        """By topic and partition: the position after the last record that a reader can get."""
        ...

    def hurry(self) -> None:
        """Publish the rest at once."""
        ...


class Watch:
    """How much of a source is durable, and how fresh its changes were when they became so."""

    def __init__(self) -> None:
        self._reached: dict[tuple[str, int], int] = {}
        self._seconds: list[float] = []
        self.changed = asyncio.Event()

    def note(self, durable: Durable) -> None:
        """Take a batch in, and tell whoever waits."""
        for lane, position in durable.positions.items():
            self._reached[lane.topic, lane.partition] = position.offset
        self._seconds += [seconds for _, seconds in durable.fresh]
        self.changed.set()

    @property
    def durable(self) -> int:
        """About how many records are durable: offsets that no reader gets count too."""
        return sum(self._reached.values())

    def has(self, ends: Mapping[tuple[str, int], int]) -> bool:
        """Whether everything before these positions, by topic and partition, is durable."""
        return all(self._reached.get(place, 0) >= end for place, end in ends.items())

    @property
    def freshness(self) -> Freshness | None:
        """Of all changes so far; None: there were none."""
        if not self._seconds:
            return None
        ordered = sorted(self._seconds)
        return Freshness(statistics.median(ordered), ordered[round(_MOST * (len(ordered) - 1))])


async def follow_to_the_end(
    daemon: Daemon, watch: Watch, upstream: Upstream, on_progress: OnProgress, stop: Callable[[], bool]
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
            if upstream.done and watch.has(upstream.ends):
                daemon.stop()
                break
            watch.changed.clear()
            changed = asyncio.create_task(watch.changed.wait())
            await asyncio.wait({running, changed}, timeout=_LOOK, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
            seconds = time.monotonic() - begun
            durable = min(watch.durable, upstream.total)
            on_progress(durable, upstream.total, durable / max(seconds, 1e-6))
        await running
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait({running})
    return time.monotonic() - begun
