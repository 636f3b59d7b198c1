"""Publishing a day into a log in real time, and the canaries that show that a topic works."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random

from wikimirror.rehearsal.arrivals import Arrival
from wikimirror.rehearsal.log import Log, milliseconds
from wikimirror.rehearsal.pacing import Publication, rate_of
from wikimirror.rehearsal.simulation import Day
from wikimirror.rehearsal.streams import canary


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
    rate = rate_of(day, seconds=seconds, rate=rate)
    return _IntoLog(day, log, rate, _Times(jitter_ms, same_ms, Random(f"times {seed}")))


class _IntoLog(Publication):
    def __init__(self, day: Day, log: Log, rate: float | None, times: _Times) -> None:
        super().__init__(day, rate)
        self._log, self._times = log, times

    async def _send(self, arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            self._log.append(arrival.topic, arrival.value, self._times.next(arrival.topic))


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
