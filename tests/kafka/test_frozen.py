"""A member that is frozen past its session and wakes up: not one row of its is written any more (promise P5)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kafka.members import SESSION, SHORT_SESSION, serve_group, writers_of
from tests.live import audit
from tests.live.freezing import BETWEEN, WITHIN, freeze
from tests.live.probes import until_answers
from tests.live.world import a_day
from wikimirror.mirror.evict import name_of

SEED, ACTIONS = 51, 3000
RATE = 150.0
MISSED = SESSION + 1.0
"""Seconds from the last heartbeat until the broker gives the member up, and the other one hears of it by its own."""
TAKEOVER = MISSED + 4.0
"""And until that one has drained, joined again, ended what the frozen one left open, connected, and made a first batch
durable: each a matter of tenths of a second, on two cores that others share."""


@pytest.mark.parametrize("where", [WITHIN, BETWEEN])
async def test_frozen_past_its_session_and_woken_it_writes_not_one_row_and_joins_anew(
    kafka: str, database_url: str, tmp_path: Path, tell: Callable[[str], None], where: str
) -> None:
    day = a_day(SEED, ACTIONS)
    async with serve_group(day, kafka, database_url, tmp_path, settings={"source": SHORT_SESSION}) as group:
        former, latter = await group.join("former"), await group.join("latter")
        await group.shared(former, latter)
        group.world.publish(RATE)
        for each in (former, latter):
            await each.line("durable")

        await freeze(database_url, former, where)
        frozen = time.monotonic()
        assert former.lanes
        (writer,) = set((await writers_of(database_url, former.lanes)).values())
        session = name_of(writer)
        await group.shared(latter)
        reading = latter.lines("reading")[-1]["heard"]
        while (line := await latter.line("durable"))["heard"] < reading:
            pass
        seconds = line["heard"] - frozen
        tell(f"takeover {seconds:.1f} s after SIGSTOP {where}, session {SESSION:.0f} s")
        assert seconds < TAKEOVER
        assert not group.world.publication.done, "it is not tried under load"

        written = await audit.written_by(database_url, session)
        assert written > 0
        woken = len(former.lines("durable"))
        former.wake()
        await group.shared(former, latter)
        await until_answers(former, "/readyz", 200)
        # It works again, and says so as another writer.
        assert not group.world.publication.done, "it is not tried under load"
        while len(former.lines("durable")) <= woken:
            await former.line("durable")
        (again,) = set((await writers_of(database_url, former.lanes)).values())
        assert again != writer
        await group.finish(former, latter, exact=where == WITHIN)
        assert await audit.written_by(database_url, session) == written, "rows of the former assignment came through"
        assert await audit.written_by(database_url, name_of(again)) > 0
