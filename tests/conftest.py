"""Fixtures for tests on a real Postgres: one private cluster for the run, one fresh database for each test.

A part that a machine lacks is skipped loudly, or fails the run when $WIKIMIRROR_REQUIRE (comma list) names it.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.statements import run
from wikimirror.mirror.connect import Session, connect
from wikimirror.mirror.embedded import EmbeddedPostgres
from wikimirror.mirror.migrate import upgrade

TEMPLATE = "migrated_template"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def require_part() -> Callable[[str, bool, str], None]:
    """`require_part(name, found, how)`: go on if the part was found, else skip with `how` to get it, or fail."""
    required = {name.strip() for name in os.environ.get("WIKIMIRROR_REQUIRE", "").split(",") if name.strip()}

    def check(name: str, found: bool, how: str) -> None:  # noqa: FBT001  # it is the question
        if found:
            return
        if name in required:
            pytest.fail(f"$WIKIMIRROR_REQUIRE asks for {name}, which this machine lacks: {how}")
        pytest.skip(f"NOT TRIED, this machine lacks {name}: {how}")

    return check


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """The run's private Postgres, without fsync. Its directory has a short name, for the socket's sake."""
    data_dir = Path(tempfile.mkdtemp(prefix="wm-"))
    try:
        with EmbeddedPostgres(data_dir, fsync=False, tcp=True, settings={"max_connections": "200"}) as server:
            yield server
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url(postgres_server: EmbeddedPostgres) -> str:
    """The URL of the run's Postgres, as its superuser, database `postgres`."""
    return postgres_server.dsn()


@pytest.fixture(scope="session")
def _template(postgres_server: EmbeddedPostgres) -> str:
    async def make() -> None:
        await run(postgres_server.dsn(), f"CREATE DATABASE {TEMPLATE}")
        await upgrade(postgres_server.dsn(TEMPLATE))

    asyncio.run(make())
    return TEMPLATE


@pytest.fixture
async def make_database(
    postgres_server: EmbeddedPostgres, _template: str
) -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """`await make_database()` gives the URL of a fresh migrated database, `make_database(empty=True)` of an empty one.
    All are dropped after the test."""
    made: list[str] = []

    async def make(*, empty: bool = False) -> str:
        name = f"test_{next(_numbers)}"
        template = "template0" if empty else _template
        await run(postgres_server.dsn(), f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        made.append(name)
        return postgres_server.dsn(name)

    yield make
    for name in made:
        await run(postgres_server.dsn(), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database_url(make_database: Callable[..., Awaitable[str]]) -> str:
    """The URL of a fresh, migrated database of the test's own."""
    return await make_database()


@pytest.fixture
async def session(database_url: str) -> AsyncIterator[Session]:
    """A connected session in the test's own database."""
    async with await connect(database_url) as connected:
        yield connected
