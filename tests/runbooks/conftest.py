"""What staged incidents share: a simulated wiki whose changes keep coming, and settings that tell of trouble soon."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.live.world import World, a_day, serve

SEED, ACTIONS = 77, 4000


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """A shell's background jobs ignore SIGINT, and so would their children: a handler here gives them the default."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as served:
        yield served
