"""Who did what: a row for each command that writes, dry runs included. For people; nothing is decided by it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from wikimirror.mirror.connect import Session

_BEGIN = """
INSERT INTO operation (who, role, command, arguments, dry_run, started_at, result)
VALUES ($1, session_user, $2, $3::jsonb, $4, clock_timestamp(), 'running')
RETURNING operation_id
"""
_END = """
UPDATE operation SET ended_at = clock_timestamp(), result = $2, summary = $3::jsonb WHERE operation_id = $1
"""
_READ = """
SELECT operation_id, who, role, command, arguments::text AS arguments, dry_run, started_at, ended_at, result,
    summary::text AS summary, extract(epoch FROM ended_at - started_at)::float8 AS seconds
FROM operation WHERE $1::text IS NULL OR command = $1 OR starts_with(command, $1 || ' ')
ORDER BY operation_id DESC LIMIT $2
"""


class Result(StrEnum):
    """How an operation ended, or that it has not."""

    RUNNING = "running"
    """It is at work, or its process was killed."""
    DONE = "done"
    REFUSED = "refused"
    """It changed nothing and said why."""
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Operation:
    """What a command did. Times are the server's."""

    operation_id: int
    who: str
    role: str
    """The role of its database session."""
    command: str
    arguments: dict[str, Any]
    dry_run: bool
    started_at: datetime
    ended_at: datetime | None
    result: str
    summary: dict[str, Any] | None
    """What it did, in numbers."""
    seconds: float | None
    """From start to end."""


async def begin_operation(
    session: Session, *, who: str, command: str, arguments: Mapping[str, object], dry_run: bool
) -> int:
    """Note that a command begins, in a transaction of its own. Returns the row's number.

    `arguments` and, at the end, the summary hold no secrets, texts or editors' names: what JSON cannot say is told as
    text.
    """
    async with session.transaction():
        return int(await session.fetchval(_BEGIN, who, command, _json(arguments), dry_run))


async def end_operation(session: Session, operation_id: int, result: Result, summary: Mapping[str, object]) -> None:
    """Note how it ended, in a transaction of its own."""
    async with session.transaction():
        await session.execute(_END, operation_id, result.value, _json(summary))


async def read_operations(session: Session, *, limit: int, command: str | None = None) -> list[Operation]:
    """Within a transaction: the newest first. `command` names a command or a group of commands."""
    return [_operation(row) for row in await session.fetch(_READ, command, limit)]


def _operation(row: Any) -> Operation:
    columns = dict(row)
    columns["arguments"] = json.loads(columns["arguments"])
    columns["summary"] = None if columns["summary"] is None else json.loads(columns["summary"])
    return Operation(**columns)


def _json(told: Mapping[str, object]) -> str:
    return json.dumps(dict(told), default=str)
