"""Reading ranges of a source to their ends, batch by batch, over as many connections as it takes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, TypeAlias

from wikimirror.errors import SourceUnavailable, WikimirrorError
from wikimirror.merge.scope import Scope
from wikimirror.mirror.apply import Applied
from wikimirror.mirror.checkpoints import Held
from wikimirror.model import Batch, Lane, Lost, Position, Record
from wikimirror.observe.logging import get_logger
from wikimirror.ops.replaying.tally import Tally
from wikimirror.ops.reports import OnProgress
from wikimirror.pipeline.assemble import Assembler
from wikimirror.pipeline.narrowing import Narrowing
from wikimirror.pipeline.rate import Rate
from wikimirror.pipeline.waiting import pause
from wikimirror.sources.ranges import Done, Range, RangeSource
from wikimirror.wire import RECORD_BYTES

_LOG = get_logger(__name__)
_BATCH_AGE: Final = 0.5
"""Seconds. Nobody waits for a single record of a replay."""
_ATTEMPTS: Final = 5
"""So often in a row the source may break off without having brought a record. Then a person has to look."""
_LONGEST_PAUSE: Final = 30.0

Told: TypeAlias = Callable[[Applied], Tally]
"""What has become of all records, once it is known what became of a batch's."""
Write: TypeAlias = Callable[[Batch, Told, Collection[Lane]], Awaitable[Tally]]
"""Makes a batch durable, and that these lanes are done."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What is read, and how."""

    source: RangeSource
    ranges: Mapping[Lane, Range]
    """Of the lanes that are not done."""
    scope: Scope
    narrowing: Narrowing
    rate: float
    """Records a second; 0: any number."""
    batch_records: int
    batch_bytes: int
    record_bytes: int = RECORD_BYTES
    dialects: Mapping[str, str] = field(default_factory=dict)


class RangeReader:
    """One reading of ranges, for one use."""

    def __init__(
        self, reading: Reading, held: Mapping[Lane, Held], write: Write, tally: Tally, on_progress: OnProgress
    ) -> None:
        self.held = dict(held)
        """Where each lane is, as durable."""
        self._reading = reading
        self._write = write
        self._tally = tally
        self._on_progress = on_progress
        self._total: int | None = None
        self._left = dict(reading.ranges)
        self._assembler = Assembler(
            held,
            reading.scope,
            records=reading.batch_records,
            size=reading.batch_bytes,
            record_bytes=reading.record_bytes,
            dialects=reading.dialects,
            narrowing=reading.narrowing,
        )
        self._began = self._batch_began = monotonic()
        self._before = tally.read
        self._rate = Rate(reading.rate, self._began)
        self._lost: list[Lost] = []
        self._done: list[Lane] = []

    async def run(self) -> Tally:
        """Read all of it. Raises SourceUnavailable if the source breaks off again and again, and what `write` does."""
        total = await self._reading.source.total(self._left) if self._left else 0
        self._total = None if total is None else self._before + total
        failed = 0
        while self._left:
            read = self._tally.read
            try:
                await self._connection()
            except SourceUnavailable as error:
                failed = 1 if self._tally.read > read else failed + 1
                if failed >= _ATTEMPTS:
                    raise
                draw = random.random()  # noqa: S311  # jitter
                _LOG.warning("reading broke off, and goes on from there", reason=str(error), attempt=failed)
                await asyncio.sleep(pause(failed, _LONGEST_PAUSE, error.retry_after, draw))
        return self._tally

    async def _connection(self) -> None:
        source = self._reading.source
        try:
            async with aclosing(source.read(dict(self._left))) as items:
                async for item in items:
                    await self._take(item)
        except WikimirrorError:
            # What was read before the source failed is applied all the same. A batch that failed is no more at hand.
            await self._flush()
            raise
        await self._flush()
        if self._left:
            raise SourceUnavailable(f"{source.name} ended before the range was read", remedy="It is tried again.")

    async def _take(self, item: Record | Lost | Done) -> None:
        if isinstance(item, Record):
            self._assembler.add(item)
            wait = self._rate.pause(monotonic())
            if self._assembler.is_full or monotonic() + wait - self._batch_began >= _BATCH_AGE:
                await self._flush()
            if wait:
                await asyncio.sleep(wait)
        elif isinstance(item, Lost):
            _LOG.warning("a stretch of the range is gone", lane=str(item.lane), position=item.after.offset)
            self._lost.append(item)
        else:
            self._done.append(item.lane)

    async def _flush(self) -> None:
        """Make durable what was read since the last time."""
        batch, ignored, read = self._assembler.take()
        done, self._done = self._done, []
        lost, self._lost = tuple(self._lost), []
        if not (read or done or lost):
            return
        tally = self._tally

        def told(applied: Applied) -> Tally:
            return tally.plus(read, ignored, applied, lost)

        self._tally = await self._write(batch, told, done)
        for step in batch.advances:
            held = self.held[step.lane]
            self.held[step.lane] = Held(held.epoch, step.next_position, step.next_time or held.time)
        self._narrow(done)
        self._batch_began = now = monotonic()
        rate = (self._tally.read - self._before) / max(now - self._began, 1e-6)
        self._on_progress(self._tally.read, self._total, rate)

    def _narrow(self, done: Collection[Lane]) -> None:
        """What is left to read, should the source break off now."""
        for lane in done:
            self._left.pop(lane, None)
        for lane, each in self._left.items():
            held = self.held[lane]
            self._left[lane] = each._replace(start=Position(held.position, held.time))
