"""The pace at which a day is published: so many records a second, or all at once, with pauses and hurry."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from typing import ClassVar, Final

from wikimirror.rehearsal.arrivals import Arrival
from wikimirror.rehearsal.simulation import Day

_TICK: Final = 0.005
"""Seconds between two bursts of records, where the pace asks for more than one in that time."""


def rate_of(day: Day, *, seconds: float | None, rate: float | None) -> float | None:
    """Records a second, said as that or as the seconds that a day is to take; None: all at once.

    Raises ValueError where both are said.
    """
    if seconds is not None and rate is not None:
        raise ValueError("a day is published over some seconds or at some rate, not both")
    return len(day.arrivals) / seconds if seconds else rate


class Publication(ABC):
    """A day on its way to where it is read. Await it for its end. For one asyncio loop."""

    BURST: ClassVar[int] = 500
    """Records published without giving way to others."""

    def __init__(self, day: Day, rate: float | None) -> None:
        """`rate`: records a second; None: all at once."""
        self.total = len(day.arrivals)
        self.published = 0
        """Records so far, null records among them."""
        self._day = day
        self._rate = rate
        self._paused = False
        self._limit = self.total
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

    def result(self) -> None:
        """Raise what ended it, if it failed; it must be over."""
        self._task.result()

    def hurry(self) -> None:
        """Publish the rest at once, also if paused."""
        self._rate = None
        self.resume()

    def hold(self, share: float = 1.0) -> None:
        """Publish up to this share of the day, and wait there until told otherwise; go on at the pace from here."""
        self._limit = round(share * self.total)
        self._from_here()

    def pause(self) -> None:
        """Publish nothing until `resume`."""
        self._paused = True
        self._told.set()

    def resume(self) -> None:
        """Go on at the pace from here."""
        self._paused = False
        self._from_here()

    def cancel(self) -> None:
        """Leave the rest unpublished. Who awaits it then gets CancelledError."""
        self._task.cancel()

    @abstractmethod
    async def _send(self, arrivals: Sequence[Arrival]) -> None:
        """Publish the next records; returns when they are there."""

    async def _run(self) -> None:
        while self.published < self.total:
            due = self._due()
            if due > self.published:
                await self._send(self._day.arrivals[self.published : due])
                self.published = due
            await self._until_next()

    def _from_here(self) -> None:
        if self._rate:
            self._origin = self._clock() - self.published / self._rate
        self._told.set()

    def _due(self) -> int:
        """How many are to be published by now."""
        if self._paused:
            return self.published
        most = min(self._limit, self.published + self.BURST)
        return most if self._rate is None else min(most, int((self._clock() - self._origin) * self._rate))

    async def _until_next(self) -> None:
        """Until the next one is due, a tick at least; or until told otherwise."""
        self._told.clear()
        delay: float | None = None
        if not self._paused and (self.published < self._limit or self.published == self.total):
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
