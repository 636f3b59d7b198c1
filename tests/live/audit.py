"""Who wrote which rows: a trigger on every table of the mirror notes it, in the transaction that writes them.

A daemon is told from others by a setting of its sessions, which its URL gives them; its assignments, one after the
other, by the names of their sessions. What a process tells of itself is no row of the mirror.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import asyncpg

_SETTING: Final = "audit.daemon"
_MAKE: Final = f"""
CREATE SCHEMA audit;
CREATE TABLE audit.written (daemon text, session text NOT NULL, relation text NOT NULL);
CREATE FUNCTION audit.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit.written
    VALUES (current_setting('{_SETTING}', true), current_setting('application_name'), tg_table_name);
    RETURN NULL;
END $$;
CREATE TABLE audit.moved (
    daemon text, topic text NOT NULL, partition int NOT NULL, epoch bigint NOT NULL, before bigint NOT NULL,
    after bigint NOT NULL
);
CREATE FUNCTION audit.note_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit.moved VALUES (
        current_setting('{_SETTING}', true), new.topic, new.partition, new.epoch, old.position, new.position
    );
    RETURN NULL;
END $$;
CREATE TRIGGER moved AFTER UPDATE ON wikimirror.checkpoint
    FOR EACH ROW WHEN (old.position <> new.position) EXECUTE FUNCTION audit.note_move();
DO $$
DECLARE t regclass;
BEGIN
    FOR t IN SELECT oid FROM pg_class
        WHERE relnamespace = 'wikimirror'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
            AND relname NOT IN ('member', 'lane', 'operation')
    LOOP
        EXECUTE format(
            'CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION audit.note()', t
        );
    END LOOP;
END $$;
"""


def url_of(database_url: str, daemon: str) -> str:
    """The URL for a daemon by whose name its rows are to be noted."""
    return f"{database_url}&{_SETTING}={daemon}"


async def begin(database_url: str) -> None:
    """From now on it is noted."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(_MAKE)
    finally:
        await connection.close()


async def written(database_url: str) -> dict[str, int]:
    """By daemon: the rows that it inserted, changed and deleted, and that are durable."""
    return dict(await _fetch(database_url, "SELECT daemon, count(*) FROM audit.written GROUP BY 1"))


async def written_by(database_url: str, session: str) -> int:
    """The same for all sessions of that name."""
    ((rows,),) = await _fetch(database_url, "SELECT count(*) FROM audit.written WHERE session = $1", session)
    return int(rows)


class Move(NamedTuple):
    """A lane's position, moved by a daemon that had it in that epoch."""

    epoch: int
    before: int
    after: int
    daemon: str


async def moves(database_url: str) -> dict[tuple[str, int], list[Move]]:
    """By topic and partition: how its position moved, in order, and by whom."""
    rows = await _fetch(database_url, "SELECT topic, partition, epoch, before, after, daemon FROM audit.moved")
    found: dict[tuple[str, int], list[Move]] = {}
    for topic, partition, *move in rows:
        found.setdefault((topic, partition), []).append(Move(*move))
    return {place: sorted(each) for place, each in found.items()}


async def _fetch(database_url: str, query: str, *arguments: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(database_url)
    try:
        return [tuple(row) for row in await connection.fetch(query, *arguments)]
    finally:
        await connection.close()
