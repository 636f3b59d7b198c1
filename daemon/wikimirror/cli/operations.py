"""`operations`: who did what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console

from wikimirror.cli import options
from wikimirror.cli.live_rendering import duration
from wikimirror.cli.output import give, listing

if TYPE_CHECKING:
    from wikimirror.mirror.operations import Operation
    from wikimirror.ops.operations import OperationsReport

_MOST: Final = 10
"""Values of a list that are told one by one."""


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
    """List who gave which command that writes, when, and what came of it, the newest first. Reads Postgres only.

    --json tells all that was noted, such as the numbers of the letters discarded.
    """
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


def _row(operation: Operation) -> tuple[object, ...]:
    result = f"{operation.result}, dry run" if operation.dry_run else operation.result
    return (
        str(operation.operation_id), operation.started_at, operation.who, operation.command,
        _told(operation.arguments), result, duration(operation.seconds), _told(operation.summary or {}),
    )  # fmt: skip


def _told(values: Mapping[str, Any]) -> str:
    """`name value`, a comma between them. What was not, and all of a long list, is for --json."""
    said = {name: _said(value) for name, value in values.items()}
    return ", ".join(f"{name} {text}".rstrip() for name, text in said.items() if text is not None)


def _said(value: Any) -> str | None:
    match value:
        case None | False | 0:
            return None
        case True:
            return ""
        case int():
            return f"{value:,}"
        case Mapping():
            counts = {name: total for name, each in value.items() if (total := _total(each))}
            return " + ".join(f"{name} {total:,}" for name, total in counts.items()) or None
        case list() if len(value) > _MOST or any(isinstance(each, (dict, list)) for each in value):
            return f"({len(value)})"
        case list():
            return " ".join(map(str, value)) or None
        case _:
            return str(value)


def _total(counted: Any) -> int:
    """A count, or the sum of what was counted by further names."""
    if isinstance(counted, Mapping):
        return sum(map(_total, counted.values()))
    return counted if isinstance(counted, int) else 0
