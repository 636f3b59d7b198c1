"""What Postgres tells of itself: our sessions, who blocks them, and what a server lacks when it is slow.

Read from statistics views that any role may read. Of other roles' sessions most columns are hidden from a role without
pg_read_all_stats: then they are None, and `hidden` says of how many. The text of a query is never read (promise P3).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from wikimirror.errors import DatabaseRefused, DatabaseUnavailable
from wikimirror.mirror.connect import Limits, Session

_SESSIONS: Final = """
SELECT a.pid, a.application_name, a.state, a.wait_event_type, a.wait_event,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8,
    extract(epoch FROM clock_timestamp() - w.since)::float8,
    w.relation,
    CASE WHEN w.waits THEN pg_blocking_pids(a.pid) ELSE ARRAY[]::int[] END
FROM pg_stat_activity a
CROSS JOIN LATERAL (
    SELECT min(l.waitstart) AS since, coalesce(bool_or(NOT l.granted), false) AS waits,
        max(c.relname) FILTER (WHERE NOT l.granted OR l.locktype = 'tuple') AS relation
    FROM pg_locks l
    LEFT JOIN pg_class c ON c.oid = l.relation
    WHERE l.pid = a.pid
) w
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.application_name LIKE 'wikimirror %'
ORDER BY a.application_name, a.pid
"""
# A process id of 0 stands for a prepared transaction, which no session holds.
_BLOCKERS: Final = """
WITH RECURSIVE blocker (pid) AS (
    SELECT unnest($1::int[])
    UNION
    SELECT unnest(pg_blocking_pids(b.pid)) FROM blocker b WHERE b.pid > 0
)
SELECT b.pid, coalesce(a.application_name, ''), a.usename::text, a.state, a.backend_type,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8,
    CASE WHEN b.pid > 0 THEN pg_blocking_pids(b.pid) ELSE ARRAY[]::int[] END
FROM blocker b
LEFT JOIN pg_stat_activity a ON a.pid = b.pid
ORDER BY a.xact_start NULLS LAST, b.pid
"""
_OLD: Final = """
SELECT pid, application_name, usename::text, state, extract(epoch FROM clock_timestamp() - xact_start)::float8
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND xact_start < clock_timestamp() - $1::float8 * interval '1 second'
    AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) AND backend_type <> 'autovacuum worker'
ORDER BY xact_start
LIMIT 5
"""
_SERVER: Final = """
SELECT pg_is_in_recovery() AS in_recovery,
    current_setting('default_transaction_read_only')::bool AS read_only,
    s.connections,
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0) AS most_connections,
    s.hidden,
    CASE WHEN r.last_failed_time > coalesce(r.last_archived_time, '-infinity')
        THEN extract(epoch FROM clock_timestamp() - coalesce(r.last_archived_time, r.stats_reset))::float8
    END AS archiving_fails,
    pg_size_bytes(current_setting('max_wal_size')) AS most_wal
FROM (
    SELECT count(*) FILTER (WHERE usesysid IS NOT NULL AND datid IS NOT NULL) AS connections,
        count(*) FILTER (WHERE backend_type IS NULL AND datname = current_database()) AS hidden
    FROM pg_stat_activity
) s, pg_stat_archiver r
"""
_WAL: Final = """
SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_current_wal_lsn(), redo_lsn)::bigint END
FROM pg_control_checkpoint()
"""
_SIZE: Final = "SELECT pg_database_size(current_database())"
_SHORT: Final = Limits(lock=1.0, statement=3.0, idle=5.0)
"""Seconds. A server in trouble is not asked for long."""


class OurSession(NamedTuple):
    """A session of this program. Seconds are None where none is open, or waits."""

    pid: int
    application: str
    """`mirror.evict.name_of` its writer."""
    state: str | None
    wait_type: str | None
    wait: str | None
    open_seconds: float | None
    """Since its transaction began."""
    blocked_seconds: float | None
    """Since it began to wait for a lock."""
    table: str | None
    """The table that it waits for a lock in, as far as is known."""
    blocked_by: list[int]


class Blocker(NamedTuple):
    """Who holds a lock that one of our sessions waits for, or that such a one waits for."""

    pid: int
    """0: a prepared transaction."""
    application: str
    role: str | None
    state: str | None
    kind: str | None
    """The backend's type."""
    open_seconds: float | None
    blocked_by: list[int]


class OldTransaction(NamedTuple):
    """A transaction that has been open for so long that vacuum cannot take away what was updated since."""

    pid: int
    application: str
    role: str | None
    state: str | None
    seconds: float


class Server(NamedTuple):
    """The server and this database."""

    sessions: list[OurSession]
    blockers: list[Blocker]
    """Those who are not blocked themselves come first where they have been at it for longest."""
    old: list[OldTransaction]
    in_recovery: bool
    read_only: bool
    """Transactions of this role may not write, unless they say so."""
    connections: int
    most_connections: int
    """Those reserved for superusers left out."""
    hidden: int
    """Sessions in this database of which this role may not see more than name and process id."""
    archiving_fails: float | None
    """Seconds since WAL was last archived; None: its archiving does not fail."""
    most_wal: int
    """Bytes: max_wal_size."""
    wal_since_checkpoint: int | None
    """Bytes; None: not known. Far above `most_wal`: checkpoints fail, or do not keep up."""
    size: int | None
    """Bytes of the database; None: it could not be told in time."""


async def read_server(session: Session, *, old_after: float) -> Server:
    """Read it, in short transactions. `old_after`: seconds from when on a transaction is told as old.

    Raises DatabaseUnavailable when even that takes too long.
    """
    async with session.transaction(limits=_SHORT):
        sessions = [OurSession(*row) for row in await session.fetch(_SESSIONS)]
        blockers = await _blockers(session, (pid for each in sessions for pid in each.blocked_by))
        old = [OldTransaction(*row) for row in await session.fetch(_OLD, old_after)]
        (told,) = await session.fetch(_SERVER)
    wal, size = await _value(session, _WAL), await _value(session, _SIZE)
    return Server(sessions, blockers, old, **dict(told), wal_since_checkpoint=wal, size=size)


async def _blockers(session: Session, pids: Iterable[int]) -> list[Blocker]:
    wanted = sorted(set(pids))
    return [Blocker(*row) for row in await session.fetch(_BLOCKERS, wanted)] if wanted else []


async def _value(session: Session, query: str) -> int | None:
    """What a role may not see, or what takes too long, is not told."""
    try:
        async with session.transaction(limits=_SHORT):
            found = await session.fetchval(query)
    except (DatabaseRefused, DatabaseUnavailable):
        return None
    return None if found is None else int(found)
