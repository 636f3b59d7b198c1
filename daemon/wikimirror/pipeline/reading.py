"""Reading a source into a channel: over as many connections as it takes, no further than the budget allows."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from contextlib import aclosing
from typing import Final

from wikimirror.errors import GapFound, SourceRefused, SourceUnavailable, WikimirrorError
from wikimirror.model import Lane, Lost, Position, Record
from wikimirror.observe.logging import get_logger
from wikimirror.observe.vitals import Stage, Vitals, Waiting
from wikimirror.pipeline.channel import OVERHEAD, Budget, Channel
from wikimirror.pipeline.waiting import patiently, pause, resume
from wikimirror.sources import Source, lane_of, position_after

_LOG = get_logger(__name__)
_STEADY: Final = 60.0
"""Seconds. A connection that broke off sooner was no good one."""
_AT_ONCE: Final = 0.5
"""Seconds. One that was ended in good order sooner was not either."""
_FLAPPING: Final = 3
"""After so many such connections in a row it is said aloud, once until one lasts."""
_BREATH: Final = 64
"""Records read without letting other tasks run: a source may have many at hand."""


def size_of(record: Record) -> int:
    """Bytes that a record in flight counts for: as it came, and once more as it is decoded beside that."""
    return 2 * len(record.value or b"") + OVERHEAD


class Reader:
    """Reads one source from where its lanes are held, again and again, until it is cancelled or may not go on."""

    def __init__(
        self,
        source: Source,
        channel: Channel[Record | Lost],
        budget: Budget,
        vitals: Vitals,
        *,
        longest_pause: float,
        halt_on_gap: bool,
    ) -> None:
        self._source = source
        self._channel = channel
        self._budget = budget
        self._vitals = vitals
        self._longest_pause = longest_pause
        self._halt_on_gap = halt_on_gap
        self._reached: dict[Lane, Position] = {}
        self._unread = 0
        self._short = 0
        """How many connections in a row were over too soon."""
        self._broke_off = ""
        """Why the last of them did."""

    async def run(self, positions: Mapping[Lane, Position]) -> None:
        """Read on from `positions`, without end. Raises SourceRefused, GapFound."""
        self._vitals.reached = self._reached = dict(positions)
        while True:
            async for attempt in patiently(self._vitals, Waiting.SOURCE, self._longest_pause, self._passes, _LOG):
                with attempt:
                    await self._timed()
            # All daemons that the service ended must not come back at once; and each connection reads the overlap
            # again, so one that breaks every moment is made ever more seldom.
            seconds = pause(1 + self._short, self._longest_pause, None, random.random())  # noqa: S311  # jitter
            await asyncio.sleep(seconds)

    def _passes(self, error: WikimirrorError) -> bool:
        # Refused from the start, the request is wrong; refused after it was accepted, the service is in trouble.
        return isinstance(error, SourceUnavailable) or (isinstance(error, SourceRefused) and self._vitals.connects > 0)

    async def _timed(self) -> None:
        """Count connections that broke off soon after they began, or were ended at once."""
        began = self._vitals.monotonic()
        in_order = await self._connection()
        lived = self._vitals.monotonic() - began
        self._short = 0 if lived >= (_AT_ONCE if in_order else _STEADY) else self._short + 1
        if self._short == _FLAPPING and not in_order:
            # Each brings something new, so nothing is waited for: yet part of the source may stand still.
            _LOG.warning("reading breaks off again and again", reason=self._broke_off, times=self._short)

    async def _connection(self) -> bool:
        """Read until the connection ends: True if it ended in good order, False if it broke off after new records."""
        vitals = self._vitals
        vitals.idle(Stage.READ)
        waited, new = vitals.waits.get(Waiting.SOURCE), False
        try:
            async with aclosing(self._source.read(self._reached)) as items:
                async for item in items:
                    if waited is not None:
                        resume(vitals, Waiting.SOURCE, _LOG, waited)
                        waited = None
                    if isinstance(item, Record):
                        new = new or not item.again
                        await self._put(item)
                    else:
                        self._lose(item)
        except SourceUnavailable as error:
            if not new or error.retry_after is not None:
                raise
            self._broke_off = str(error)
            _LOG.info("connection lost", reason=self._broke_off)
            return False
        if not new:
            raise SourceUnavailable(
                f"{self._source.name}: the connection was ended before it brought anything new",
                remedy="It is tried again. If this goes on, see whether the streams in the settings still exist.",
            )
        _LOG.debug("connection ended")
        return True

    async def _put(self, record: Record) -> None:
        vitals, size = self._vitals, size_of(record)
        if not record.again:
            vitals.heard(lane_of(record.at), record.published)
        if not self._budget.fits(size):
            # Waiting for room is not a stall of reading: the stage that does not get on is told by its own beat.
            vitals.idle(Stage.READ)
            await self._budget.room(size)
        self._budget.take(size)
        vitals.accounts.take()
        vitals.bytes_waiting = self._budget.taken
        if not record.again:
            self._reached[lane_of(record.at)] = position_after(record)
        self._channel.put(record)
        self._unread += 1
        if self._unread % _BREATH == 0:
            await asyncio.sleep(0)

    def _lose(self, lost: Lost) -> None:
        told = f"{lost.lane}: what followed position {lost.after.offset} is no longer to be had ({lost.reason})"
        if self._halt_on_gap:
            raise GapFound(
                told,
                remedy=(
                    'Nothing after it was written. Set on_gap = "continue" to open a gap row and go on after it; what'
                    " is missing is then to be read again from elsewhere."
                ),
            )
        _LOG.error("gap", lane=str(lost.lane), position=lost.after.offset, reason=lost.reason)
        before = self._reached.get(lost.lane, Position(0))
        offset = before.offset if lost.until.offset < 0 else lost.until.offset
        self._reached[lost.lane] = Position(offset, max(before.time, lost.until.time))
        self._channel.put(lost)
