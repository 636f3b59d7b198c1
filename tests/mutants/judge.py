"""A pytest plugin for a run against a copy of the package: proves which copy is tried, and tells what failed.

Ends the run at the first failure that an assertion of the tests made. Anything else that goes wrong is told too, but
the run goes on: a break that merely crashes proves nothing about the tests.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import wikimirror

PACKAGE = "WIKIMIRROR_MUTANTS_PACKAGE"
VERDICT = "WIKIMIRROR_MUTANTS_VERDICT"
ERROR = "WIKIMIRROR_MUTANTS_ERROR"
"""The name of an error that is as good as an assertion, for a break that consists in it."""
TESTS = Path(__file__).resolve().parents[1]

hypothesis.settings.register_profile(
    "mutants",
    database=None,
    derandomize=True,
    phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
    report_multiple_bugs=False,
)
hypothesis.settings.load_profile("mutants")

_told: dict[str, Any] = {"package": "", "killer": None, "passed": 0, "others": []}


def pytest_configure() -> None:
    found, wanted = Path(wikimirror.__file__).resolve().parent, Path(os.environ[PACKAGE]).resolve()
    if found != wanted:
        pytest.exit(f"the tests would import {found}, not the copy {wanted}", returncode=70)
    _told["package"] = str(found)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report: pytest.TestReport = yield  # type: ignore[assignment]  # pytest sends the report
    if report.failed:
        error = call.excinfo.value if call.excinfo is not None else None
        if call.when == "call" and error is not None and (is_by_assertion(error) or _is_expected(error)):
            _told["killer"] = _told["killer"] or item.nodeid
            item.session.shouldstop = "a test has noticed"
        else:
            _told["others"].append(f"{item.nodeid} ({call.when}): {type(error).__name__}")
    elif report.passed and call.when == "call":
        _told["passed"] += 1
    return report  # type: ignore[return-value]  # likewise


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        _told["others"].append(f"{report.nodeid} (collect)")


def pytest_sessionfinish() -> None:
    Path(os.environ[VERDICT]).write_text(json.dumps(_told))


def _is_expected(error: BaseException) -> bool:
    return type(error).__name__ == os.environ.get(ERROR)


def is_by_assertion(error: BaseException) -> bool:
    """Whether a test's own assertion failed: an `assert` in tests/, or what pytest.raises or pytest.fail say."""
    if isinstance(error, BaseExceptionGroup):
        return any(is_by_assertion(each) for each in error.exceptions)
    if isinstance(error, pytest.fail.Exception):
        return not str(error).startswith("Timeout")
    if not isinstance(error, AssertionError) or error.__traceback__ is None:
        return False
    innermost = error.__traceback__
    while innermost.tb_next is not None:
        innermost = innermost.tb_next
    return Path(innermost.tb_frame.f_code.co_filename).resolve().is_relative_to(TESTS)
