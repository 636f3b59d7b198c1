"""A shadow of the mirror: temporary copies of the rows that a batch touches, on which the ordinary law and SQL work.

So a dry run tells what would be written by doing it, in a place where nobody sees it. Temporary tables of the same
names come before the real ones in the search path; rows are copied into them before each batch needs them. All of it is
one transaction with one snapshot, which locks no real row and ends by rolling back. While it lasts, Postgres keeps the
old versions of rows that others change. Triggers that somebody put on the tables are not copied.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from wikimirror.errors import DatabaseRefused
from wikimirror.merge.law import Law
from wikimirror.merge.workspace import pages_of, revisions_of
from wikimirror.mirror.apply import Applied, Applier
from wikimirror.mirror.connect import Limits, Session
from wikimirror.mirror.preflight import quote_identifier
from wikimirror.model import Batch, PageKey, RevKey

_TABLES: Final = ("page", "revision", "revision_page", "body", "change", "correction", "reconcile", "dead_letter")
_KEYS: Final = {
    "page": ("wiki_id", "page_id"),
    "revision": ("wiki_id", "rev_id"),
    "body": ("wiki_id", "rev_id", "format"),
    "reconcile": ("wiki_id", "page_id", "rev_id", "reason"),
    "dead_letter": ("source", "topic", "partition", "offset"),
}
"""Tables whose copies are compared row by row, by the columns that name a row."""
_DELETED_FROM: Final = ("body", "reconcile", "dead_letter")
"""Those of them that lose rows: which ones were copied is noted, so that none comes back with a later batch."""
_APPENDED: Final = {"change": "change_id", "correction": "number"}
"""Tables to which rows are only added, with a column that names a row."""
_LIKE: Final = "INCLUDING CONSTRAINTS INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING IDENTITY INCLUDING INDEXES"
"""Of a table what decides which rows it takes."""
_CHANGED: Final = {
    "body": "s.text IS DISTINCT FROM r.text AND s.text IS NOT NULL",
    # They come and go; one that came again in the shadow has only another time.
    "reconcile": "false",
}
"""What makes two rows of one key differ, where that is not simply all of them."""
_MAY: Final = """
SELECT has_database_privilege(current_database(), 'TEMPORARY'), current_user::text, current_database()::text
"""
_BEYOND: Final = 2**62
"""Numbers of new dead letters begin here, past all that are copied."""
_LONG: Final = Limits(lock=5.0, statement=600.0, idle=3600.0)
"""Seconds. The source may make us wait; nothing real is locked meanwhile."""


class TableDifference(NamedTuple):
    """How many rows of a table are other than they were."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0


@asynccontextmanager
async def shadow_of(session: Session, law: Law) -> AsyncIterator[Shadow]:
    """A shadow of the mirror as it is at this moment. Raises DatabaseRefused without the right to temporary tables."""
    try:
        async with session.transaction(limits=_LONG):
            await session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            shadow = Shadow(session, law)
            await shadow.begin()
            yield shadow
            raise _Done  # noqa: TRY301  # rolls all of it back
    except _Done:
        pass


class _Done(Exception):
    """Nothing of it is to stay."""


