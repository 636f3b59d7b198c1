"""Where the mirror is: the configured server, or the embedded Postgres of those who name none."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from wikimirror.errors import ConfigurationError, DatabaseRefused
from wikimirror.mirror import migrate as migrations
from wikimirror.mirror.connect import Limits, Session, connect, open_connection
from wikimirror.mirror.embedded import EmbeddedPostgres
from wikimirror.mirror.migrate import MigrationReport, SchemaReport, SchemaState
from wikimirror.mirror.preflight import quote_identifier
from wikimirror.settings import Settings

T = TypeVar("T")

DATABASE: Final = "wikimirror"
"""The database in the embedded Postgres."""
DEMO_SCHEMA: Final = "demo"
"""Where a demo's mirror is in the embedded Postgres: apart from what was played there."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the mirror is: its URL, and whether that is the embedded Postgres."""

    url: str
    embedded: bool


def state_directory() -> Path:
    """Where `demo` and `play` keep their Postgres: wikimirror/demo in XDG_STATE_HOME, by default ~/.local/state."""
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "wikimirror" / "demo"


@asynccontextmanager
async def find_place(settings: Settings, *, own: bool = False) -> AsyncIterator[Place]:
    """The configured server, or else the embedded one, started.

    `own`: the embedded one must not be another command's, for it ends with whoever started it, and without fsync: a
    crash of the machine may cost the cluster. What was played can be played again, what was followed cannot.
    """
    if settings.postgres.url is not None:
        yield configured_place(settings)
        return
    async with EmbeddedPostgres(state_directory(), fsync=own) as server:
        if own and server.attached:
            raise ConfigurationError(
                "the embedded Postgres is in use by another wikimirror command, and would end with that",
                remedy="End the other command first, or name a server of yours: --postgres URL.",
            )
        await make_database(server.dsn("postgres"))
        yield Place(server.dsn(DATABASE), embedded=True)


def configured_place(settings: Settings) -> Place:
    """The server that the settings name. Raises ConfigurationError where they name none."""
    if settings.postgres.url is None:
        raise ConfigurationError(
            "no database is named",
            remedy="Say --postgres URL, or set WIKIMIRROR_POSTGRES__URL or postgres.url in the settings file.",
        )
    return Place(settings.postgres.url.get_secret_value(), embedded=False)


async def make_database(url: str) -> None:
    """Create the embedded server's database where it is not there yet."""
    connection, _ = await open_connection(url)
    try:
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8'")
    finally:
        await connection.close()


def in_schema(settings: Settings, name: str) -> Settings:
    """The same settings with another schema."""
    return settings.model_copy(update={"postgres": settings.postgres.model_copy(update={"schema_name": name})})


async def empty(settings: Settings, place: Place) -> None:
    """A demo in the embedded Postgres begins anew: its own schema, and nothing else there, is dropped."""
    connection, _ = await open_connection(place.url)
    try:
        await connection.execute("SET client_min_messages TO warning")
        await connection.execute(f"DROP SCHEMA IF EXISTS {quote_identifier(settings.postgres.schema_name)} CASCADE")
    finally:
        await connection.close()


async def refuse_mirror(settings: Settings, place: Place) -> None:
    """A demo compares the whole mirror: it does not mix with another, and empties only what is its own."""
    if await schema_state(settings, place) is not SchemaState.MISSING:
        raise DatabaseRefused(
            f"the schema {settings.postgres.schema_name} holds a mirror already, and a demo needs an empty one",
            remedy="Name a schema that is not there yet: --schema rehearsal.",
        )


async def readable(settings: Settings, place: Place) -> Settings:
    """Where to look: in the embedded Postgres what was played, or else the demo; on a server of the user's as set."""
    if not place.embedded or await schema_state(settings, place) is not SchemaState.MISSING:
        return settings
    demo_settings = in_schema(settings, DEMO_SCHEMA)
    if settings.postgres.schema_name == DATABASE and (
        await schema_state(demo_settings, place) is not SchemaState.MISSING
    ):
        return demo_settings
    raise DatabaseRefused(
        f"the embedded Postgres holds no schema {settings.postgres.schema_name} yet",
        remedy="Run `wikimirror demo` or `wikimirror play FILE` first, or name a database: --postgres URL.",
    )


async def upgrade(settings: Settings, place: Place) -> MigrationReport:
    """Create the schema, or bring it to this program's version."""
    postgres = settings.postgres
    return await migrations.upgrade(
        place.url,
        postgres.schema_name,
        password_file=postgres.password_file,
        lock_timeout=postgres.lock_timeout.total_seconds(),
    )


async def upgrade_if_missing(settings: Settings, place: Place) -> None:
    """Migrates a database without the schema; one at another version is for `migrate`, said in so many words."""
    if place.embedded or await schema_state(settings, place) is SchemaState.MISSING:
        await upgrade(settings, place)


async def check_schema(settings: Settings, place: Place) -> SchemaReport:
    """Which version the schema has."""
    postgres = settings.postgres
    return await migrations.check(place.url, postgres.schema_name, password_file=postgres.password_file)


async def schema_state(settings: Settings, place: Place) -> SchemaState:
    """Whether the schema is there, and fits."""
    return (await check_schema(settings, place)).state


async def open_session(
    settings: Settings, place: Place, *, write: bool = True, idle: float = 60.0, name: str = "wikimirror"
) -> Session:
    """A session in the mirror's schema.

    `idle`: seconds after which the server ends a transaction that stands still; `name`: what the server calls it.
    """
    postgres = settings.postgres
    limits = Limits(
        lock=postgres.lock_timeout.total_seconds(), statement=postgres.statement_timeout.total_seconds(), idle=idle
    )
    return await connect(
        place.url,
        schema=postgres.schema_name,
        application_name=name,
        password_file=postgres.password_file,
        write=write,
        limits=limits,
    )


async def reading(settings: Settings, work: Callable[[Session], Awaitable[T]]) -> T:
    """Do some work on a read-only session, wherever there is something to read."""
    async with find_place(settings) as place:
        there = await readable(settings, place)
        async with await open_session(there, place, write=False) as session:
            return await work(session)
