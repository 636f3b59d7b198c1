"""Ending what a former writer left open, so that its locks do not hold up whoever takes its lanes over.

A process that freezes within a transaction keeps its rows locked. Between two statements the server ends it after
`Limits.idle`; frozen where it has prepared a statement and not yet executed it, no timeout ends it. Whoever has the
lease need not wait: what is rolled back is read again (promise P1).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from wikimirror.mirror.checkpoints import lane_columns
from wikimirror.mirror.connect import Session
from wikimirror.model import Lane

_KEPT: Final = 50
"""Characters of a writer's name: Postgres cuts names at 63 bytes, and what tells two writers apart is at the end."""
_EVICT: Final = f"""
SELECT count(*) FILTER (WHERE pg_terminate_backend(a.pid)) FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.usename = current_user AND a.pid <> pg_backend_pid()
    AND a.xact_start IS NOT NULL
    AND a.application_name IN (
        SELECT 'wikimirror ' || right(c.writer, {_KEPT}) FROM checkpoint c
        JOIN unnest($1::text[], $2::text[], $3::int[]) AS u (source, topic, partition) USING (source, topic, partition)
        WHERE c.writer <> $4)
"""  # noqa: S608  # a constant


def name_of(writer: str) -> str:
    """What a writer's sessions are called in `pg_stat_activity`."""
    return f"wikimirror {writer[-_KEPT:]}"


async def evict(session: Session, lanes: Iterable[Lane], writer: str) -> int:
    """End the open transactions of those who wrote these lanes before `writer`; how many there were.

    Only for whoever has the lease of the lanes' source, or whom its group has given the lanes. Of others who write the
    same source at the same time nothing is ended, as long as a writer's name belongs to one assignment of one process.
    Behind a pooler that does not pass names on they are not found: then the server's TCP keepalive or a person has to
    end one that is frozen within a statement.
    """
    async with session.transaction():
        return int(await session.fetchval(_EVICT, *lane_columns(lanes), writer))