class Shadow:
    """Made by `shadow_of`, for its transaction."""

    def __init__(self, session: Session, law: Law) -> None:
        self._session = session
        self._applier = Applier(session, law)
        self._real = quote_identifier(session.schema)

    async def begin(self) -> None:
        """Make the copies, empty; the tail of the corrections' chain comes along."""
        run, real = self._session.execute, self._real
        await _require_right(self._session)
        for table in _TABLES:
            await run(f"CREATE TEMPORARY TABLE {table} (LIKE {real}.{table} {_LIKE}) ON COMMIT DROP")
        for table in _DELETED_FROM:
            columns = _names(_KEYS[table])
            await run(
                f"CREATE TEMPORARY TABLE copied_{table} ON COMMIT DROP AS"  # noqa: S608  # constants and quoted
                f" SELECT {columns} FROM {real}.{table} WITH NO DATA"
            )
            await run(f"ALTER TABLE copied_{table} ADD PRIMARY KEY ({columns})")
        # A text is not copied: null stands for the one that is there.
        await run("ALTER TABLE pg_temp.body ALTER COLUMN text DROP NOT NULL")
        await run(f"ALTER TABLE pg_temp.dead_letter ALTER COLUMN dead_letter_id RESTART WITH {_BEYOND}")
        await run(f"SET LOCAL search_path TO pg_temp, {real}")
        await run(f"INSERT INTO correction SELECT * FROM {real}.correction ORDER BY number DESC LIMIT 1")  # noqa: S608

    async def apply(self, batch: Batch) -> Applied:
        """Apply a batch to the shadow; its advances move nothing."""
        changes = [entry.change for entry in batch.entries]
        named = {PageKey(e.wiki_id, e.page_id) for _, e in batch.unread if e.wiki_id is not None and e.page_id}
        # Parents are asked after too: whether they ever came.
        parents = {RevKey(c.page.wiki_id, c.parent_rev_id) for c in changes if c.parent_rev_id}
        revisions = sorted({*revisions_of(changes), *parents})
        pages = {*pages_of(changes), *named}
        pages |= {PageKey(*row) for row in await self._session.fetch(self._sql(_RELATED), *_columns(revisions))}
        pages = {PageKey(*row) for row in await self._session.fetch(self._sql(_MERGED), *_columns(pages))}
        await self._copy(_BY_PAGE, pages)
        await self._copy(_BY_REVISION, revisions)
        await self._copy_books(batch, [change.identity for change in changes])
        return await self._applier.apply_within(batch)

    async def difference(self) -> dict[str, TableDifference]:
        """How the shadow differs from the mirror as it was when the shadow was made."""
        found = {}
        for table in _TABLES:
            await self._session.execute(f"ANALYZE pg_temp.{table}")
        for table, key in _KEYS.items():
            found[table] = await self._compared(table, key)
        for table, column in _APPENDED.items():
            count = await self._session.fetchval(
                f"SELECT count(*) FROM {table} s WHERE NOT EXISTS"  # noqa: S608  # constants and quoted
                f" (SELECT FROM {self._real}.{table} r WHERE r.{column} = s.{column})"
            )
            found[table] = TableDifference(inserted=count)
        return found

    async def _compared(self, table: str, key: Sequence[str]) -> TableDifference:
        same, real = _same("s", "r", key), f"{self._real}.{table}"
        changed = _CHANGED.get(table, "s::text <> r::text")
        row = await self._session.fetchrow(
            f"""
            SELECT (SELECT count(*) FROM {table} s WHERE NOT EXISTS (SELECT FROM {real} r WHERE {same})),
                (SELECT count(*) FROM {table} s JOIN {real} r ON {same} WHERE {changed})
            """  # noqa: S608  # constants and quoted
        )
        assert row is not None  # noqa: S101  # a SELECT without FROM has one row
        deleted = 0
        if table in _DELETED_FROM:
            deleted = await self._session.fetchval(
                f"SELECT count(*) FROM copied_{table} c"  # noqa: S608  # constants
                f" WHERE NOT EXISTS (SELECT FROM {table} s WHERE {_same('s', 'c', key)})"
            )
        inserted, updated = row
        return TableDifference(inserted, updated, deleted)

    async def _copy(self, statements: Sequence[str], keys: Iterable[tuple[str, int]]) -> None:
        columns = _columns(sorted(keys))
        for statement in statements:
            await self._session.execute(self._sql(statement), *columns)

    async def _copy_books(self, batch: Batch, identities: list[bytes]) -> None:
        await self._session.execute(self._sql(_CHANGES), identities)
        places = [entry.record.at for entry in batch.entries] + [unread.record.at for unread in batch.unread]
        if places:
            await self._session.execute(self._sql(_LETTERS), *(list(column) for column in zip(*places, strict=True)))

    def _sql(self, statement: str) -> str:
        return statement.replace("@", f"{self._real}.")


async def _require_right(session: Session) -> None:
    row = await session.fetchrow(_MAY)
    assert row is not None  # noqa: S101  # a SELECT without FROM has one row
    may, user, database = row
    if not may:
        role, there = quote_identifier(user), quote_identifier(database)
        raise DatabaseRefused(
            f"the role {user} may not make temporary tables in {database}, which a dry run works on",
            remedy=f"Have its owner run: GRANT TEMPORARY ON DATABASE {there} TO {role}.",
        )


