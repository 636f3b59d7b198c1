"""Playing records through the whole path, from bytes to durable rows, and telling what became of each."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from wikimirror.merge.law import Law
from wikimirror.merge.scope import Scope
from wikimirror.mirror.apply import Applied, Applier
from wikimirror.mirror.checkpoints import Held, take_over
from wikimirror.mirror.connect import Session
from wikimirror.mirror.ledger import ensure_partitions, prune
from wikimirror.model import MICROSECONDS, Lane, Record
from wikimirror.ops.reports import OnProgress, PlayReport
from wikimirror.pipeline.assemble import Assembler
from wikimirror.settings import Settings
from wikimirror.sources import Recording


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


async def play_records(  # each is needed and none goes with another
    session: Session,
    records: AsyncIterator[Record],
    lanes: Iterable[Lane],
    settings: Settings,
    on_progress: OnProgress,
    *,
    total: int | None = None,
    files: list[str] | None = None,
    deadline: float | None = None,
) -> PlayReport:
    """Take the lanes over from their beginning and apply all that `records` yields.

    `deadline`: on time.monotonic; reading then stops, what was read is applied.
    """
    await _keep_ledger(session, settings)
    held = {lane: await _hold(session, lane) for lane in lanes}
    settled = settings.apply
    scope = Scope(frozenset(settings.scope.wikis), frozenset(settings.scope.namespaces))
    assembler = Assembler(held, scope, records=settled.batch_records, size=settled.batch_bytes)
    applier = Applier(session, law_of(settings))
    applied, ignored, read = Applied(), Counter[str](), 0
    started = time.monotonic()

    age = settled.batch_age_ms / 1000
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
        on_progress(read, total, read / max(begun - started, 1e-6))

    try:
        async for record in records:
            assembler.add(record)
            if assembler.is_full or time.monotonic() - begun >= age:
                await flush()
                if deadline is not None and time.monotonic() >= deadline:
                    break
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


async def _keep_ledger(session: Session, settings: Settings) -> None:
    """Partitions of the ledger for this month and the next are there, and what is older than ledger.keep is not."""
    today = datetime.now(tz=UTC).date()
    await ensure_partitions(session, today, today + timedelta(days=31))
    if settings.ledger.keep is not None:
        await prune(session, settings.ledger.keep)


def law_of(settings: Settings) -> Law:
    """The law's parameters as set."""
    return Law(skew=settings.law.skew_seconds * MICROSECONDS, bodies=settings.history.bodies)


async def _hold(session: Session, lane: Lane) -> Held:
    return await take_over(session, lane, f"{socket.gethostname()}/{os.getpid()}", restart_at=0)
