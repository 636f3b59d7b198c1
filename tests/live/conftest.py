"""What tests of the running daemon share; what they measured is told at the end of every run."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest

_told: list[str] = []


@pytest.fixture(scope="session")
def tell() -> Callable[[str], None]:
    """Tell something at the end of the run."""
    return _told.append


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """A shell's background jobs ignore SIGINT, and so would their children: a handler here gives them the default."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in _told:
        terminalreporter.write_line(f"live: {line}")