def _names(columns: Iterable[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def _same(one: str, other: str, key: Iterable[str]) -> str:
    return " AND ".join(f'{one}."{column}" = {other}."{column}"' for column in key)


def _columns(keys: Iterable[tuple[str, int]]) -> tuple[list[str], list[int]]:
    listed = list(keys)
    return [wiki_id for wiki_id, _ in listed], [number for _, number in listed]


def _once(table: str, rows: str, copied: str = "r.*", override: str = "") -> str:
    """Copies rows that were not copied before. In `rows` and here `@` stands for the real schema."""
    key = _KEYS[table]
    listed = ", ".join(f'r."{column}"' for column in key)
    return f"""
        WITH new AS (
            INSERT INTO copied_{table} SELECT {listed} FROM @{table} r {rows} ON CONFLICT DO NOTHING RETURNING *
        )
        INSERT INTO {table} {override} SELECT {copied} FROM @{table} r JOIN new n ON {_same("r", "n", key)}
        ON CONFLICT DO NOTHING
        """  # noqa: S608  # constants


# `@` stands for the real schema. Keys come as two arrays: wikis, and pages or revisions.
_PAGE: Final = (
    "JOIN unnest($1::text[], $2::bigint[]) AS k (wiki_id, page_id) ON r.wiki_id = k.wiki_id AND r.page_id = k.page_id"
)
_REVISION: Final = (
    "JOIN unnest($1::text[], $2::bigint[]) AS k (wiki_id, rev_id) ON r.wiki_id = k.wiki_id AND r.rev_id = k.rev_id"
)
_OF_PAGE: Final = f"WHERE (r.wiki_id, r.rev_id) IN (SELECT r.wiki_id, r.rev_id FROM @revision r {_PAGE})"  # noqa: S608
_NO_TEXT: Final = "r.wiki_id, r.rev_id, r.format, NULL"
_RELATED: Final = f"""
SELECT r.wiki_id, r.page_id FROM @revision r {_REVISION} WHERE r.page_id IS NOT NULL
UNION SELECT r.wiki_id, r.page_id FROM @revision_page r {_REVISION}
"""  # noqa: S608
# What revisions that were named for several pages lose, they lose with all of these, and so on.
_MERGED: Final = """
WITH RECURSIVE merged (wiki_id, page_id) AS (
    SELECT u.wiki_id COLLATE "C", u.page_id FROM unnest($1::text[], $2::bigint[]) AS u (wiki_id, page_id)
    UNION
    SELECT n.wiki_id, n.page_id FROM merged m
    JOIN @revision_page r ON r.wiki_id = m.wiki_id AND r.page_id = m.page_id
    JOIN @revision_page n ON n.wiki_id = r.wiki_id AND n.rev_id = r.rev_id
)
SELECT wiki_id, page_id FROM merged
"""
_NAMED_FOR: Final = """
INSERT INTO revision_page SELECT o.* FROM @revision_page o
WHERE (o.wiki_id, o.rev_id) IN (SELECT r.wiki_id, r.rev_id FROM @revision_page r {0})
ON CONFLICT DO NOTHING
"""
_OTHERS: Final = f"""
INSERT INTO {{0}} SELECT o.* FROM @{{0}} o
WHERE (o.wiki_id, o.{{1}}) IN (
    SELECT n.wiki_id, n.{{1}} FROM @revision_page r {_PAGE}
    JOIN @revision_page n ON n.wiki_id = r.wiki_id AND n.rev_id = r.rev_id)
ON CONFLICT DO NOTHING
"""  # noqa: S608
_BY_PAGE: Final = (
    f"INSERT INTO page SELECT r.* FROM @page r {_PAGE} ON CONFLICT DO NOTHING",  # noqa: S608
    f"INSERT INTO revision SELECT r.* FROM @revision r {_PAGE} ON CONFLICT DO NOTHING",  # noqa: S608
    _NAMED_FOR.format(_PAGE),
    # Revisions that were named for this page and for others: these obey them too.
    _OTHERS.format("page", "page_id"),
    _OTHERS.format("revision", "rev_id"),
    _once("body", _OF_PAGE, _NO_TEXT),
    _once("reconcile", _PAGE),
    _once("dead_letter", _PAGE, override="OVERRIDING SYSTEM VALUE"),
)
_BY_REVISION: Final = (
    f"INSERT INTO revision SELECT r.* FROM @revision r {_REVISION} ON CONFLICT DO NOTHING",  # noqa: S608
    _NAMED_FOR.format(_REVISION),
    _once("body", _REVISION, _NO_TEXT),
    _once("reconcile", _REVISION),
    _once("dead_letter", _REVISION, override="OVERRIDING SYSTEM VALUE"),
)
_CHANGES: Final = """
INSERT INTO change SELECT r.* FROM @change r
WHERE r.change_id = ANY($1) AND NOT EXISTS (SELECT FROM change s WHERE s.change_id = r.change_id)
"""
_LETTERS: Final = _once(
    "dead_letter",
    'JOIN unnest($1::text[], $2::text[], $3::int[], $4::bigint[]) AS k (source, topic, partition, "offset")'
    ' USING (source, topic, partition, "offset")',
    override="OVERRIDING SYSTEM VALUE",
)
