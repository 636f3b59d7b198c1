"""Bringing a schema to the version this program needs, printing the SQL for it, and telling which version one has.

Alembic and SQLAlchemy are loaded where they are used: a daemon whose schema is there already needs neither, and they
would be a quarter of its start and of its memory.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import asyncpg

from wikimirror.errors import DatabaseRefused, DatabaseUnavailable
from wikimirror.mirror.connect import DEFAULT_SCHEMA, describe, open_connection
from wikimirror.mirror.migrations.sql import Run
from wikimirror.mirror.preflight import NEWER_REMEDY, SCHEMA_VERSION, explain, read_schema_version, scrub
from wikimirror.mirror.roles import DEFAULT_PREFIX, grants_sql, prepare_sql

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext, RevisionStep
    from sqlalchemy import Connection

_SCRIPTS: Final = Path(__file__).parent / "migrations"
_VERSION_TABLE: Final = "schema_version"


@dataclass(frozen=True, slots=True)
class _Plan:
    """What surrounds the migrations themselves."""

    schema: str
    role_prefix: str
    wait: str
    lock_timeout: str


class SchemaState(StrEnum):
    """How a schema stands to this program."""

    CURRENT = "current"
    BEHIND = "behind"
    """Older: `wikimirror migrate` brings it up."""
    AHEAD = "ahead"
    """Made by a newer program."""
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class SchemaReport:
    """What `check` found."""

    schema: str
    state: SchemaState
    found: str | None
    needed: str = SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What `upgrade` did: the version before (None: nothing was there) and after, and what to tell the user."""

    schema: str
    before: str | None
    after: str
    notes: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """False when the schema was at the version already (grants are renewed even so)."""
        return self.before != self.after


async def upgrade(
    url: str,
    schema: str = DEFAULT_SCHEMA,
    *,
    password_file: Path | None = None,
    role_prefix: str = DEFAULT_PREFIX,
    wait: float = 60.0,
    lock_timeout: float = 5.0,
) -> MigrationReport:
    """Create or upgrade the schema, in one transaction, and grant the roles their rights.

    Safe to run twice and by two programs at once: the second waits, up to `wait` seconds, and finds nothing to do.
    Raises DatabaseRefused when the schema is newer than this program or a right is missing, DatabaseUnavailable when
    a lock is not had in time; nothing is changed then.
    """
    where = describe(url)
    report = await check(url, schema, password_file=password_file)
    if report.state is SchemaState.AHEAD:
        raise DatabaseRefused(
            f"the schema {schema} is at version {report.found}, newer than the {SCHEMA_VERSION} of this program",
            remedy=NEWER_REMEDY,
        )
    notes: list[str] = []

    async def connection_for_alembic() -> asyncpg.Connection:
        connection, _ = await open_connection(url, password_file=password_file, keep_statements=False)
        connection.add_log_listener(lambda _, message: notes.append(_note(message)))
        return connection

    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415  # see above
    from sqlalchemy.pool import NullPool  # noqa: PLC0415  # see above

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connection_for_alembic,
        poolclass=NullPool,
        # Behind a pooler no statement may be kept, and no two programs' statements may share a name.
        connect_args={"prepared_statement_cache_size": 0, "prepared_statement_name_func": lambda: f"__wm_{uuid4()}__"},
    )
    plan = _Plan(schema, role_prefix, _milliseconds(wait), _milliseconds(lock_timeout))
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_migrate_online, plan)
    except Exception as error:
        cause = _asyncpg_error(error)
        scrub(cause)
        if isinstance(cause, asyncpg.LockNotAvailableError):
            raise DatabaseUnavailable(
                f"{where}: another migration of {schema}, or a program that uses it, holds a lock",
                remedy="Nothing was changed. Try again; if it stays so, stop the programs that use the schema.",
            ) from cause
        if isinstance(cause, asyncpg.InsufficientPrivilegeError):
            raise DatabaseRefused(
                f"{where} refused the migration: {cause.args[0]}",
                remedy=f"Have the right granted (GRANT CREATE ON DATABASE …), or an administrator run the output of"
                f" `wikimirror migrate --sql`. Nothing was changed in {schema}.",
            ) from cause
        mapped = explain(cause, where) if isinstance(cause, Exception) else None
        if mapped is None or mapped is cause:
            raise
        raise mapped from cause
    finally:
        await engine.dispose()
    return MigrationReport(schema, report.found, SCHEMA_VERSION, tuple(notes))


