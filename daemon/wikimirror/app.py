"""Builds what a command needs, runs it to its end, and takes it down: the only place that constructs objects.

Each function is one command's work, from checked settings to a report.
"""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import uvloop

from wikimirror.errors import ConfigurationError, DatabaseRefused
from wikimirror.mirror import migrate as migrations
from wikimirror.mirror.connect import Limits, Session, connect, open_connection
from wikimirror.mirror.embedded import EmbeddedPostgres
from wikimirror.mirror.migrate import MigrationReport, SchemaReport, SchemaState
from wikimirror.mirror.preflight import quote_identifier
from wikimirror.model import Coordinates, Record
from wikimirror.observe.logging import configure
from wikimirror.ops import page as ops_page
from wikimirror.ops import play as ops_play
from wikimirror.ops import sql as ops_sql
from wikimirror.ops.compare import Expected
from wikimirror.ops.demo import Rehearsal, rehearse
from wikimirror.ops.reports import DemoReport, HistoryReport, OnProgress, PageReport, PlayReport, SqlReport
from wikimirror.rehearsal import WIKIS, simulate_day
from wikimirror.settings import ScopeSettings, Settings, load
from wikimirror.sources import Recording

T = TypeVar("T")

DATABASE: Final = "wikimirror"
"""The database in the embedded Postgres."""
DEMO_SCHEMA: Final = "demo"
"""Where a demo's mirror is in the embedded Postgres: apart from what was played there."""

DEMO_ACTIONS: Final = 20_000
"""What happens in the simulated wikis in a demo, unless told otherwise."""

_SHORTEST_DAY: Final = 1_200
_ACTIONS_A_SECOND: Final = 300
"""A tenth of what an ordinary machine simulates, applies and compares."""

_TERMINATED: Final = 128 + signal.SIGTERM


@dataclass(frozen=True, slots=True)
class Place:
    """Where the mirror is: its URL, and whether that is the embedded Postgres of `demo` and `play`."""

    url: str
    embedded: bool


def settings_from(path: Path | None, flags: dict[str, Any]) -> Settings:
    """Reads the settings and sets up logging by them. Raises InvalidSettings with every fault."""
    settings = load(path, flags)
    configure(settings.log)
    return settings


def demo(
    settings: Settings, *, seconds: float | None, seed: int | None, actions: int | None, on_progress: OnProgress
) -> DemoReport:
    """Plays a simulated wiki's day into an empty mirror and compares the two."""
    # The day's own wikis are its scope: some of its records come from another one.
    scope = ScopeSettings(wikis=WIKIS)
    settings = settings.model_copy(update={"scope": scope})
    if settings.postgres.url is None and settings.postgres.schema_name == DATABASE:
        settings = _in_schema(settings, DEMO_SCHEMA)

    async def work() -> DemoReport:
        async with _place(settings) as place:
            await (_empty(settings, place) if place.embedded else _refuse_mirror(settings, place))
            await _upgrade(settings, place)
            rehearsal = await asyncio.to_thread(_rehearsal, settings, seed, actions or _affordable(seconds))
            async with await _connect(settings, place) as session:
                return await rehearse(
                    session,
                    settings,
                    rehearsal,
                    seconds=seconds,
                    on_progress=on_progress,
                    look_inside=_look_inside(settings, place),
                )

    return _run(work())


def play(settings: Settings, files: list[Path], *, on_progress: OnProgress) -> PlayReport:
    """Applies recorded captures, in the order given; an empty database is migrated first."""
    recordings = [Recording(path, _now, topic=topic) for path, topic in zip(files, _topics(files), strict=True)]
    for recording in recordings:
        recording.require_readable()

    async def work() -> PlayReport:
        async with _place(settings) as place:
            await _upgrade_if_missing(settings, place)
            async with await _connect(settings, place) as session:
                return await ops_play.play(session, recordings, settings, on_progress)

    return _run(work())


def page_show(settings: Settings, wiki_id: str, page: int | str) -> PageReport:
    """A page as the mirror has it now, by its number or its title."""
    return _run(_reading(settings, lambda session: ops_page.show(session, wiki_id, page)))


def page_history(settings: Settings, wiki_id: str, page: int | str) -> HistoryReport:
    """A page's ledger entries and revisions, by its number or its title."""
    return _run(_reading(settings, lambda session: ops_page.history(session, wiki_id, page)))


