"""Applying over the floor: a bare COPY of the same rows, in turns on one connection."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from tests.bench.copying import Rows, copy, make_tables, rows_of
from tests.bench.live import NewDatabase
from tests.bench.load import Load, edits
from tests.bench.telling import whole
from wikimirror.merge.law import Law
from wikimirror.mirror.apply import Applier
from wikimirror.mirror.checkpoints import take_over
from wikimirror.mirror.codec import use_microseconds
from wikimirror.mirror.connect import connect
from wikimirror.model import Advance, Batch, Entry, Lane

LANE: Final = Lane("bench", "eqiad.mediawiki.page_change.v1", 0)
GOAL: Final = 0.7


@dataclass(frozen=True)
class Workload:
    """What is applied, and in which batches."""

    name: str
    changes: int
    body_bytes: int
    batch: int
    bodies: Literal["current", "all"]


@dataclass
class Measured:
    """Runs of one workload, in changes a second: the bare COPY and apply, in turns."""

    workload: Workload
    floor: list[float] = field(default_factory=list)
    apply: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Apply over the COPY of the same round."""
        return [a / f for a, f in zip(self.apply, self.floor, strict=True)]


WORKLOADS = (
    Workload("small changes", 40_000, 0, 2000, "current"),
    Workload("small changes, batches of 200", 20_000, 0, 200, "current"),
    Workload("8 KB bodies, every text kept", 10_000, 8192, 1000, "all"),
    Workload("8 KB bodies, current texts kept", 10_000, 8192, 1000, "current"),
)


async def measure(database: NewDatabase, rounds: int, scale: float, tell: Callable[[str], None]) -> list[Measured]:
    """All workloads, one after another."""
    found = []
    for workload in WORKLOADS:
        scaled = replace(workload, changes=max(workload.batch, round(workload.changes * scale)))
        measured = await _measure(database, scaled, rounds)
        tell(f"{workload.name}: {' '.join(f'{ratio:.2f}' for ratio in measured.ratios)} of COPY")
        found.append(measured)
    return found


async def _measure(database: NewDatabase, workload: Workload, rounds: int) -> Measured:
    """Each round in a database of its own; COPY and apply change places from round to round."""
    load = edits(workload.changes, workload.body_bytes)
    starts = range(0, workload.changes, workload.batch)
    batches = [rows_of(load, start, start + workload.batch) for start in starts]
    measured = Measured(workload)
    for number in range(rounds):
        url = await database(f"bench_{number}")
        async with await connect(url) as session:
            await use_microseconds(session.connection)
            await make_tables(session)
        for copies in (number % 2 == 0, number % 2 == 1):
            seconds = await (_time_copy(url, batches) if copies else _time_apply(url, load, workload))
            (measured.floor if copies else measured.apply).append(workload.changes / seconds)
    return measured


async def _time_copy(url: str, batches: list[Rows]) -> float:
    async with await connect(url) as session:
        await use_microseconds(session.connection)
        return await copy(session, batches)


async def _time_apply(url: str, load: Load, workload: Workload) -> float:
    async with await connect(url) as session:
        held = await take_over(session, LANE, "bench")
        applier = Applier(session, Law(bodies=workload.bodies))
        started = time.perf_counter()
        applied = 0
        for start in range(0, workload.changes, workload.batch):
            stop = min(start + workload.batch, workload.changes)
            entries = [Entry(r, c) for r, c in zip(load.records[start:stop], load.changes[start:stop], strict=True)]
            step = Advance(LANE, held.epoch, start, stop)
            result = await applier.apply(Batch(advances=(step,), entries=entries))
            applied += sum(result.applied.values())
        seconds = time.perf_counter() - started
    if applied != workload.changes:
        raise AssertionError(f"{applied} of {workload.changes} changes were applied: not the work to be measured")
    return seconds


def lines(measured: list[Measured]) -> Iterator[str]:
    """The section of docs/benchmarks.md."""
    yield from (
        "## Apply over a bare COPY",
        "",
        "One connection, one process; decoding is not part of it. Each ratio is of one round, apply and COPY in turns.",
        "The floor is a COPY of a page, a revision, a ledger and (with bodies) a body row for each change into tables",
        "of the same columns and indexes, in batches and transactions of the same size. Apply does all it does for",
        f"real: locks, registers, the merge law, ledger, checkpoint. The goal is {GOAL}.",
        "",
        "| workload | changes | batch | ratio (median) | ratio of each round | apply, changes/s | COPY, changes/s |",
        "|---|---|---|---|---|---|---|",
    )
    for m in measured:
        w = m.workload
        yield (
            f"| {w.name} | {w.changes:,} | {w.batch:,} | **{statistics.median(m.ratios):.2f}** |"
            f" {' '.join(f'{ratio:.2f}' for ratio in m.ratios)} | {whole(m.apply)} | {whole(m.floor)} |"
        )
    yield from (
        "",
        "With only current texts kept apply may beat the floor: a text that a later change of the batch supersedes is",
        "never sent.",
        "",
    )
