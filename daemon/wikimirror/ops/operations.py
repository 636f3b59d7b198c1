"""Who did what: the commands that wrote, as each noted itself."""

from __future__ import annotations

from dataclasses import dataclass

from wikimirror.mirror.connect import Session
from wikimirror.mirror.operations import Operation, read_operations


@dataclass(frozen=True, slots=True)
class OperationsReport:
    """The newest first."""

    operations: list[Operation]


async def operations(session: Session, *, limit: int, command: str | None) -> OperationsReport:
    """The last `limit` of them; `command` names a command or a group of commands. The session may be read-only."""
    async with session.transaction():
        return OperationsReport(await read_operations(session, limit=limit, command=command))