@contextmanager
def sql_session(settings: Settings) -> Iterator[Callable[[str], SqlReport]]:
    """Gives a function that runs one statement, read only, in the mirror's schema."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        opened = AsyncExitStack()

        async def open_session() -> Session:
            place = await opened.enter_async_context(_place(settings))
            readable = await _readable(settings, place)
            return await opened.enter_async_context(await _connect(readable, place, write=False))

        try:
            session = runner.run(open_session())
            yield lambda statement: runner.run(ops_sql.run(session, statement))
        finally:
            runner.run(opened.aclose())


def open_psql(settings: Settings) -> int | None:
    """Hands the terminal to psql, read only, in the mirror's schema: its exit code, or None where there is no psql."""

    async def work() -> int | None:
        async with _place(settings) as place:
            postgres = (await _readable(settings, place)).postgres
            return ops_sql.open_psql(place.url, postgres.schema_name, postgres.password_file)

    return _run(work())


def migrate(settings: Settings) -> MigrationReport:
    """Creates the schema, or brings it to this program's version."""
    place = _configured(settings)
    return _run(_upgrade(settings, place))


def migration_sql(settings: Settings) -> str:
    """The script that `migrate` would run on a database without the schema, for an administrator."""
    return migrations.sql(settings.postgres.schema_name, lock_timeout=settings.postgres.lock_timeout.total_seconds())


def migration_check(settings: Settings) -> SchemaReport:
    """Which version the schema has, against what this program needs. Changes nothing."""
    return _run(_check_schema(settings, _configured(settings)))


def state_directory() -> Path:
    """Where `demo` and `play` keep their Postgres: wikimirror/demo in XDG_STATE_HOME, by default ~/.local/state."""
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "wikimirror" / "demo"


@asynccontextmanager
async def _place(settings: Settings) -> AsyncIterator[Place]:
    """The configured server, or else the embedded one, started."""
    if settings.postgres.url is not None:
        yield _configured(settings)
        return
    # Without fsync: what is in it can be played again, and it is never used for production.
    async with EmbeddedPostgres(state_directory(), fsync=False) as server:
        await _make_database(server.dsn("postgres"))
        yield Place(server.dsn(DATABASE), embedded=True)


def _affordable(seconds: float | None) -> int:
    """As long a day as the time surely suffices for, yet one in which every situation comes up."""
    if seconds is None:
        return DEMO_ACTIONS
    return min(DEMO_ACTIONS, max(_SHORTEST_DAY, round(seconds * _ACTIONS_A_SECOND)))


def _rehearsal(settings: Settings, seed: int | None, actions: int) -> Rehearsal:
    """A simulated day, as records, and its truth as the mirror is to show it."""
    seed = secrets.randbelow(2**31) if seed is None else seed
    day = simulate_day(seed, actions, out_of_scope=True)
    received = _now()
    current = {(page.wiki_id, page.rev_id) for page in day.truth.pages.values()}
    texts = {key: body._asdict() for key, body in day.truth.bodies.items()}
    keep_all = settings.history.bodies == "all"
    return Rehearsal(
        records=[
            Record(Coordinates("rehearsal", each.topic, each.partition, each.offset), each.value, received)
            for each in day.arrivals
        ],
        situations={situation.value: count for situation, count in day.situations.items()},
        expected=Expected(
            pages={key: page._asdict() for key, page in day.truth.pages.items()},
            revisions={key: revision._asdict() for key, revision in day.truth.revisions.items()},
            bodies={key: row for key, row in texts.items() if keep_all or key[:2] in current},
            permitted=texts,
            forbidden=day.truth.forbidden,
        ),
        seed=seed,
    )


def _configured(settings: Settings) -> Place:
    if settings.postgres.url is None:
        raise ConfigurationError(
            "no database is named",
            remedy="Say --postgres URL, or set WIKIMIRROR_POSTGRES__URL or postgres.url in the settings file.",
        )
    return Place(settings.postgres.url.get_secret_value(), embedded=False)


async def _make_database(url: str) -> None:
    connection, _ = await open_connection(url)
    try:
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8'")
    finally:
        await connection.close()


def _in_schema(settings: Settings, name: str) -> Settings:
    return settings.model_copy(update={"postgres": settings.postgres.model_copy(update={"schema_name": name})})


