"""A rehearsal: records of a simulated wiki played into an empty mirror, then compared with that wiki's own truth."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

from wikimirror.errors import WikimirrorError
from wikimirror.mirror.connect import Session
from wikimirror.model import Record
from wikimirror.ops.compare import Expected, compare
from wikimirror.ops.play import play_records
from wikimirror.ops.reports import DemoReport, OnProgress
from wikimirror.settings import Settings
from wikimirror.sources import lane_of


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A day of a simulated wiki: what arrives, what came up in it, and what must be true in the end."""

    records: Sequence[Record]
    situations: dict[str, int]
    expected: Expected
    seed: int


async def rehearse(
    session: Session,
    settings: Settings,
    rehearsal: Rehearsal,
    *,
    seconds: float | None,
    on_progress: OnProgress,
    look_inside: str,
) -> DemoReport:
    """Play the whole day and compare. Raises WikimirrorError when `seconds` were not enough for that."""
    lanes = sorted({lane_of(record.at) for record in rehearsal.records})
    deadline = None if seconds is None else time.monotonic() + seconds
    played = await play_records(
        session, _each(rehearsal.records), lanes, settings, on_progress, total=len(rehearsal.records), deadline=deadline
    )
    if played.read < len(rehearsal.records):
        raise WikimirrorError(
            f"{played.read} of {len(rehearsal.records)} records were applied in the time given: too few to compare",
            remedy="Give more time with --for, or fewer --actions.",
        )
    comparison = await compare(session, rehearsal.expected)
    return DemoReport(
        play=played,
        situations=rehearsal.situations,
        compared=comparison.compared,
        differences=comparison.differences,
        waiting=comparison.waiting,
        withholding=comparison.withholding,
        forbidden_found=comparison.forbidden_found,
        look_inside=look_inside,
        seed=rehearsal.seed,
    )


async def _each(records: Iterable[Record]) -> AsyncIterator[Record]:
    for record in records:
        yield record
