"""Letters staged really: records that a constraint of the test's own refuses, which is dropped afterwards."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Collection, Mapping
from typing import Any

import msgspec

from tests.merge.statements import WIKI
from tests.mirror.lanes import Written, rows
from tests.wire.records import Json, page, page_change, revision
from wikimirror.errors import ConfigurationError
from wikimirror.mirror.connect import Session
from wikimirror.mirror.letters import Filter
from wikimirror.model import Coordinates, Lane, Lost, Record
from wikimirror.ops.letters import work as dead_letters
from wikimirror.ops.letters.records import Records
from wikimirror.ops.letters.reports import RedriveReport
from wikimirror.ops.letters.work import Redrive
from wikimirror.ops.play import law_of
from wikimirror.settings import ScopeSettings, Settings, load
from wikimirror.sources.ranges import Bound, Done, Range

SOURCE, TOPIC = "test", "t"
RULE = "the_house_rule"
NONE = Filter()
NO_PAGES = "page_id NOT BETWEEN 900 AND 999"
"""A rule that refuses the pages of these tests."""


def said(page_id: int, rev_id: int = 5001, kind: str = "edit", **fields: Any) -> Json:
    """A record of a page of its own, with a title of its own."""
    meta = {**page_change()["meta"], "id": f"{kind} {page_id} {rev_id}"}
    which = page(page_id=page_id, page_title=f"Talk:Page_{page_id}")
    return page_change(kind, **{"meta": meta, "page": which, "revision": revision(rev_id), **fields})


def settings_of(**scope: Any) -> Settings:
    """Without sources: payloads need none."""
    return load().model_copy(update={"scope": ScopeSettings(**scope)})


async def forbid(session: Session, condition: str, table: str = "page") -> None:
    """From now on Postgres refuses rows for which the condition does not hold."""
    async with session.transaction():
        await session.execute(f"ALTER TABLE {table} ADD CONSTRAINT {RULE} CHECK ({condition}) NOT VALID")


async def mend(session: Session, table: str = "page") -> None:
    """Whatever was refused is not refused any more."""
    async with session.transaction():
        await session.execute(f"ALTER TABLE {table} DROP CONSTRAINT {RULE}")


class Shelf:
    """A source of the test's own that has what it is given, and counts how often it is asked."""

    def __init__(self, *values: Json | bytes | None, name: str = SOURCE) -> None:
        self.name = name
        self.values = [msgspec.json.encode(value) if isinstance(value, dict) else value for value in values]
        self.built = 0
        self.read_so_far = 0
        self.fault: Exception | None = None
        self.later = 0
        """Microseconds by which its records are received later than now."""

    def __call__(self, name: str) -> Shelf:
        """What the settings have of that name."""
        if name != self.name:
            raise ConfigurationError(f"the settings have no source {name}", remedy="Name another.")
        self.built += 1
        return self

    async def resolve(
        self, start: Bound, end: Bound | None, *, topics: Collection[str], partitions: Collection[int]
    ) -> dict[Lane, Range]:
        raise NotImplementedError

    async def total(self, ranges: Mapping[Lane, Range]) -> int | None:
        raise NotImplementedError

    async def read(self, ranges: Mapping[Lane, Range]) -> AsyncGenerator[Record | Lost | Done]:
        self.read_so_far += 1
        if self.fault is not None:
            raise self.fault
        for lane, wanted in ranges.items():
            for offset, value in enumerate(self.values):
                if value is not None and wanted.start.offset <= offset < (wanted.end_offset or 0):
                    yield Record(Coordinates(*lane, offset), value, time.time_ns() // 1000 + self.later)
            yield Done(lane)


NOTHING = Shelf(name="no such source")


def records_of(shelf: Shelf = NOTHING, settings: Settings | None = None) -> Records:
    return Records(settings or settings_of(), shelf, lambda: time.time_ns() // 1000)


async def redrive(
    session: Session, shelf: Shelf = NOTHING, chosen: Filter = NONE, *, dry_run: bool = False, **scope: Any
) -> RedriveReport:
    settings = settings_of(**scope)
    how = Redrive(law_of(settings), records_of(shelf, settings), dry_run=dry_run)
    return await dead_letters.redrive(session, chosen, how)


def outcomes(report: RedriveReport) -> list[tuple[str, str | None]]:
    """What became of each letter, in order, and why."""
    return [(each.outcome.value, each.why) for each in report.letters]


async def stage(session: Session, *records: Json | bytes, lane: Written | None = None) -> Written:
    """Read records into the mirror; what is refused is set aside."""
    lane = lane or await Written.to(session, TOPIC)
    await lane.read(*records)
    return lane


async def offsets(session: Session) -> list[int]:
    """Of the letters that are there."""
    return [offset for (offset,) in await rows(session, 'SELECT "offset" FROM dead_letter ORDER BY 1')]


async def everything(session: Session) -> dict[str, list[Any]]:
    """All rows of all tables."""
    tables = await rows(
        session,
        "SELECT c.relname FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'",
    )
    return {table: await rows(session, f'SELECT t::text FROM "{table}" t ORDER BY 1') for (table,) in tables}


__all__ = ["WIKI"]