def sql(schema: str = DEFAULT_SCHEMA, *, role_prefix: str = DEFAULT_PREFIX, lock_timeout: float = 5.0) -> str:
    """The script that `upgrade` would run on a database without the schema, for psql: one transaction."""
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415  # see above

    output = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql",
        opts={"as_sql": True, "transactional_ddl": True, "output_buffer": output, **_alembic_options()},
    )
    # Settings speak through rows in psql; a script that succeeds says nothing.
    output.write("\\set ON_ERROR_STOP on\n\\set QUIET on\n\\o /dev/null\n")
    with context.begin_transaction():
        _migrate(
            context,
            lambda statement: context.impl.static_output(f"{statement.strip()};"),
            _Plan(schema, role_prefix, _milliseconds(60.0), _milliseconds(lock_timeout)),
        )
    output.write("\\o\n\\set QUIET off\n")
    return output.getvalue()


async def check(url: str, schema: str = DEFAULT_SCHEMA, *, password_file: Path | None = None) -> SchemaReport:
    """Which version the schema has, against what this program needs. Changes nothing; a standby will do."""
    connection, _ = await open_connection(url, password_file=password_file, write=False, keep_statements=False)
    try:
        await connection.execute("BEGIN READ ONLY")
        found = await read_schema_version(connection, schema)
    except asyncpg.PostgresError as error:
        scrub(error)
        raise (explain(error, describe(url)) or error) from None
    finally:
        connection.terminate()
    if found is None:
        return SchemaReport(schema, SchemaState.MISSING, None)
    if found == SCHEMA_VERSION:
        return SchemaReport(schema, SchemaState.CURRENT, found)
    behind = found.isdigit() and int(found) < int(SCHEMA_VERSION)
    return SchemaReport(schema, SchemaState.BEHIND if behind else SchemaState.AHEAD, found)


def _migrate_online(connection: Connection, plan: _Plan) -> None:
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415  # see above

    context = MigrationContext.configure(connection, opts=_alembic_options())

    def run(statement: str) -> None:
        connection.exec_driver_sql(statement)

    _migrate(context, run, plan)


def _migrate(context: MigrationContext, run: Run, plan: _Plan) -> None:
    for statement in prepare_sql(plan.schema, plan.role_prefix, plan.wait, plan.lock_timeout):
        run(statement)
    context.run_migrations(run=run)
    run(grants_sql(plan.role_prefix))


def _alembic_options() -> dict[str, Any]:
    from alembic.runtime.migration import RevisionStep  # noqa: PLC0415  # see above
    from alembic.script import ScriptDirectory  # noqa: PLC0415  # see above

    scripts = ScriptDirectory(str(_SCRIPTS))

    def steps(heads: tuple[str, ...], _: MigrationContext) -> list[RevisionStep]:
        ahead = list(scripts.iterate_revisions(SCHEMA_VERSION, heads or "base"))
        return [RevisionStep(scripts.revision_map, script, is_upgrade=True) for script in reversed(ahead)]

    return {"fn": steps, "version_table": _VERSION_TABLE}


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def _asyncpg_error(error: BaseException) -> BaseException:
    """The error below SQLAlchemy's wrappers."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, asyncpg.PostgresError):
            return seen
        seen = seen.__cause__
    return error


def _note(message: Any) -> str:
    hint = getattr(message, "hint", None)
    return f"{message.message}. {hint}" if hint else str(message.message)
