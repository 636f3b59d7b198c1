"""A connection that fails at its n-th statement, in one of the ways in which connections fail."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, cast

import asyncpg

from wikimirror.mirror.connect import Session


class Fault(StrEnum):
    """What happens at the statement."""

    REFUSED = "refused"
    """It is not sent; the connection lives on."""
    CUT = "cut"
    """It is not sent; the connection is gone."""
    UNANSWERED = "unanswered"
    """It is carried out; the reply and the connection are gone."""


class Failing:
    """Stands for a session's connection. Statements are numbered from 1; `failed` says which one was hit."""

    def __init__(self, connection: asyncpg.Connection, fault: Fault, number: int) -> None:
        self._connection = connection
        self._fault = fault
        self._left = number
        self.failed: str | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def execute(self, query: str, *arguments: Any, **options: Any) -> Any:
        return await self._call("execute", query, *arguments, **options)

    async def executemany(self, query: str, *arguments: Any, **options: Any) -> Any:
        return await self._call("executemany", query, *arguments, **options)

    async def fetch(self, query: str, *arguments: Any, **options: Any) -> Any:
        return await self._call("fetch", query, *arguments, **options)

    async def fetchrow(self, query: str, *arguments: Any, **options: Any) -> Any:
        return await self._call("fetchrow", query, *arguments, **options)

    async def fetchval(self, query: str, *arguments: Any, **options: Any) -> Any:
        return await self._call("fetchval", query, *arguments, **options)

    async def copy_records_to_table(self, table: str, **options: Any) -> Any:
        return await self._call("copy_records_to_table", table, **options)

    async def _call(self, method: str, subject: str, *arguments: Any, **options: Any) -> Any:
        call = getattr(self._connection, method)
        self._left -= 1
        if self._left != 0:
            return await call(subject, *arguments, **options)
        self.failed = subject
        if self._fault is Fault.UNANSWERED:
            await call(subject, *arguments, **options)
        if self._fault is not Fault.REFUSED:
            self._connection.terminate()
        raise ConnectionResetError(104, "cut by the test")


def real(session: Session) -> asyncpg.Connection:
    """The session's connection without the fault."""
    connection: Any = session.connection
    return connection._connection if isinstance(connection, Failing) else connection


def fail_at(session: Session, fault: Fault, number: int) -> Failing:
    """From now on the session's n-th statement fails."""
    failing = Failing(real(session), fault, number)
    session.connection = cast("asyncpg.Connection", failing)
    return failing
