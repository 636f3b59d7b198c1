"""A lane to write changes or records to, and what the tables then say."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from tests.merge.statements import WIKI
from wikimirror.merge.law import Law
from wikimirror.merge.scope import Scope
from wikimirror.mirror.apply import Applied, Applier
from wikimirror.mirror.checkpoints import Held, take_over
from wikimirror.mirror.connect import Session
from wikimirror.model import Advance, Batch, Change, Coordinates, Entry, Lane, Lost, Record
from wikimirror.pipeline.assemble import Assembler

ENOUGH = 10**9
DEADLINE = 20.0


class Written:
    """One owned lane over one session."""

    def __init__(self, session: Session, law: Law, lane: Lane, held: Held) -> None:
        self.session, self.law, self.lane, self.held = session, law, lane, held
        self.applier = Applier(session, law)

    @classmethod
    async def to(cls, session: Session, topic: str = "t", *, law: Law | None = None) -> Written:
        lane = Lane("test", topic, 0)
        return cls(session, law or Law(), lane, await take_over(session, lane, "test"))

    async def apply(self, *changes: Change, values: Sequence[bytes | None] = ()) -> Applied:
        """One batch of changes, each with the bytes that its record had, if any."""
        return await self._apply(self.batch(*changes, values=values), len(changes))

    def batch(self, *changes: Change, values: Sequence[bytes | None] = (), lost: Sequence[Lost] = ()) -> Batch:
        """The batch that `apply` applies."""
        texts = [*values, *[None] * (len(changes) - len(values))]
        records = [self._record(n, value) for n, value in enumerate(texts)]
        return Batch(
            advances=(Advance(self.lane, self.held.epoch, self.held.position, self.held.position + len(changes)),),
            entries=[Entry(record, change) for record, change in zip(records, changes, strict=True)],
            lost=tuple(lost),
        )

    async def read(self, *records: dict[str, Any] | bytes | None) -> Applied:
        """One batch of records, decoded."""
        assembler = Assembler({self.lane: self.held}, Scope(), records=ENOUGH, size=ENOUGH)
        for number, said in enumerate(records):
            value = msgspec.json.encode(said) if isinstance(said, dict) else said
            assembler.add(self._record(number, value))
        batch, ignored, read = assembler.take()
        applied = await self._apply(batch, read)
        told = applied.applied.total() + applied.refused.total() + applied.set_aside.total() + ignored.total()
        assert told == read == len(records)
        return applied

    async def _apply(self, batch: Batch, count: int) -> Applied:
        applied = await self.applier.apply(batch)
        self.held = self.held._replace(position=self.held.position + count)
        return applied

    def _record(self, number: int, value: bytes | None) -> Record:
        source, topic, partition = self.lane
        return Record(Coordinates(source, topic, partition, self.held.position + number), value, time.time_ns() // 1000)


async def rows(session: Session, query: str, *arguments: object) -> list[tuple[Any, ...]]:
    """What a query says, in the session's schema."""
    async with session.transaction():
        return [tuple(row) for row in await session.fetch(query, *arguments)]


async def value(session: Session, query: str, *arguments: object) -> Any:
    """The one value that a query says."""
    ((only,),) = await rows(session, query, *arguments)
    return only


async def waiting(session: Session) -> set[tuple[int, int, str]]:
    """The rows of `reconcile`: page, revision (0: the page), reason."""
    return {(p, r, why) for p, r, why in await rows(session, "SELECT page_id, rev_id, reason FROM reconcile")}


async def everywhere(session: Session, words: Iterable[str]) -> set[str]:
    """Those of the words that stand in any table."""
    tables = await rows(
        session,
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = current_schema() AND c.relkind = 'r'",
    )
    said = [row for (table,) in tables for (row,) in await rows(session, f'SELECT t::text FROM "{table}" t')]
    payloads = await rows(session, "SELECT convert_from(payload, 'UTF8') FROM dead_letter WHERE payload IS NOT NULL")
    text = "\n".join([*said, *(row[0] for row in payloads)])
    return {word for word in words if word in text}


async def blocked(watcher: Session) -> None:
    """Until some transaction waits for another's lock."""
    limit = time.monotonic() + DEADLINE
    while not await value(watcher, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
        assert time.monotonic() < limit, "nobody came to wait for the other"


__all__ = ["WIKI", "Written", "blocked", "everywhere", "rows", "value", "waiting"]
