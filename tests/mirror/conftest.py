"""The mirror on the newest Postgres and on the oldest supported."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.properties.budget import Budget, run_budget
from tests.statements import run
from wikimirror.mirror.connect import Session, connect
from wikimirror.mirror.embedded import EmbeddedPostgres
from wikimirror.mirror.migrate import upgrade

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def oldest_server(require_part: Callable[[str, bool, str], None]) -> Iterator[EmbeddedPostgres]:
    """Debian's PostgreSQL 15."""
    require_part("postgres15", (DEBIAN_15 / "postgres").exists(), "apt-get install postgresql-15")
    path = Path(tempfile.mkdtemp(prefix="wm-"))
    path.chmod(0o755)
    try:
        with EmbeddedPostgres(path, fsync=False, bin_dir=DEBIAN_15) as server:
            yield server
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
async def oldest_url(oldest_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """A fresh, migrated database on PostgreSQL 15."""
    name = f"mirror_{next(_numbers)}"
    await run(oldest_server.dsn(), f"CREATE DATABASE {name} TEMPLATE template0")
    await upgrade(oldest_server.dsn(name))
    yield oldest_server.dsn(name)
    await run(oldest_server.dsn(), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["18", "15"])
def any_url(request: pytest.FixtureRequest) -> str:
    """A fresh, migrated database on the newest and on the oldest supported PostgreSQL."""
    url = request.getfixturevalue("database_url" if request.param == "18" else "oldest_url")
    assert isinstance(url, str)
    return url


@pytest.fixture
async def any_session(any_url: str) -> AsyncIterator[Session]:
    async with await connect(any_url) as session:
        yield session


@pytest.fixture(scope="session")
def budget() -> Budget:
    """The property suite's."""
    return run_budget()
