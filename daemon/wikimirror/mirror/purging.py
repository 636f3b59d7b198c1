"""Taking a wiki out of the mirror: everything but its corrections, which are append-only and stay as the proof.

Each transaction locks some pages first, in key order as every writer does (promise P5), and deletes what hangs on them,
a bounded number of rows at a time. So it waits for no writer long, holds none up long, and can be broken off at any
point and begun again. Tombstones and registers go too: nothing then remembers what the wiki has removed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final, NamedTuple

from wikimirror.errors import DatabaseUnavailable
from wikimirror.mirror.connect import Limits, Session

TABLES: Final = ("page", "revision", "revision_page", "body", "reconcile", "dead_letter", "change")
"""What is purged."""
ROWS: Final = 5000
"""Revisions, or rows of a table, that one transaction deletes at most; their bodies go with them."""
_PAGES: Final = 500
"""Pages that one transaction locks."""
_ATTEMPTS: Final = 10
_COLLISIONS: Final = frozenset({"40P01", "55P03"})
"""A deadlock, and a lock that another held for too long: it is tried again."""
_PATIENCE: Final = Limits(lock=5.0, statement=600.0)
"""Seconds. Counting a large wiki takes its time."""
# What a change takes away is applied whatever the scope: such rows do not tell that somebody mirrors the wiki.
_RETRACTIONS: Final = ("delete", "withdrawal", "revision_visibility")

_LACKING: Final = """
SELECT t FROM unnest($1::text[]) AS t
WHERE NOT has_table_privilege(format('%I.%I', current_schema(), t), 'DELETE')
"""
_OWNER: Final = """
SELECT pg_get_userbyid(nspowner)::text, current_user::text FROM pg_namespace WHERE nspname = current_schema()
"""
_LOCK_PAGES: Final = """
SELECT page_id FROM page WHERE wiki_id = $1 ORDER BY page_id LIMIT $2 FOR UPDATE
"""
_REVISIONS: Final = "SELECT rev_id FROM revision WHERE wiki_id = $1 AND page_id = ANY($2::bigint[]) LIMIT $3"
_CHANGES: Final = "SELECT change_id FROM change WHERE wiki_id = $1 AND page_id = ANY($2::bigint[]) LIMIT $3"
_OTHER_REVISIONS: Final = "SELECT rev_id FROM revision WHERE wiki_id = $1 ORDER BY rev_id LIMIT $2"
_OTHER_CHANGES: Final = "SELECT change_id FROM change WHERE wiki_id = $1 LIMIT $2"
_DROP_CHANGES: Final = """
WITH gone AS (DELETE FROM change WHERE wiki_id = $1 AND change_id = ANY($2::bytea[]) RETURNING applied, kind)
SELECT count(*), count(*) FILTER (WHERE applied >= $3 AND kind <> ALL($4::text[])) FROM gone
"""
_CONTENT: Final = "SELECT count(*) FROM change WHERE wiki_id = $1 AND kind <> ALL($2::text[])"


class Lacking(NamedTuple):
    """Tables that the session's role may not delete from, and who may."""

    tables: list[str]
    role: str
    owner: str


