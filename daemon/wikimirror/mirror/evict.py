"""Ending what a former writer left open, so that its locks do not hold up whoever takes its lanes over.

A process that freezes within a transaction keeps its rows locked. Between two statements the server ends it after
`Limits.idle`; within one, where it has prepared and not yet executed, only after `statement_timeout`. Whoever has the
lease need not wait for either: what is rolled back is read again (promise P1).
"""

from __future__ import annotations

from typing import Final

from wikimirror.mirror.connect import Session

_NAME_BYTES: Final = 63
"""Postgres cuts longer names."""
_EVICT: Final = f"""
SELECT count(*) FILTER (WHERE pg_terminate_backend(a.pid)) FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.usename = current_user AND a.pid <> pg_backend_pid()
    AND a.xact_start IS NOT NULL
    AND a.application_name IN (
        SELECT left('wikimirror ' || c.writer, {_NAME_BYTES}) FROM checkpoint c WHERE c.source = $1 AND c.writer <> $2)
"""  # noqa: S608  # a constant


def name_of(writer: str) -> str:
    """What a writer's sessions are called in `pg_stat_activity`."""
    return f"wikimirror {writer}"[:_NAME_BYTES]


async def evict(session: Session, source: str, writer: str) -> int:
    """End the open transactions of those who wrote a source's lanes before `writer`; how many there were.

    Only for whoever holds the lease. A pooler that does not pass names on hides them: then timeouts end them.
    """
    async with session.transaction():
        return int(await session.fetchval(_EVICT, source, writer))
