"""Live progress on standard error: a bar on a terminal, else a line every few seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from wikimirror.cli.output import stderr
from wikimirror.ops.reports import OnProgress

_SECONDS_BETWEEN_LINES: Final = 5.0


@contextmanager
def progress(what: str, *, quiet: bool) -> Iterator[OnProgress]:
    """Gives the function to call with (done, total, rate). `quiet` shows nothing where there is no terminal."""
    console = stderr()
    if console.is_terminal:
        with _bar(console) as bar:
            task = bar.add_task(what, total=None, rate=0.0, left="")

            def advance(done: int, total: int | None, rate: float) -> None:
                bar.update(task, completed=done, total=total, rate=rate, left=_left(done, total, rate))

            yield advance
    elif quiet:
        yield lambda _done, _total, _rate: None
    else:
        yield _lines(console, what)


def _bar(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("records, {task.fields[rate]:,.0f} a second{task.fields[left]}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )


def _lines(console: Console, what: str) -> OnProgress:
    last = time.monotonic()

    def tell(done: int, total: int | None, rate: float) -> None:
        nonlocal last
        if time.monotonic() - last < _SECONDS_BETWEEN_LINES:
            return
        last = time.monotonic()
        of = f" of {total:,}" if total is not None else ""
        console.print(f"{what}: {done:,}{of} records, {rate:,.0f} a second{_left(done, total, rate)}")

    return tell


def _left(done: int, total: int | None, rate: float) -> str:
    """The share that is done and the time that is left, where they are known."""
    if not total:
        return ""
    share = f", {min(100, 100 * done // total)} %"
    if rate <= 0 or done >= total:
        return share
    return f"{share}, {timedelta(seconds=round((total - done) / rate))} left"
