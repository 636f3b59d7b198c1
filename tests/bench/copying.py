"""The floor: a bare COPY of the rows that the changes come to, one of each kind a change, into tables like ours."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.bench.load import Load
from wikimirror.mirror.books import LEDGER_COLUMNS
from wikimirror.mirror.connect import Session
from wikimirror.mirror.rows import PAGE_COLUMNS, REVISION_COLUMNS

BODY_COLUMNS = ("wiki_id", "rev_id", "format", "text")
# The same indexes as the tables have, not unique where rows repeat.
INDEXES = {
    "page": ("(wiki_id, page_id)", "(wiki_id, title) WHERE state = 'live'"),
    "revision": ("(wiki_id, rev_id)", "(wiki_id, page_id, rev_dt)"),
    "body": ("(wiki_id, rev_id, format)",),
    "change": ("(wiki_id, page_id, published)", "(change_id)"),
}


class Rows(NamedTuple):
    """The rows of one batch."""

    page: list[tuple[Any, ...]]
    revision: list[tuple[Any, ...]]
    change: list[tuple[Any, ...]]
    body: list[tuple[Any, ...]]


async def make_tables(session: Session) -> None:
    """Empty copies of the tables: floor_page and so on."""
    async with session.transaction():
        for table, indexes in INDEXES.items():
            await session.execute(f"DROP TABLE IF EXISTS floor_{table}")
            await session.execute(f"CREATE TABLE floor_{table} (LIKE {table} INCLUDING STORAGE INCLUDING COMPRESSION)")
            for index in indexes:
                await session.execute(f"CREATE INDEX ON floor_{table} {index}")


def rows_of(load: Load, start: int, stop: int) -> Rows:
    """The rows that a batch of changes comes to, each change by itself."""
    rows = Rows([], [], [], [])
    for change, record in zip(load.changes[start:stop], load.records[start:stop], strict=True):
        stamp = (int(change.clock), change.time, change.identity, None)
        rows.page.append(
            (*change.page, "live", change.title, change.namespace_id, change.is_redirect, change.rev_id, change.rev_dt,
             None, change.url, None, change.published, *stamp)
        )  # fmt: skip
        rows.revision.append(
            (*change.rev, change.page.page_id, change.parent_rev_id, change.rev_dt, change.editor_name,
             change.editor_id, change.comment, change.is_minor, change.sha1, change.size, change.content_model,
             True, True, True, *stamp)
        )  # fmt: skip
        rows.change.append(
            (change.identity, *change.page, change.rev_id, change.kind.value, int(change.clock), change.time,
             change.published, record.received, record.received, *record.at, "applied")
        )  # fmt: skip
        rows.body.extend((*change.rev, body.format.value, body.text) for body in change.bodies)
    return rows


async def copy(session: Session, batches: Sequence[Rows]) -> float:
    """Seconds that the COPY of all rows takes, a transaction for each batch."""
    started = time.perf_counter()
    for rows in batches:
        async with session.transaction():
            await _copy(session, "floor_page", rows.page, PAGE_COLUMNS)
            await _copy(session, "floor_revision", rows.revision, REVISION_COLUMNS)
            await _copy(session, "floor_change", rows.change, LEDGER_COLUMNS)
            if rows.body:
                await _copy(session, "floor_body", rows.body, BODY_COLUMNS)
    return time.perf_counter() - started


async def _copy(session: Session, table: str, rows: list[tuple[Any, ...]], columns: Sequence[str]) -> None:
    await session.connection.copy_records_to_table(table, records=rows, columns=columns)