async def _empty(settings: Settings, place: Place) -> None:
    """A demo in the embedded Postgres begins anew: its own schema, and nothing else there, is dropped."""
    connection, _ = await open_connection(place.url)
    try:
        await connection.execute("SET client_min_messages TO warning")
        await connection.execute(f"DROP SCHEMA IF EXISTS {quote_identifier(settings.postgres.schema_name)} CASCADE")
    finally:
        await connection.close()


async def _refuse_mirror(settings: Settings, place: Place) -> None:
    """A demo compares the whole mirror: it does not mix with another, and empties only what is its own."""
    if await _schema_state(settings, place) is not SchemaState.MISSING:
        raise DatabaseRefused(
            f"the schema {settings.postgres.schema_name} holds a mirror already, and a demo needs an empty one",
            remedy="Name a schema that is not there yet: --schema rehearsal.",
        )


async def _readable(settings: Settings, place: Place) -> Settings:
    """Where to look: in the embedded Postgres what was played, or else the demo; on a server of the user's as set."""
    if not place.embedded or await _schema_state(settings, place) is not SchemaState.MISSING:
        return settings
    demo_settings = _in_schema(settings, DEMO_SCHEMA)
    if settings.postgres.schema_name == DATABASE and (
        await _schema_state(demo_settings, place) is not SchemaState.MISSING
    ):
        return demo_settings
    raise DatabaseRefused(
        f"the embedded Postgres holds no schema {settings.postgres.schema_name} yet",
        remedy="Run `wikimirror demo` or `wikimirror play FILE` first, or name a database: --postgres URL.",
    )


async def _upgrade(settings: Settings, place: Place) -> MigrationReport:
    postgres = settings.postgres
    return await migrations.upgrade(
        place.url,
        postgres.schema_name,
        password_file=postgres.password_file,
        lock_timeout=postgres.lock_timeout.total_seconds(),
    )


async def _upgrade_if_missing(settings: Settings, place: Place) -> None:
    """Migrates a database without the schema; one at another version is for `migrate`, said in so many words."""
    if place.embedded or await _schema_state(settings, place) is SchemaState.MISSING:
        await _upgrade(settings, place)


async def _check_schema(settings: Settings, place: Place) -> SchemaReport:
    postgres = settings.postgres
    return await migrations.check(place.url, postgres.schema_name, password_file=postgres.password_file)


async def _schema_state(settings: Settings, place: Place) -> SchemaState:
    return (await _check_schema(settings, place)).state


async def _connect(settings: Settings, place: Place, *, write: bool = True) -> Session:
    postgres = settings.postgres
    limits = Limits(lock=postgres.lock_timeout.total_seconds(), statement=postgres.statement_timeout.total_seconds())
    return await connect(
        place.url, schema=postgres.schema_name, password_file=postgres.password_file, write=write, limits=limits
    )


async def _reading(settings: Settings, work: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
    async with _place(settings) as place:
        readable = await _readable(settings, place)
        async with await _connect(readable, place, write=False) as session:
            return await work(session)


def _look_inside(settings: Settings, place: Place) -> str:
    words = [str(Path(sys.argv[0])) if Path(sys.argv[0]).name == "wikimirror" else "wikimirror", "sql"]
    if not place.embedded:
        words += ["--postgres", "URL"]
    if settings.postgres.schema_name != DATABASE:
        words += ["--schema", settings.postgres.schema_name]
    return " ".join([*words, '"SELECT state, count(*) FROM page GROUP BY state"'])


def _topics(files: list[Path]) -> list[str]:
    """A topic for each file: its name, or its path where two files share a name."""
    names = [path.name for path in files]
    return [path.name if names.count(path.name) == 1 else str(path) for path in files]


def _now() -> int:
    return time.time_ns() // 1000


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Runs to the end, or until interrupted: either way everything that was opened is closed."""
    tune_collector()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_until_terminated(work))


def tune_collector() -> None:
    """Lets Python's cycle collector run seldom: a batch is thousands of objects without cycles (docs/benchmarks.md)."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def _until_terminated(work: Coroutine[Any, Any, T]) -> T:
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            task.cancel()
            await asyncio.wait({task})
            raise
        raise SystemExit(_TERMINATED) from None
