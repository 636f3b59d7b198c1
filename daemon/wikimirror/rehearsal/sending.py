"""One connection's stream: what is sent when, up to the fault that ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Final

from wikimirror.rehearsal.asking import Start
from wikimirror.rehearsal.faults import Counts, Cut, Faults
from wikimirror.rehearsal.frames import Frames
from wikimirror.rehearsal.log import Entry, Log
from wikimirror.rehearsal.redaction import page_of, without_editors
from wikimirror.rehearsal.streams import canary

Write = Callable[[bytes], Awaitable[None]]

_RECORDS: Final = 256
_BYTES: Final = 2**18
"""The most that is written at once, roughly: enough to be fast, little enough to notice a fault that is set."""
_TICK: Final = 0.02
"""Seconds between two writes when throttled."""
_POISON: Final = b'{"$schema":"/mediawiki/page/change/1.3.0","page":{"page_id":'
_HALF: Final = b'event: message\nid: [{"topic":"'
_FREE: Final = float("inf")


@dataclass(slots=True)
class _Batch:
    """What is written at once: records of the log, in frames, beside those that faults add."""

    pieces: list[bytes] = field(default_factory=list)
    records: int = 0
    frames: int = 0
    redacted: int = 0
    size: int = 0


class Sending:
    """Sends a log's records to one connection, from the given starts on."""

    def __init__(
        self, log: Log, starts: Mapping[str, Start], frames: Frames, faults: Callable[[], Faults], counts: Counts
    ) -> None:
        self._log, self._frames, self._faults, self._counts = log, frames, faults, counts
        self._starts = {topic: start.offset for topic, start in starts.items()}
        self._place = min(log.place_of(topic, offset) for topic, offset in self._starts.items())
        self._clock = asyncio.get_running_loop().time
        self._began = self._not_before = self._clock()
        self._sent = 0
        """Records of the log, by which faults count."""

    async def run(self, write: Write) -> Cut:
        """Send until a fault ends it, and say how. The caller closes the connection, and cancels this to end it.

        Raises TimeoutError when the connection is to be cut and its reader does not read.
        """
        await write(self._frames.greeting)
        while True:
            faults = self._faults()
            cut_at = None if faults.cut_seconds is None else self._began + faults.cut_seconds
            if _is_reached(faults.cut_after, self._sent) or (cut_at is not None and self._clock() >= cut_at):
                return await self._cut(faults, write)
            if _is_reached(faults.error_after, self._sent):
                await write(self._frames.error())
                return Cut.CLEAN
            if _is_reached(faults.freeze_after, self._sent) or self._place >= self._log.end:
                await self._wait(cut_at)
            elif self._clock() < self._not_before:
                await self._wait(self._not_before if cut_at is None else min(cut_at, self._not_before))
            else:
                batch = self._take(faults)
                self._throttle(faults, batch)
                async with asyncio.timeout_at(cut_at):
                    await self._write(batch, write)
                # Neither an empty batch nor a fast reader gives way by itself.
                await asyncio.sleep(0)

    async def _cut(self, faults: Faults, write: Write) -> Cut:
        self._counts.cuts += 1
        if faults.cut is Cut.MID_RECORD:
            # A third, since a fault may have put a second frame beside the first.
            piece = b"".join(self._take(faults, most=1).pieces)
            await write(piece[: len(piece) // 3] or _HALF)
        return faults.cut

    async def _write(self, batch: _Batch, write: Write) -> None:
        if batch.frames:
            await write(b"".join(batch.pieces))
            self._counts.records += batch.frames
            self._counts.redacted += batch.redacted

    async def _wait(self, until: float | None) -> None:
        """Wait for a record, for other faults, or until that time."""
        try:
            async with asyncio.timeout_at(until):
                await self._log.changed()
        except TimeoutError:
            pass

    def _take(self, faults: Faults, most: int = _RECORDS) -> _Batch:
        """Step past the next records and make their frames: as many as faults and the bounds of a batch allow."""
        limits = (faults.cut_after, faults.error_after, faults.freeze_after)
        most = min([most, *(limit - self._sent for limit in limits if limit is not None and limit > self._sent)])
        if faults.records_a_second is not None:
            most = min(most, max(1, int(faults.records_a_second * _TICK)))
        size = _BYTES if faults.bytes_a_second is None else min(_BYTES, faults.bytes_a_second * _TICK)
        batch = _Batch()
        self._place, entries = self._log.read(self._place, _RECORDS)
        for entry in entries:
            if batch.records >= most or batch.size >= size:
                break
            self._place += 1
            start = self._starts.get(entry.topic)
            if start is not None and entry.offset >= start and entry.value is not None:
                self._add(entry, faults, batch)
        return batch

    def _add(self, entry: Entry, faults: Faults, batch: _Batch) -> None:
        edited = _at_the_edge(entry, faults)
        batch.records += 1
        batch.redacted += edited is not entry
        self._sent += 1
        for each in (edited, *_beside(edited, self._sent, faults)):
            before = len(batch.pieces)
            self._frames.add(each, batch.pieces)
            batch.size += sum(map(len, batch.pieces[before:]))
            batch.frames += 1

    def _throttle(self, faults: Faults, batch: _Batch) -> None:
        """Set the time of the next batch by what this one holds. A late one may be made up for, by a tick at most."""
        if faults.records_a_second is None and faults.bytes_a_second is None:
            return
        seconds = max(batch.records / (faults.records_a_second or _FREE), batch.size / (faults.bytes_a_second or _FREE))
        self._not_before = max(self._not_before, self._clock() - _TICK) + seconds
        self._counts.throttled += self._place < self._log.end


def _is_reached(limit: int | None, sent: int) -> bool:
    return limit is not None and sent >= limit


def _at_the_edge(entry: Entry, faults: Faults) -> Entry:
    """The record as the edge lets it through: without editors where its page is on the list."""
    if not faults.redacted or not entry.joint or entry.value is None or page_of(entry.value) not in faults.redacted:
        return entry
    value = without_editors(entry.value)
    return entry._replace(value=value, joint=len(value) - 2)


def _beside(entry: Entry, number: int, faults: Faults) -> Iterator[Entry]:
    """What faults add after the record of that number of its connection, all under its coordinates."""
    if _falls(faults.duplicate_every, number):
        yield entry
    if _falls(faults.poison_every, number):
        yield entry._replace(value=_POISON, joint=0)
    if _falls(faults.oversized_every, number):
        stream = entry.topic.partition(".")[2]
        value = canary(stream, entry.timestamp * 1000, Random(entry.offset))
        value = b'{"padding":"' + b"x" * faults.oversized_bytes + b'",' + value[1:]
        yield entry._replace(value=value, joint=len(value) - 2)


def _falls(every: int | None, number: int) -> bool:
    return every is not None and number % every == 0
