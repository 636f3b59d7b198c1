"""Fixtures for tests on a real Postgres: one private cluster for the run, one fresh database for each test.

And on a real Kafka: one private broker for the run, or the one that $KAFKA_BOOTSTRAP names.

A part that a machine lacks is skipped loudly, or fails the run when $WIKIMIRROR_REQUIRE (comma list) names it. What
tests of running daemons measured is told at the end of every run.
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
from wikimirror.rehearsal.broker import KafkaBroker
from wikimirror.rehearsal.broker_home import HOW_TO_GET_KAFKA, find_java, find_kafka, outside_broker

TEMPLATE = "migrated_template"
_numbers = itertools.count(1)
_told: list[str] = []


@pytest.fixture(scope="session")
def tell() -> Callable[[str], None]:
    """Tell something at the end of the run."""
    return _told.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in _told:
        terminalreporter.write_line(f"live: {line}")


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


@pytest.fixture(scope="session")
def own_kafka(require_part: Callable[[str, bool, str], None]) -> None:
    """What a test asks for that makes a broker of its own: Kafka's jars and a Java."""
    require_part("kafka", find_kafka() is not None and find_java() is not None, HOW_TO_GET_KAFKA)


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[str]:
    """The bootstrap servers ("host:port") of the run's Kafka, which asks nobody who they are."""
    outside = outside_broker()
    if outside is not None:
        yield outside
        return
    request.getfixturevalue("own_kafka")
    directory = Path(tempfile.mkdtemp(prefix="wm-kafka-"))
    broker = KafkaBroker(directory)
    try:
        asyncio.run(broker.start())
        yield broker.bootstrap
        asyncio.run(broker.stop())
    finally:
        asyncio.run(broker.kill())
        shutil.rmtree(directory, ignore_errors=True)
