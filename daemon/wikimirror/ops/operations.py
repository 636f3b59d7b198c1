"""Who did what: the commands that wrote, as each noted itself."""

from __future__ import annotations

from wikimirror.mirror.connect import Session
from wikimirror.mirror.operations import read_operations
from wikimirror.ops.operation_reports import OperationRow, OperationsReport


async def operations(session: Session, *, limit: int, command: str | None) -> OperationsReport:
    """The last `limit` of them; `command` names a command or a group of commands. The session may be read-only."""
    async with session.transaction():
        rows = await read_operations(session, limit=limit, command=command)
    return OperationsReport([OperationRow(**row._asdict()) for row in rows])
