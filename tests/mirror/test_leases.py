"""Who reads a source: one process at a time, by the server's clock, on the newest and the oldest Postgres."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.mirror.commits import Pausing
from tests.mirror.lanes import rows, value
from wikimirror.errors import DatabaseUnavailable
from wikimirror.mirror import leases
from wikimirror.mirror.connect import Limits, Session, connect
from wikimirror.mirror.leases import Lease, acquire, new_holder, release, renew

SOURCE = "live"
LONG = 3600.0
DEADLINE = 20.0
_LEFT = "SELECT extract(epoch FROM expires_at - clock_timestamp())::float8 FROM lease WHERE source = $1"


@pytest.fixture
async def sessions(any_url: str) -> AsyncIterator[list[Session]]:
    """Four processes' worth."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(await connect(any_url)) for _ in range(4)]


async def run_out(session: Session) -> None:
    async with session.transaction():
        await session.execute("UPDATE lease SET expires_at = clock_timestamp()")


async def test_a_free_lease_is_taken_and_another_is_told_who_has_it(any_session: Session) -> None:
    assert await acquire(any_session, SOURCE, "one", LONG) == Lease("one", 1, held=True)
    assert await acquire(any_session, SOURCE, "two", LONG) == Lease("one", 1, held=False)
    assert LONG - DEADLINE < await value(any_session, _LEFT, SOURCE) <= LONG


async def test_asking_again_renews_ones_own(any_session: Session) -> None:
    await acquire(any_session, SOURCE, "one", 10.0)
    ((acquired, renewed),) = await rows(any_session, "SELECT acquired_at, renewed_at FROM lease")
    assert await acquire(any_session, SOURCE, "one", LONG) == Lease("one", 1, held=True)
    assert await value(any_session, _LEFT, SOURCE) > 10
    ((acquired_then, renewed_then),) = await rows(any_session, "SELECT acquired_at, renewed_at FROM lease")
    assert acquired_then == acquired
    assert renewed_then > renewed


async def test_each_source_has_a_lease_of_its_own(any_session: Session) -> None:
    assert (await acquire(any_session, "one", "me", LONG)).held
    assert (await acquire(any_session, "two", "you", LONG)).held
    assert not (await acquire(any_session, "one", "you", LONG)).held


async def test_a_lease_that_ran_out_is_taken_by_another_and_lost_to_the_former(any_session: Session) -> None:
    await acquire(any_session, SOURCE, "one", LONG)
    since = await value(any_session, "SELECT acquired_at FROM lease")
    await run_out(any_session)
    assert await acquire(any_session, SOURCE, "two", LONG) == Lease("two", 2, held=True)
    assert await value(any_session, "SELECT acquired_at FROM lease") > since
    assert not await renew(any_session, SOURCE, "one", LONG)
    assert await acquire(any_session, SOURCE, "one", LONG) == Lease("two", 2, held=False)


async def test_a_lease_runs_out_by_itself_and_no_sooner(any_session: Session) -> None:
    begun = time.monotonic()
    await acquire(any_session, SOURCE, "one", 0.3)
    while not (answer := await acquire(any_session, SOURCE, "two", LONG)).held:
        assert time.monotonic() < begun + DEADLINE
        await asyncio.sleep(0.01)
    assert answer == Lease("two", 2, held=True)
    assert time.monotonic() - begun > 0.29


async def test_renewing_makes_it_last_from_now(any_session: Session) -> None:
    await acquire(any_session, SOURCE, "one", 10.0)
    assert await renew(any_session, SOURCE, "one", LONG)
    assert await value(any_session, _LEFT, SOURCE) > 10
    assert await value(any_session, "SELECT epoch FROM lease") == 1


async def test_one_that_ran_out_while_nobody_wanted_it_is_renewed(any_session: Session) -> None:
    await acquire(any_session, SOURCE, "one", LONG)
    await run_out(any_session)
    assert await renew(any_session, SOURCE, "one", LONG)
    assert not (await acquire(any_session, SOURCE, "two", LONG)).held


async def test_a_lease_that_nobody_ever_took_cannot_be_renewed(any_session: Session) -> None:
    assert not await renew(any_session, SOURCE, "one", LONG)
    assert await rows(any_session, "SELECT FROM lease") == []


