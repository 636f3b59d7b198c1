"""Ending what a former writer left open, so that its locks do not hold up whoever takes its lanes over.

A process that freezes within a transaction keeps its rows locked. Between two statements the server ends it after
`Limits.idle`; frozen where it has prepared a statement and not yet executed it, no timeout ends it. Whoever has the
lease need not wait: what is rolled back is read again (promise P1).
"""

from __future__ import annotations

from typing import Final

from wikimirror.mirror.connect import Session

_KEPT: Final = 50
"""Characters of a writer's name: Postgres cuts names at 63 bytes, and what tells two writers apart is at the end."""
_EVICT: Final = f"""
SELECT count(*) FILTER (WHERE pg_terminate_backend(a.pid)) FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.usename = current_user AND a.pid <> pg_backend_pid()
    AND a.xact_start IS NOT NULL
    AND a.application_name IN (
        SELECT 'wikimirror ' || right(c.writer, {_KEPT}) FROM checkpoint c WHERE c.source = $1 AND c.writer <> $2)
"""  # noqa: S608  # a constant


def name_of(writer: str) -> str:
    """What a writer's sessions are called in `pg_stat_activity`."""
    return f"wikimirror {writer[-_KEPT:]}"


async def evict(session: Session, source: str, writer: str) -> int:
    """End the open transactions of those who wrote a source's lanes before `writer`; how many there were.

    Only for whoever holds the lease. Behind a pooler that does not pass names on they are not found: then the server's
    TCP keepalive or a person has to end one that is frozen within a statement.
    """
    async with session.transaction():
        return int(await session.fetchval(_EVICT, source, writer))
