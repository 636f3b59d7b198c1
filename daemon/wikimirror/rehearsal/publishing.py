"""Publishing a day into a log in real time, and the canaries that show that a topic works."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from random import Random
from typing import Final

from wikimirror.rehearsal.log import Log, milliseconds
from wikimirror.rehearsal.simulation import Day
from wikimirror.rehearsal.streams import canary

_TICK: Final = 0.005
"""Seconds between two bursts of records, where the pace asks for more than one in that time."""
_BURST: Final = 500
"""Records published without giving way to others."""


def publish(
    day: Day,
    log: Log,
    *,
    seconds: float | None = None,
    rate: float | None = None,
    jitter_ms: int = 0,
    same_ms: float = 0.0,
    seed: int = 0,
) -> Publication:
    """Begin to publish a day's records in reading order, evenly over `seconds` or `rate` a second, or all at once.

    With `jitter_ms` each time of publication is earlier by up to so much, so that times do not always rise. `same_ms`
    is the share of records that have the millisecond of the one before in their topic, besides those that do anyway.
    """
    if seconds is not None and rate is not None:
        raise ValueError("a day is published over some seconds or at some rate, not both")
    if seconds:
        rate = len(day.arrivals) / seconds
    return Publication(day, log, rate, _Times(jitter_ms, same_ms, Random(f"times {seed}")))


class Publication:
    """A day on its way into a log. Await it for its end."""

    def __init__(self, day: Day, log: Log, rate: float | None, times: _Times) -> None:
        self.total = len(day.arrivals)
        self.published = 0
        """Records so far, null records among them."""
        self._day, self._log, self._times = day, log, times
        self._rate = rate
        """Records a second; None: all at once."""
        self._paused = False
        self._told = asyncio.Event()
        self._clock = asyncio.get_running_loop().time
        self._origin = self._clock()
        """When the first record would have been published, had the pace always been what it is."""
        self._task = asyncio.create_task(self._run(), name="publish")

    def __await__(self) -> Generator[object, None, None]:
        return self._task.__await__()

    @property
    def done(self) -> bool:
        """Whether it is over: all is published, or it was cancelled or failed."""
        return self._task.done()

    def hurry(self) -> None:
        """Publish the rest at once, also if paused."""
        self._rate = None
        self.resume()

    def pause(self) -> None:
        """Publish nothing until `resume`."""
        self._paused = True
        self._told.set()

    def resume(self) -> None:
        """Go on at the pace from here."""
        self._paused = False
        if self._rate:
            self._origin = self._clock() - self.published / self._rate
        self._told.set()

    def cancel(self) -> None:
        """Leave the rest unpublished. Who awaits it then gets CancelledError."""
        self._task.cancel()

    async def _run(self) -> None:
        while self.published < self.total:
            due = self._due()
            for arrival in self._day.arrivals[self.published : due]:
                self._log.append(arrival.topic, arrival.value, self._times.next(arrival.topic))
            self.published = max(due, self.published)
            await self._until_next()

    def _due(self) -> int:
        """How many are to be published by now."""
        if self._paused:
            return self.published
        most = min(self.total, self.published + _BURST)
        return most if self._rate is None else min(most, int((self._clock() - self._origin) * self._rate))

    async def _until_next(self) -> None:
        """Until the next one is due, a tick at least; or until told otherwise."""
        self._told.clear()
        delay: float | None = None
        if not self._paused:
            delay = 0.0
            if self._rate is not None:
                next_at = self._origin + (self.published + 1) / self._rate
                delay = max(next_at - self._clock(), min(_TICK, 1 / self._rate))
        if delay == 0.0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(delay):
                await self._told.wait()
        except TimeoutError:
            pass


class _Times:
    """Times of publication, in milliseconds."""

    def __init__(self, jitter_ms: int, same_ms: float, rng: Random) -> None:
        self._jitter_ms, self._same_ms, self._rng = jitter_ms, same_ms, rng
        self._last: dict[str, int] = {}

    def next(self, topic: str) -> int:
        now = milliseconds()
        if self._jitter_ms:
            now -= self._rng.randrange(self._jitter_ms + 1)
        if self._same_ms and self._rng.random() < self._same_ms:
            now = self._last.get(topic, now)
        self._last[topic] = now
        return now


def publish_canaries(log: Log, every: float, *, seed: int = 0) -> asyncio.Task[None]:
    """Put a canary into every topic now and every so many seconds, idle or not, until the task is cancelled.

    The public service does so every hour. It is how a reader tells a topic without news from one that is stuck.
    """
    return asyncio.create_task(_sing(log, every, Random(f"canaries {seed}")), name="canaries")


async def _sing(log: Log, every: float, rng: Random) -> None:
    while True:
        now = milliseconds()
        for stream, topics in log.topics_of.items():
            for topic in topics:
                log.append(topic, canary(stream, now * 1000, rng), now)
        await asyncio.sleep(every)
