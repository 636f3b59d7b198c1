"""Seeing how the lanes of a daemon fare, with windows of seconds instead of minutes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import pytest

from tests.live.within import Following
from wikimirror.mirror.connect import connect
from wikimirror.mirror.lanes import NotedLane, read_lanes
from wikimirror.model import Lane
from wikimirror.observe.lanes import LaneState, LaneVerdict

EVERY: Final = 0.1
PROOF: Final = 2.0
HEALTH: Final = {"stalled_after": "1500ms", "silent_after": "3s", "behind_after": "1s"}
SECONDS: Final = 40.0
"""That anything may take."""


def hasten(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on daemons of this process look at their lanes and tell of them often."""
    monkeypatch.setattr("wikimirror.pipeline.housekeeping._SAMPLE_EVERY", EVERY)
    monkeypatch.setattr("wikimirror.pipeline.housekeeping._TELL_EVERY", 2 * EVERY)
    monkeypatch.setattr("wikimirror.observe.lanes.PROOF", PROOF)


def verdicts(daemon: Following) -> Mapping[Lane, LaneVerdict]:
    """Of the lanes that it holds now."""
    return dict(daemon.telemetry.lanes())


async def _until(daemon: Following, holds: Callable[[], bool]) -> None:
    """Wait until that holds. Fails with what the lanes then are."""
    try:
        await daemon.until(holds, SECONDS)
    except TimeoutError:
        told = "\n".join(f"{lane}: {verdict}" for lane, verdict in verdicts(daemon).items())
        raise AssertionError(f"{SECONDS} s without it, the lanes are:\n{told}") from None


def _anyhow(_: LaneVerdict) -> bool:
    return True


async def until_a_lane(
    daemon: Following, state: LaneState, holds: Callable[[LaneVerdict], bool] = _anyhow
) -> tuple[Lane, LaneVerdict]:
    """Wait until some lane is in that state, with numbers that hold; the first that is."""

    def found() -> Iterator[tuple[Lane, LaneVerdict]]:
        for lane, verdict in verdicts(daemon).items():
            if verdict.state is state and holds(verdict):
                yield lane, verdict

    await _until(daemon, lambda: any(found()))
    return next(found())


async def until_all(daemon: Following, state: LaneState) -> None:
    """Wait until every lane is in that state."""

    def found() -> bool:
        states = {verdict.state for verdict in verdicts(daemon).values()}
        return states == {state}

    await _until(daemon, found)


async def until_told(database_url: str, holds: Callable[[list[NotedLane]], bool]) -> list[NotedLane]:
    """Wait until what Postgres holds of lanes is so; what it then was."""
    async with await connect(database_url) as session, asyncio.timeout(SECONDS):
        while True:
            async with session.transaction():
                told = await read_lanes(session)
            if holds(told):
                return told
            await asyncio.sleep(EVERY)


@asynccontextmanager
async def without(daemon: Following, *states: LaneState) -> AsyncIterator[None]:
    """Meanwhile no lane is in any of these states."""
    seen: set[tuple[Lane, LaneState]] = set()

    async def watch() -> None:
        while True:
            seen.update((lane, verdict.state) for lane, verdict in verdicts(daemon).items() if verdict.state in states)
            await asyncio.sleep(EVERY / 2)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})
    assert seen == set()
