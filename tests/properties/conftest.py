"""The budget of the property suite, told at the end of every run."""

from __future__ import annotations

import pytest

from tests.properties.budget import Budget, run_budget

_told: list[Budget] = []


@pytest.fixture(scope="session")
def budget() -> Budget:
    """How many histories, of which seed. Fails where the environment says neither."""
    try:
        found = run_budget()
    except ValueError as error:
        pytest.fail(str(error))
    _told.append(found)
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for found in _told:
        alone = "" if found.only is None else f", history {found.only} alone"
        terminalreporter.write_line(f"properties: {found.histories} histories of seed {found.seed}{alone}")
