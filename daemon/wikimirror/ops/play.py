"""Playing records through the whole path, from bytes to durable rows, and telling what became of each."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from typing import Final, NamedTuple

from wikimirror.merge.law import Law
from wikimirror.merge.scope import Scope
from wikimirror.mirror.apply import Applied, Applier
from wikimirror.mirror.checkpoints import Held, take_over
from wikimirror.mirror.connect import Session
from wikimirror.model import MICROSECONDS, Lane, Position, Record
from wikimirror.ops.reports import OnProgress, PlayReport
from wikimirror.pipeline.assemble import Assembler
from wikimirror.pipeline.housekeeping import tidy_ledger
from wikimirror.settings import KafkaSettings, Settings, SourceSettings
from wikimirror.sources import Recording
from wikimirror.wire import RECORD_BYTES

_BATCH_AGE: Final = 0.25
"""Seconds. Nobody waits for a single record of a capture: batches are larger than those of a live source."""


async def play(
    session: Session, recordings: Iterable[Recording], settings: Settings, on_progress: OnProgress
) -> PlayReport:
    """Apply recordings in the order given, each from its beginning. Playing again changes nothing (P2)."""
    recordings = list(recordings)
    lanes = [recording.partition for recording in recordings]

    async def records() -> AsyncGenerator[Record]:
        for recording in recordings:
            async with aclosing(recording.read({})) as reading:
                async for record in reading:
                    yield record

    files = [recording.partition.topic for recording in recordings]
    async with aclosing(records()) as reading:
        return await play_records(session, reading, lanes, settings, on_progress, files=files)


async def play_records(
    session: Session,
    records: AsyncIterator[Record],
    lanes: Iterable[Lane],
    settings: Settings,
    on_progress: OnProgress,
    *,
    files: list[str] | None = None,
) -> PlayReport:
    """Take the lanes over from their beginning and apply all that `records` yields."""
    await tidy_ledger(session, settings.ledger.keep)
    held = {lane: await _hold(session, lane) for lane in lanes}
    settled = settings.apply
    assembler = Assembler(held, scope_of(settings), records=settled.batch_records, size=settled.batch_bytes)
    applier = Applier(session, law_of(settings))
    applied, ignored, read = Applied(), Counter[str](), 0
    started = time.monotonic()

    begun = started

    async def flush() -> None:
        nonlocal read, begun
        if not assembler.read:
            return
        batch, left_out, count = assembler.take()
        applied.add(await applier.apply(batch))
        ignored.update(left_out)
        read += count
        begun = time.monotonic()
        on_progress(read, None, read / max(begun - started, 1e-6))

    try:
        async for record in records:
            assembler.add(record)
            if assembler.is_full or time.monotonic() - begun >= _BATCH_AGE:
                await flush()
    finally:
        # What was read before a source failed is applied all the same.
        await flush()
    return PlayReport(
        read=read,
        ignored=dict(ignored),
        applied=dict(applied.applied),
        refused=dict(applied.refused),
        set_aside=dict(applied.set_aside),
        in_flight=0,
        seconds=time.monotonic() - started,
        files=files or [],
    )


def scope_of(settings: Settings) -> Scope:
    """What is mirrored."""
    return Scope(frozenset(settings.scope.wikis), frozenset(settings.scope.namespaces))


def law_of(settings: Settings) -> Law:
    """The law's parameters as set."""
    return Law(skew=settings.law.skew_seconds * MICROSECONDS, bodies=settings.history.bodies)


class Decoding(NamedTuple):
    """What the settings say of decoding a source's records."""

    record_bytes: int
    """A larger record is not looked into."""
    dialects: Mapping[str, str]
    """By topic the dialect of records that do not tell their own."""


def decoding_of(source: SourceSettings | None) -> Decoding:
    """How records of a source are decoded; None: of one that the settings do not name, such as captures."""
    if source is None:
        return Decoding(RECORD_BYTES, {})
    return Decoding(int(source.record_bytes), source.dialects if isinstance(source, KafkaSettings) else {})


async def _hold(session: Session, lane: Lane) -> Held:
    return await take_over(session, lane, f"{socket.gethostname()}/{os.getpid()}", restart_at=Position(0))
