"""One mirror for all of these tests, written by a user who has nothing but the role wikimirror_writer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import pytest

from tests.rights.day import Arriving, arriving
from tests.statements import run
from wikimirror.mirror.connect import Session, connect
from wikimirror.mirror.embedded import EmbeddedPostgres
from wikimirror.ops.play import play_records
from wikimirror.ops.reports import PlayReport, no_progress
from wikimirror.rehearsal import WIKIS
from wikimirror.settings import ScopeSettings, load

DATABASE = "rights"
USERS = ("writer", "reader", "auditor")


@dataclass
class Mirrored:
    """A played day, and how to look at it as one of the roles' users or, without a name, as the superuser."""

    server: EmbeddedPostgres
    arriving: Arriving
    reports: list[PlayReport] = field(default_factory=list)
    statements: set[str] = field(default_factory=set)
    """All that the writer's connection ran."""

    def url(self, role: str | None = None) -> str:
        return self.server.dsn(DATABASE) if role is None else self.server.dsn(DATABASE, user=f"rights_{role}")


class AsUser:
    """`async with await as_user("reader") as session`: connected as a user who has that role and nothing else."""

    def __init__(self, mirrored: Mirrored) -> None:
        self._mirrored = mirrored

    async def __call__(self, role: str | None) -> AbstractAsyncContextManager[Session]:
        return await connect(self._mirrored.url(role), write=role in {None, "writer"})


@pytest.fixture
def as_user(mirrored: Mirrored) -> AsUser:
    return AsUser(mirrored)


@pytest.fixture(scope="session")
def mirrored(postgres_server: EmbeddedPostgres, _template: str) -> Iterator[Mirrored]:
    """The day played twice: copies of changes are told apart by statements of their own."""
    found = Mirrored(postgres_server, arriving())
    asyncio.run(_make(found, _template))
    yield found
    asyncio.run(run(postgres_server.dsn(), f"DROP DATABASE {DATABASE} WITH (FORCE)"))


async def _make(mirrored: Mirrored, template: str) -> None:
    logins = [
        statement
        for role in USERS
        for statement in (f"CREATE ROLE rights_{role} LOGIN", f"GRANT wikimirror_{role} TO rights_{role}")
    ]
    created = f"CREATE DATABASE {DATABASE} TEMPLATE {template} STRATEGY file_copy"
    await run(mirrored.server.dsn(), created, *logins)
    settings = load().model_copy(update={"scope": ScopeSettings(wikis=WIKIS)})
    async with await connect(mirrored.url("writer")) as session:
        session.connection.add_query_logger(lambda said: mirrored.statements.add(said.query))
        for _ in range(2):
            report = await play_records(
                session, mirrored.arriving.read(), mirrored.arriving.lanes, settings, no_progress
            )
            mirrored.reports.append(report)
