"""Simulated days, each made once for the run."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

import pytest

from wikimirror.rehearsal import Day, simulate_day
from wikimirror.rehearsal.day import SITES, RunningDay
from wikimirror.rehearsal.simulation import run_day
from wikimirror.rehearsal.streams import publish

Json = dict[str, Any]


@pytest.fixture(scope="session")
def day_of() -> Callable[[int], Day]:
    """The day of a seed with 2,000 actions."""
    return cache(simulate_day)


@pytest.fixture(scope="session")
def day(day_of: Callable[[int], Day]) -> Day:
    """The day of seed 1."""
    return day_of(1)


@pytest.fixture(scope="session")
def running() -> RunningDay:
    """The wikis of seed 1 at the end of the day, with the log of what they announced."""
    return run_day(1, 2000)


@pytest.fixture(scope="session")
def records(running: RunningDay) -> list[Json]:
    """Every record of seed 1 once, in the order in which things happened."""
    return [json.loads(each.value) for each in publish(running.log, SITES, Random(7))]
