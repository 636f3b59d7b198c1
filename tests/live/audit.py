"""Who wrote which rows: a trigger on every table of the mirror notes it, in the transaction that writes them.

A daemon is told from others by a setting of its sessions, which its URL gives them.
"""

from __future__ import annotations

from typing import Final

import asyncpg

_SETTING: Final = "audit.daemon"
_MAKE: Final = f"""
CREATE SCHEMA audit;
CREATE TABLE audit.written (daemon text, relation text NOT NULL);
CREATE FUNCTION audit.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit.written VALUES (current_setting('{_SETTING}', true), tg_table_name);
    RETURN NULL;
END $$;
DO $$
DECLARE t regclass;
BEGIN
    FOR t IN SELECT oid FROM pg_class
        WHERE relnamespace = 'wikimirror'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
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
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch("SELECT daemon, count(*) FROM audit.written GROUP BY 1")
    finally:
        await connection.close()
    return dict(map(tuple, rows))
