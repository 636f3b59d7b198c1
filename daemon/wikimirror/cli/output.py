"""How results, errors and JSON leave the program: data on standard output, everything else on standard error."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, is_dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, TypeVar

from rich.box import SIMPLE
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wikimirror.errors import WikimirrorError
from wikimirror.settings import InvalidSettings

_WIDTH_WITHOUT_TERMINAL: Final = 140
T = TypeVar("T")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def stdout() -> Console:
    """Where data goes. Read anew each time, so that a redirection counts."""
    width = None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL
    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False, width=width)


def stderr() -> Console:
    """Where progress, remarks and errors go."""
    width = None if sys.stderr.isatty() else _WIDTH_WITHOUT_TERMINAL
    return Console(file=sys.stderr, highlight=False, markup=False, emoji=False, width=width)


def give(report: T, render: Callable[[T, Console], None], *, as_json: bool) -> None:
    """Prints a report for a person, or as one JSON document."""
    if as_json:
        print_json(report)
    else:
        render(report, stdout())


def print_json(document: object) -> None:
    """One JSON document and a line break on standard output."""
    sys.stdout.write(json.dumps(document, default=_plain, ensure_ascii=False, indent=2) + "\n")


def tell_error(error: WikimirrorError, *, as_json: bool) -> None:
    """An error for a person on standard error, or as a JSON document on standard output."""
    if as_json:
        print_json(error_document(type(error).__name__, str(error), error.remedy, error.exit_code, error))
        return
    console = stderr()
    console.print(Text.assemble(("wikimirror: ", "bold red"), clean(str(error))), soft_wrap=True)
    if error.remedy:
        console.print(Text(clean(error.remedy)), soft_wrap=True)


def error_document(
    kind: str, message: str, remedy: str, exit_code: int, error: BaseException | None = None
) -> dict[str, Any]:
    """What `--json` gives instead of a report when a command fails."""
    told: dict[str, Any] = {"kind": kind, "message": message, "remedy": remedy, "exit_code": exit_code}
    if isinstance(error, InvalidSettings):
        told["faults"] = [fault._asdict() for fault in error.faults]
    return {"error": told}


def clean(text: str) -> str:
    """`text` without characters that would steer a terminal: titles and comments are written by strangers."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def shown(value: object) -> str:
    """A value for a person. Absent is `–`."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case list():
            return ", ".join(map(shown, value)) or "all"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M:%S")
        case _:
            return clean(str(value))


def grid(rows: Iterable[tuple[str, str]], *, indent: int = 2) -> Text:
    """Names and what they hold, in two columns, a line each."""
    told = list(rows)
    width = max((cell_len(name) for name, _ in told), default=0)
    lines = [
        Text.assemble(" " * indent, (set_cell_size(name, width), "bold"), "  ", value.rstrip()) for name, value in told
    ]
    return Text("\n").join(lines)


def listing(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Table:
    """Rows under headings."""
    table = Table(box=SIMPLE, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(Text(clean(column)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(value)) for value in row))
    return table


def counts(by_name: Mapping[str, int]) -> str:
    """Counts by name, the greatest first."""
    ordered = sorted(by_name.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {count:,}" for name, count in ordered)


def plural(count: int, one: str, many: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{count:,} {one if count == 1 else many}"


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).hex()
    return str(value)
