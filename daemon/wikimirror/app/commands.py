"""Commands that read or prepare a mirror, each from checked settings to a report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import uvloop

from wikimirror.app.operating import noted, operating
from wikimirror.app.places import (
    check_schema,
    configured_place,
    find_place,
    open_session,
    readable,
    reading,
    upgrade,
    upgrade_if_missing,
)
from wikimirror.app.ranges import recordings
from wikimirror.app.running import run_to_end
from wikimirror.mirror import migrate as migrations
from wikimirror.mirror.connect import Session
from wikimirror.mirror.migrate import MigrationReport, SchemaReport
from wikimirror.observe.logging import configure
from wikimirror.ops import page as ops_page
from wikimirror.ops import play as ops_play
from wikimirror.ops import sql as ops_sql
from wikimirror.ops import status as ops_status
from wikimirror.ops.live_reports import StatusReport
from wikimirror.ops.reports import HistoryReport, OnProgress, PageReport, PlayReport, SqlReport
from wikimirror.settings import Settings, load


def settings_from(path: Path | None, flags: dict[str, Any], *, quiet: bool = False) -> Settings:
    """Reads the settings and sets up logging by them. Raises InvalidSettings with every fault.

    `quiet`: warnings and news are told only where the settings name a level.
    """
    settings = load(path, flags)
    if quiet and "level" not in settings.log.model_fields_set:
        settings = settings.model_copy(update={"log": settings.log.model_copy(update={"level": "error"})})
    configure(settings.log)
    return settings


def play(settings: Settings, files: list[Path], *, on_progress: OnProgress) -> PlayReport:
    """Applies recorded captures, in the order given; an empty database is migrated first."""
    captures = recordings(files)

    async def work() -> PlayReport:
        async with find_place(settings) as place:
            await upgrade_if_missing(settings, place)
            names = [capture.partition.topic for capture in captures]
            async with operating(settings, place, "play", {"files": names}) as operation:
                report = await ops_play.play(operation.session, captures, settings, on_progress)
                operation.summary |= {"read": report.read, "applied": sum(report.applied.values())}
                return report

    return run_to_end(work())


def page_show(settings: Settings, wiki_id: str, page: int | str) -> PageReport:
    """A page as the mirror has it now, by its number or its title."""
    return run_to_end(reading(settings, lambda session: ops_page.show(session, wiki_id, page)))


def page_history(settings: Settings, wiki_id: str, page: int | str) -> HistoryReport:
    """A page's ledger entries and revisions, by its number or its title."""
    return run_to_end(reading(settings, lambda session: ops_page.history(session, wiki_id, page)))


def status(settings: Settings) -> StatusReport:
    """How far the mirror is and who keeps it, as Postgres knows it."""
    return run_to_end(reading(settings, ops_status.status))


@contextmanager
def sql_session(settings: Settings) -> Iterator[Callable[[str], SqlReport]]:
    """Gives a function that runs one statement, read only, in the mirror's schema."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        opened = AsyncExitStack()

        async def opening() -> Session:
            place = await opened.enter_async_context(find_place(settings))
            there = await readable(settings, place)
            return await opened.enter_async_context(await open_session(there, place, write=False))

        try:
            session = runner.run(opening())
            yield lambda statement: runner.run(ops_sql.run(session, statement))
        finally:
            runner.run(opened.aclose())


def open_psql(settings: Settings) -> int | None:
    """Hands the terminal to psql, read only, in the mirror's schema: its exit code, or None where there is no psql."""

    async def work() -> int | None:
        async with find_place(settings) as place:
            postgres = (await readable(settings, place)).postgres
            return ops_sql.open_psql(place.url, postgres.schema_name, postgres.password_file)

    return run_to_end(work())


def migrate(settings: Settings) -> MigrationReport:
    """Creates the schema, or brings it to this program's version."""
    place = configured_place(settings)

    async def work() -> MigrationReport:
        report = await upgrade(settings, place)
        if report.changed:
            # Not before: the table may be of this very migration.
            async with noted(settings, place, "migrate", {"before": report.before, "after": report.after}):
                pass
        return report

    return run_to_end(work())


def migration_sql(settings: Settings) -> str:
    """The script that `migrate` would run on a database without the schema, for an administrator."""
    return migrations.sql(settings.postgres.schema_name, lock_timeout=settings.postgres.lock_timeout.total_seconds())


def migration_check(settings: Settings) -> SchemaReport:
    """Which version the schema has, against what this program needs. Changes nothing."""
    return run_to_end(check_schema(settings, configured_place(settings)))
