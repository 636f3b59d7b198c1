"""A pipeline: read → assemble → apply, three tasks for the lanes of one source while this process holds them.

    Reader ──Channel──▶ assemble ──Handover──▶ apply ──▶ Writer ──▶ one transaction
       ▲                                          │
       └────────────── Budget (bytes) ◀───────────┘

Nothing is queued before applying: while one batch is written the next one grows, so batches are as small as the writer
is quick and as large as it is slow. Draining stops the reading and lets what was read through; aborting (cancelling) is
safe at any await, since a batch and its positions are one transaction (promise P1).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from wikimirror.merge.law import Law
from wikimirror.merge.scope import Scope
from wikimirror.mirror.apply import Applied
from wikimirror.mirror.breaker import Breaker, Limits
from wikimirror.mirror.checkpoints import Held
from wikimirror.model import MICROSECONDS, Batch, Lane, Lost, Position, Record
from wikimirror.observe.effort import APPLYING, WAITING
from wikimirror.observe.vitals import Stage, Vitals, Waiting
from wikimirror.pipeline.assemble import Assembler
from wikimirror.pipeline.channel import Budget, Channel, Handover
from wikimirror.pipeline.reading import Reader, size_of
from wikimirror.pipeline.writing import Connect, Writer
from wikimirror.sources import Source
from wikimirror.wire import RECORD_BYTES

_BREATH: Final = 64
"""Records decoded without letting other tasks run: decoding a thousand takes as long as a transaction."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a pipeline works: the part of the settings that it needs. Durations in seconds, sizes in bytes."""

    scope: Scope
    law: Law
    batch_records: int
    batch_bytes: int
    batch_age: float
    memory: int
    longest_pause: float
    record_bytes: int = RECORD_BYTES
    halt_on_gap: bool = False
    dialects: Mapping[str, str] = field(default_factory=dict)
    """By topic the dialect of records that do not tell their own."""
    may_set_aside: Limits = field(default_factory=Limits)
    """Where more would be set aside, the pipeline ends with TooManySetAside."""


class Durable(NamedTuple):
    """A batch that became durable, for whoever measures."""

    fresh: list[tuple[str, float]]
    """Of each change applied its kind, and the seconds from publication to durable."""
    seconds: float
    """From the handing over to durable, waiting for the environment included."""
    positions: Mapping[Lane, Position]
    """How far its lanes got with it."""


OnDurable = Callable[[Durable], None]


class _Assembled(NamedTuple):
    batch: Batch
    ignored: Counter[str]
    read: int
    size: int
    oldest: int
    newest: int