async def test_a_lease_given_back_is_free_at_once(any_session: Session) -> None:
    await acquire(any_session, SOURCE, "one", LONG)
    await release(any_session, SOURCE, "one")
    assert await acquire(any_session, SOURCE, "two", LONG) == Lease("two", 2, held=True)


async def test_nobody_gives_back_anothers(any_session: Session) -> None:
    await acquire(any_session, SOURCE, "one", LONG)
    await release(any_session, SOURCE, "two")
    assert not (await acquire(any_session, SOURCE, "two", LONG)).held


async def test_of_several_who_ask_at_once_exactly_one_gets_it(sessions: list[Session]) -> None:
    for turn in range(40):
        source = f"source {turn // 2}"
        if turn % 2:
            await run_out(sessions[0])
        names = [f"{turn} {number}" for number in range(len(sessions))]
        answers = await asyncio.gather(
            *(acquire(each, source, name, LONG) for each, name in zip(sessions, names, strict=True))
        )
        winners = [name for name, answer in zip(names, answers, strict=True) if answer.held]
        assert len(winners) == 1
        assert {(answer.holder, answer.epoch) for answer in answers} == {(winners[0], 1 + turn % 2)}


async def test_a_stepping_clock_of_the_machine_that_asks_does_not_matter(
    any_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    await acquire(any_session, SOURCE, "one", LONG)
    wall, wall_ns = time.time, time.time_ns
    for hours in (-48, 48):
        monkeypatch.setattr(time, "time", lambda hours=hours: wall() + 3600 * hours)
        monkeypatch.setattr(time, "time_ns", lambda hours=hours: wall_ns() + 3600 * 10**9 * hours)
        assert not (await acquire(any_session, SOURCE, "two", LONG)).held
        assert await renew(any_session, SOURCE, "one", LONG)
        assert LONG - DEADLINE < await value(any_session, _LEFT, SOURCE) <= LONG


async def test_the_clock_is_that_of_the_statement_and_not_of_its_transaction(sessions: list[Session]) -> None:
    """Who waited for another's lock knows what the time is afterwards."""
    one, two = sessions[:2]
    await acquire(one, SOURCE, "one", LONG)
    async with two.transaction():
        await renew(one, SOURCE, "one", 0.05)
        await two.execute("SELECT pg_sleep(0.1)")
        row = await two.fetchrow(leases._ACQUIRE, SOURCE, "two", LONG)
    assert row is not None
    assert row["holder"] == "two"


async def test_whoever_only_looks_writes_and_locks_nothing(sessions: list[Session]) -> None:
    await acquire(sessions[0], SOURCE, "one", LONG)
    before = await rows(sessions[0], "SELECT xmin::text, xmax::text, ctid::text FROM lease")
    assert not (await acquire(sessions[1], SOURCE, "two", LONG)).held
    assert await rows(sessions[0], "SELECT xmin::text, xmax::text, ctid::text FROM lease") == before
    pausing = Pausing.of(sessions[1])
    looking = asyncio.create_task(acquire(sessions[1], SOURCE, "two", LONG))
    await pausing.reached.wait()
    assert await renew(sessions[0], SOURCE, "one", LONG)
    pausing.go_on.set()
    assert not (await looking).held


async def test_a_holder_that_froze_while_it_renewed_holds_nobody_up(
    sessions: list[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen, other = sessions[:2]
    await acquire(frozen, SOURCE, "frozen", 0.1)
    pausing = Pausing.of(frozen)
    monkeypatch.setattr(leases, "_SHORT", Limits(lock=DEADLINE, idle=1.0))
    renewing = asyncio.create_task(renew(frozen, SOURCE, "frozen", LONG))
    await pausing.reached.wait()
    monkeypatch.setattr(leases, "_SHORT", Limits(lock=DEADLINE, idle=DEADLINE))
    begun = time.monotonic()
    while not (await acquire(other, SOURCE, "other", LONG)).held:
        assert time.monotonic() < begun + DEADLINE
        await asyncio.sleep(0.01)
    pausing.go_on.set()
    with pytest.raises(DatabaseUnavailable):
        await renewing


def test_each_process_start_has_a_name_of_its_own() -> None:
    one, two = new_holder(), new_holder()
    assert one != two
    assert re.fullmatch(r"[^/]+/\d+/[0-9a-f]{8}", one)