class Purge:
    """One wiki being purged."""

    def __init__(self, session: Session, wiki: str, on_rows: Callable[[int], None]) -> None:
        """`on_rows` is told how many rows each transaction deleted."""
        self.rows: Counter[str] = Counter()
        """Deleted so far, by table."""
        self.came_back = 0
        """Of these and of what is there in the end: changes that were applied since the purge began."""
        self._session = session
        self._wiki = wiki
        self._on_rows = on_rows
        self._began: datetime | None = None

    async def run(self) -> None:
        """Delete everything, in transactions of its own. Raises DatabaseUnavailable, DatabaseRefused."""
        async with self._session.transaction():
            self._began = await self._session.fetchval("SELECT clock_timestamp()")
        for step in (self._pages, self._revisions, self._changes, *map(self._table, ("body", "revision_page"))):
            await self._until_none(step)
        for table in ("reconcile", "dead_letter"):
            await self._until_none(self._table(table))
        async with self._session.transaction(limits=_PATIENCE):
            self.came_back += await self._session.fetchval(_CONTENT, self._wiki, _RETRACTIONS)

    async def _until_none(self, step: Callable[[], Awaitable[bool]]) -> None:
        more, failed = True, 0
        while more:
            before = self.rows.copy(), self.came_back
            try:
                async with self._session.transaction():
                    more = await step()
                failed = 0
            except DatabaseUnavailable as error:
                self.rows, self.came_back = before
                failed += 1
                if failed == _ATTEMPTS or getattr(error.__cause__, "sqlstate", None) not in _COLLISIONS:
                    raise
            else:
                self._on_rows(self.rows.total() - before[0].total())

    async def _pages(self) -> bool:
        """Some pages, or a part of what hangs on them."""
        pages = [page_id for (page_id,) in await self._session.fetch(_LOCK_PAGES, self._wiki, _PAGES)]
        if not pages:
            return False
        revisions = await self._session.fetch(_REVISIONS, self._wiki, pages, ROWS)
        await self._drop_revisions(revisions)
        if len(revisions) < ROWS:
            changes = await self._session.fetch(_CHANGES, self._wiki, pages, ROWS)
            await self._drop_changes(changes)
            if len(changes) < ROWS:
                await self._drop("reconcile", "page_id", pages)
                await self._drop("page", "page_id", pages)
        return True

    async def _revisions(self) -> bool:
        """Revisions whose page is not there."""
        revisions = await self._session.fetch(_OTHER_REVISIONS, self._wiki, ROWS)
        await self._drop_revisions(revisions)
        return len(revisions) == ROWS

    async def _changes(self) -> bool:
        """Changes whose page is not there."""
        changes = await self._session.fetch(_OTHER_CHANGES, self._wiki, ROWS)
        await self._drop_changes(changes)
        return len(changes) == ROWS

    def _table(self, table: str) -> Callable[[], Awaitable[bool]]:
        """What is left in a table."""

        async def step() -> bool:
            deleted = await self._session.execute(
                f"DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE wiki_id = $1 LIMIT $2))",  # noqa: S608  # a constant
                self._wiki,
                ROWS,
            )
            return self._count(table, deleted) == ROWS

        return step

    async def _drop_revisions(self, rows: list[Any]) -> None:
        if rows:
            for table in ("body", "revision_page", "revision"):
                await self._drop(table, "rev_id", [rev_id for (rev_id,) in rows])

    async def _drop(self, table: str, column: str, ids: list[int]) -> None:
        statement = f"DELETE FROM {table} WHERE wiki_id = $1 AND {column} = ANY($2::bigint[])"  # noqa: S608  # constants
        self._count(table, await self._session.execute(statement, self._wiki, ids))

    async def _drop_changes(self, rows: list[Any]) -> None:
        if rows:
            ids = [change_id for (change_id,) in rows]
            found = await self._session.fetchrow(_DROP_CHANGES, self._wiki, ids, self._began, _RETRACTIONS)
            assert found is not None  # noqa: S101  # an aggregate has one row
            self.rows["change"] += found[0]
            self.came_back += found[1]

    def _count(self, table: str, tag: str) -> int:
        count = int(tag.rsplit(maxsplit=1)[-1])
        self.rows[table] += count
        return count


async def count_rows(session: Session, wiki: str) -> dict[str, int]:
    """How many rows of each table are the wiki's, its corrections included. In a transaction of its own."""
    async with session.transaction(limits=_PATIENCE):
        return {
            table: await session.fetchval(f"SELECT count(*) FROM {table} WHERE wiki_id = $1", wiki)  # noqa: S608  # constants
            for table in (*TABLES, "correction")
        }


async def lacking_rights(session: Session) -> Lacking:
    """What keeps this session's role from purging: no table where nothing does. In a transaction of its own."""
    async with session.transaction():
        tables = [table for (table,) in await session.fetch(_LACKING, list(TABLES))]
        row = await session.fetchrow(_OWNER)
    assert row is not None  # noqa: S101  # the session's schema is there
    return Lacking(tables, row[1], row[0])
