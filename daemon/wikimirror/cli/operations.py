"""`operations`: who did what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console

from wikimirror.cli import options
from wikimirror.cli.live_rendering import duration
from wikimirror.cli.output import give, listing
from wikimirror.ops.operation_reports import OperationRow, OperationsReport


def operations(
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="How many, the newest.")] = 50,
    command: Annotated[
        str | None,
        typer.Option("--command", metavar="NAME", help="Of one command, or of a group such as dead-letters."),
    ] = None,
    config: options.Config = None,
    postgres: options.Postgres = None,
    schema: options.Schema = None,
    as_json: options.Json = False,
) -> None:
    """List who gave which command that writes, when, and what came of it, the newest first. Reads Postgres only."""
    from wikimirror import app

    settings = app.settings_from(config, {"postgres.url": postgres, "postgres.schema": schema})
    give(app.operations(settings, limit=limit, command=command), render_operations, as_json=as_json)


def render_operations(report: OperationsReport, console: Console) -> None:
    """A row for each."""
    if not report.operations:
        console.print("No command has written yet.")
        return
    columns = ("number", "started", "who", "command", "arguments", "result", "took", "what it did")
    console.print(listing(columns, map(_row, report.operations)))


def _row(operation: OperationRow) -> tuple[object, ...]:
    result = f"{operation.result}, dry run" if operation.dry_run else operation.result
    return (
        str(operation.operation_id), operation.started_at, operation.who, operation.command,
        _told(operation.arguments), result, duration(operation.seconds), _told(operation.summary or {}),
    )  # fmt: skip


def _told(values: Mapping[str, Any]) -> str:
    """`name=value`, a space between them; what is more than one value as JSON."""
    return " ".join(
        f"{name}={value if isinstance(value, (str, int, float)) else json.dumps(value, ensure_ascii=False)}"
        for name, value in values.items()
    )