class Pipeline:
    """One source's way into Postgres. Runs once."""

    def __init__(self, source: Source, connect: Connect, plan: Plan, vitals: Vitals, on_durable: OnDurable) -> None:
        self._source = source
        self._plan = plan
        self._vitals = vitals
        self._on_durable = on_durable
        self._wake = asyncio.Event()
        self._channel: Channel[Record | Lost] = Channel(self._wake)
        self._handover: Handover[_Assembled] = Handover(self._wake)
        self._budget = Budget(plan.memory)
        breaker = Breaker(plan.may_set_aside)
        self._writer = Writer(connect, plan.law, vitals, longest_pause=plan.longest_pause, breaker=breaker)
        self._reading: asyncio.Task[None] | None = None
        self._draining = False
        self._assembling: int | None = None
        self._applying: int | None = None

    async def run(self, held: Mapping[Lane, Held]) -> None:
        """Work until drained. Raises Fenced, SourceRefused, GapFound, TooManySetAside, or what else no waiting mends.

        Where reading may not go on, what was read is applied first.
        """
        positions = {lane: Position(each.position, each.time) for lane, each in held.items()}
        self._vitals.durable = dict(positions)
        reader = Reader(
            self._source,
            self._channel,
            self._budget,
            self._vitals,
            longest_pause=self._plan.longest_pause,
            halt_on_gap=self._plan.halt_on_gap,
        )
        self._reading = asyncio.create_task(reader.run(positions), name=f"read {self._source.name}")
        # Not by the task itself: one that is cancelled before its first step runs nothing.
        self._reading.add_done_callback(lambda _: self._channel.close())
        if self._draining:
            self._reading.cancel()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._assemble(held), name=f"assemble {self._source.name}")
                group.create_task(self._apply(), name=f"apply {self._source.name}")
            await asyncio.wait({self._reading})
            if not self._reading.cancelled():
                self._reading.result()
        except BaseExceptionGroup as failures:
            # One failure cancels the other task; there is nothing to tell of that one.
            raise failures.exceptions[0] from None
        finally:
            self._reading.cancel()
            try:
                await asyncio.wait({self._reading})
            finally:
                # Also where this waiting is cancelled, as by a lease found lost meanwhile: the reader takes no more in.
                self._writer.abandon()
                self._leave_vitals()

    def _leave_vitals(self) -> None:
        """Nothing is in hand any more, and nothing is waited for."""
        vitals = self._vitals
        vitals.accounts.give_back()
        vitals.bytes_waiting = 0
        vitals.oldest_in_flight = None
        vitals.effort.stop(vitals.monotonic())
        for stage in (Stage.READ, Stage.ASSEMBLE, Stage.APPLY):
            vitals.idle(stage)
        for what in (Waiting.SOURCE, Waiting.DATABASE):
            vitals.resume(what)

    def drain(self) -> None:
        """Stop reading; what was read is applied, then `run` returns."""
        self._draining = True
        if self._reading is not None:
            self._reading.cancel()

    async def _assemble(self, held: Mapping[Lane, Held]) -> None:
        plan, channel, vitals = self._plan, self._channel, self._vitals
        assembler = Assembler(
            held,
            plan.scope,
            records=plan.batch_records,
            size=plan.batch_bytes,
            record_bytes=plan.record_bytes,
            dialects=plan.dialects,
        )
        clock = asyncio.get_running_loop().time
        size, oldest, newest, due = 0, 0, 0, 0.0
        while True:
            self._wake.clear()
            breath = vitals.monotonic()
            for _ in range(min(_BREATH, len(channel))):
                if assembler.is_full:
                    break
                item = channel.get()
                if assembler.is_empty:
                    due = clock() + plan.batch_age
                    oldest = 0
                if isinstance(item, Lost):
                    assembler.lose(item)
                    continue
                assembler.add(item)
                size += size_of(item)
                # What is read again was late on purpose: it says nothing of how far behind this is.
                if item.published and not item.again:
                    oldest = min(oldest, item.published) if oldest else item.published
                    newest = max(newest, item.published)
            vitals.effort.decoded(vitals.monotonic() - breath)
            vitals.busy(Stage.ASSEMBLE)
            self._assembling = None if assembler.is_empty else oldest or None
            self._tell_oldest()
            finished = channel.closed and not len(channel)
            if not assembler.is_empty:
                ripe = assembler.is_full or finished or clock() >= due
                if ripe and self._handover.wanted:
                    self._handover.give(_Assembled(*assembler.take(), size, oldest, newest))
                    size, newest = 0, 0
                    continue
            elif finished:
                self._handover.close()
                vitals.idle(Stage.ASSEMBLE)
                return
            if len(channel) and not assembler.is_full:
                await asyncio.sleep(0)
                continue
            vitals.idle(Stage.ASSEMBLE)
            wait = None if assembler.is_empty or not self._handover.wanted else max(0.0, due - clock())
            await self._woken(wait)

    async def _woken(self, seconds: float | None) -> None:
        vitals = self._vitals
        if self._handover.wanted and not len(self._channel):
            vitals.effort.begin(WAITING, vitals.monotonic())
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
        finally:
            vitals.effort.end(WAITING, vitals.monotonic())

    async def _apply(self) -> None:
        while (taken := await self._handover.take()) is not None:
            await self._make_durable(taken)
            # A batch may be large: nothing of it is to be held while the next one is waited for and written.
            del taken
        await self._writer.close()

    async def _make_durable(self, taken: _Assembled) -> None:
        vitals = self._vitals
        self._applying, self._assembling = taken.oldest or None, None
        self._tell_oldest()
        begun = vitals.monotonic()
        vitals.busy(Stage.APPLY)
        vitals.effort.begin(APPLYING, begun)
        applied = await self._writer.write(taken.batch)
        positions = {step.lane: Position(step.next_position, step.next_time) for step in taken.batch.advances}
        self._settle(taken, applied, vitals.monotonic() - begun, positions)
        await self._source.acknowledge(positions)

    def _settle(self, taken: _Assembled, applied: Applied, seconds: float, positions: Mapping[Lane, Position]) -> None:
        """Count it all in at one moment, so that whoever looks finds sums that add up."""
        vitals = self._vitals
        vitals.accounts.settle(
            taken.read,
            ignored=taken.ignored,
            applied=applied.applied,
            refused=applied.refused,
            set_aside=applied.set_aside,
        )
        self._budget.give(taken.size)
        vitals.bytes_waiting = self._budget.taken
        now = vitals.wall()
        vitals.last_applied = now
        if taken.newest:
            vitals.applied_lag = max(0.0, now - taken.newest / MICROSECONDS)
        vitals.batches += 1
        vitals.effort.end(APPLYING, vitals.monotonic())
        vitals.moved(positions, {lost.lane for lost in taken.batch.lost})
        vitals.idle(Stage.APPLY)
        self._applying = None
        self._tell_oldest()
        fresh = [
            (change.kind.value, max(0.0, now - (record.published or change.published) / MICROSECONDS))
            for record, change in applied.changed
            if not record.again
        ]
        self._on_durable(Durable(fresh, seconds, positions))

    def _tell_oldest(self) -> None:
        """The oldest record in flight: one being applied is older than one being assembled, as far as that is told."""
        told = [time for time in (self._applying, self._assembling) if time is not None]
        head = self._channel.head
        if not told and isinstance(head, Record) and head.published and not head.again:
            told.append(head.published)
        self._vitals.oldest_in_flight = min(told) / MICROSECONDS if told else None
