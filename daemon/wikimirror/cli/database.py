"""`migrate`, `check-config` and `sql`: the settings and the database."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from wikimirror.cli import options
from wikimirror.cli.output import clean, give, grid, print_json, shown, stderr, tell_error
from wikimirror.cli.rendering import render_sql
from wikimirror.errors import WikimirrorError
from wikimirror.ops.reports import SqlReport
from wikimirror.settings import CONFIG_VARIABLE

if TYPE_CHECKING:
    from wikimirror.mirror.migrate import MigrationReport, SchemaReport


def migrate(
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the script for a database without the schema; change nothing.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only tell the version; 3 unless it is the one needed.")
    ] = False,
    config: options.Config = None,
    postgres: options.Postgres = None,
    schema: options.Schema = None,
    as_json: options.Json = False,
) -> None:
    """Create the schema, or bring it to the version that this program needs. Safe to run again."""
    if sql and check:
        raise typer.BadParameter("--sql and --check exclude each other")
    from wikimirror import app

    settings = app.settings_from(config, {"postgres.url": postgres, "postgres.schema": schema})
    if sql:
        script = app.migration_sql(settings)
        if as_json:
            print_json({"schema": settings.postgres.schema_name, "sql": script})
        else:
            sys.stdout.write(script)
    elif check:
        report = app.migration_check(settings)
        give(report, _render_check, as_json=as_json)
        if report.found != report.needed:
            raise typer.Exit(3)
    else:
        give(app.migrate(settings), _render_migration, as_json=as_json)


def check_config(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help=f"The settings to check, as TOML. [{CONFIG_VARIABLE}]")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Check the settings: file, secrets directory and environment together. Every fault is named at once."""
    from wikimirror import app

    settings = app.settings_from(file, {})
    give({"settings": settings.told()}, _render_settings, as_json=as_json)


def sql(
    query: Annotated[
        str | None, typer.Argument(metavar="QUERY", help="One statement that reads. Without it, a prompt.")
    ] = None,
    config: options.Config = None,
    postgres: options.Postgres = None,
    schema: options.Schema = None,
    as_json: options.Json = False,
) -> None:
    """Look inside, read only: the configured database, or else the demo's.

    Without QUERY this opens psql where there is one, else a prompt of its own.

    Away from a terminal the statement is read from standard input.
    """
    from wikimirror import app

    settings = app.settings_from(config, {"postgres.url": postgres, "postgres.schema": schema})
    interactive = query is None and sys.stdin.isatty() and not as_json
    if interactive and (code := app.open_psql(settings)) is not None:
        raise typer.Exit(code)
    with app.sql_session(settings) as ask:
        if interactive:
            _prompt(ask)
        else:
            give(ask(query if query is not None else sys.stdin.read()), render_sql, as_json=as_json)


def _prompt(ask: Callable[[str], SqlReport]) -> None:
    stderr().print("There is no psql on this machine. One statement to a line; an empty line ends.")
    while True:
        try:
            statement = input("wikimirror=> ").strip()
        except EOFError:
            return
        if not statement:
            return
        try:
            give(ask(statement), render_sql, as_json=False)
        except WikimirrorError as error:
            tell_error(error, as_json=False)


def _render_check(report: SchemaReport, console: Console) -> None:
    found = report.found or "none"
    console.print(clean(f"schema {report.schema}: {report.state}, found {found}, needed {report.needed}"))


def _render_migration(report: MigrationReport, console: Console) -> None:
    did = f"migrated from {report.before or 'nothing'} to {report.after}" if report.changed else f"is at {report.after}"
    console.print(clean(f"schema {report.schema}: {did}"))
    for note in report.notes:
        stderr().print(clean(note), soft_wrap=True)


def _render_settings(told: dict[str, dict[str, object]], console: Console) -> None:
    console.print("The settings can be used:")
    console.print(grid((key, shown(value)) for key, value in told["settings"].items()), soft_wrap=True)
