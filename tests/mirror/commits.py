"""A session whose COMMIT waits, or fails in one of the ways in which connections fail."""

from __future__ import annotations

import asyncio
from typing import Any, Self, cast

import asyncpg

from tests.properties.faults import Failing, Fault
from wikimirror.mirror.connect import Session


class AtCommit(Failing):
    """Stands for a session's connection; `of` puts it there."""

    @classmethod
    def of(cls, session: Session) -> Self:
        found = cls(session.connection, Fault.REFUSED, 0)
        session.connection = cast("asyncpg.Connection", found)
        return found

    async def execute(self, query: str, *arguments: Any, **options: Any) -> Any:
        if query == "COMMIT":
            await self.at_commit()
        return await super().execute(query, *arguments, **options)

    async def at_commit(self) -> None:
        """What happens before it is sent."""
        raise NotImplementedError


class Pausing(AtCommit):
    """Waits before COMMIT until it is told to go on."""

    def __init__(self, connection: asyncpg.Connection, fault: Fault, number: int) -> None:
        super().__init__(connection, fault, number)
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def at_commit(self) -> None:
        self.reached.set()
        await self.go_on.wait()


class Unanswered(AtCommit):
    """COMMIT takes place; its reply and the connection are lost."""

    fault = Fault.UNANSWERED

    async def at_commit(self) -> None:
        self._fault, self._left = self.fault, 1


class Cut(Unanswered):
    """COMMIT is never sent, and the connection is lost."""

    fault = Fault.CUT
