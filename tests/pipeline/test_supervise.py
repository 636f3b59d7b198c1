"""Who reads a source: leases, takeovers, and what is left to a former owner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

import msgspec
import pytest

from tests.mirror.lanes import value
from tests.pipeline.scripted import SOURCE, Scripted, Step, edits
from tests.pipeline.test_pipeline import LIMITS, PLAN, position
from wikimirror.errors import SourceRefused
from wikimirror.mirror.breaker import Limits
from wikimirror.mirror.connect import Session, connect
from wikimirror.mirror.leases import acquire, renew
from wikimirror.model import Lane
from wikimirror.observe.vitals import Role, Vitals
from wikimirror.pipeline.daemon import Daemon
from wikimirror.pipeline.housekeeping import Housekeeper, Telling
from wikimirror.pipeline.supervise import Supervisor
from wikimirror.sources import Positions

LEASE = 0.6
DEADLINE = 20


@dataclass
class Member:
    """One process's part, as far as a source is concerned."""

    source: Scripted
    vitals: Vitals
    supervisor: Supervisor
    task: asyncio.Task[None]

    async def until_role(self, role: Role) -> None:
        async with asyncio.timeout(DEADLINE):
            while self.vitals.role is not role:  # no event tells of it
                await asyncio.sleep(0.005)

    async def stopped(self) -> None:
        self.supervisor.drain()
        async with asyncio.timeout(DEADLINE):
            await self.task
        assert self.vitals.accounts.unaccounted == 0

    async def killed(self) -> None:
        """As by kill -9, as far as the lease is concerned: it is not given back."""
        self.supervisor._connected_before = False
        self.task.cancel()
        await asyncio.wait({self.task})


Join = Callable[..., Awaitable[Member]]


@pytest.fixture
async def join(database_url: str) -> AsyncIterator[Join]:
    members: list[Member] = []

    async def make(*scripts: list[Step]) -> Member:
        source, vitals = Scripted(list(scripts)), Vitals(SOURCE)

        async def open_one() -> Session:
            return await connect(database_url, limits=LIMITS)

        holder = f"member {len(members)}"
        supervisor = Supervisor(source, open_one, PLAN, vitals, lambda _: None, holder=holder, lease=LEASE)
        member = Member(source, vitals, supervisor, asyncio.create_task(supervisor.run()))
        members.append(member)
        return member

    yield make
    for member in members:
        member.task.cancel()
        await asyncio.wait({member.task})
        if not member.task.cancelled():
            member.task.exception()


async def test_of_two_one_works_and_the_other_stands_by_until_the_lease_is_given_back(
    join: Join, session: Session
) -> None:
    first = await join([*edits(0, 10)])
    await first.source.until_applied(10)
    second = await join([*edits(10, 10)])
    await second.until_role(Role.STANDBY)
    assert second.source.asked == []

    await first.stopped()
    await second.source.until_applied(20)
    assert await position(session) == (2, 20)
    await second.stopped()


async def test_a_lease_that_nobody_renews_is_taken_over(join: Join, session: Session) -> None:
    first = await join([*edits(0, 10)])
    await first.source.until_applied(10)
    second = await join([*edits(10, 10)])
    await second.until_role(Role.STANDBY)
    await first.killed()
    await second.source.until_applied(20)
    assert await position(session) == (2, 20)
    await second.stopped()


async def test_a_lease_taken_away_makes_a_standby_of_its_holder_without_a_row_more(
    join: Join, session: Session
) -> None:
    go = asyncio.Event()
    first = await join([*edits(0, 10), go, *edits(10, 10)])
    await first.source.until_applied(10)
    async with session.transaction():
        await session.execute("UPDATE lease SET holder = 'another', expires_at = now() + interval '1 hour'")
    await first.until_role(Role.STANDBY)
    go.set()
    assert first.vitals.lane_losses == 1
    assert await value(session, "SELECT count(*) FROM page") == 10
    await first.stopped()


async def test_a_lease_is_kept_for_as_long_as_its_holder_works(join: Join, session: Session) -> None:
    first = await join([*edits(0, 10)])
    await first.source.until_applied(10)
    renewals = set[object]()
    async with asyncio.timeout(DEADLINE):
        while len(renewals) < 4:
            renewals.add(await value(session, "SELECT renewed_at FROM lease"))
            assert await value(session, "SELECT expires_at > clock_timestamp() FROM lease")
            await asyncio.sleep(0.02)
    await first.stopped()
    assert await value(session, "SELECT expires_at <= clock_timestamp() FROM lease")


async def test_draining_ends_a_standby_at_once(join: Join, session: Session) -> None:
    assert (await acquire(session, SOURCE, "another", 600)).held
    member = await join([*edits(0, 10)])
    await member.until_role(Role.STANDBY)
    await member.stopped()
    assert member.source.asked == []
    assert await renew(session, SOURCE, "another", 600)


async def test_what_no_waiting_will_mend_ends_the_supervisor_and_gives_the_lease_back(
    join: Join, session: Session
) -> None:
    member = await join([SourceRefused("no such stream")])
    with pytest.raises(SourceRefused):
        async with asyncio.timeout(DEADLINE):
            await asyncio.shield(member.task)
    assert (await acquire(session, SOURCE, "another", 60)).held


async def test_a_connection_lost_while_a_lease_is_renewed_is_made_anew(join: Join, session: Session) -> None:
    member = await join([*edits(0, 10)])
    await member.source.until_applied(10)
    async with session.transaction():
        await session.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    before = await value(session, "SELECT renewed_at FROM lease")
    async with asyncio.timeout(DEADLINE):
        while await value(session, "SELECT renewed_at FROM lease") == before:
            await asyncio.sleep(0.02)
    assert member.vitals.role is Role.ACTIVE
    assert member.vitals.lane_losses == 0
    await member.stopped()


class Another(Scripted):
    """A source with a lane of its own."""

    async def starting_positions(self) -> Positions:
        return {Lane(self.name, "topic", 0): self.start}


@pytest.mark.parametrize("_time", range(4))
async def test_beside_a_source_that_halted_the_failure_that_ends_the_process_is_the_one_that_is_told(
    database_url: str, _time: int
) -> None:
    async def open_one() -> Session:
        return await connect(database_url, limits=LIMITS)

    def follow(source: Scripted) -> Supervisor:
        plan = replace(PLAN, may_set_aside=Limits(consecutive=1))
        return Supervisor(source, open_one, plan, Vitals(source.name), lambda _: None, holder=source.name, lease=LEASE)

    fails = asyncio.Event()
    bad = [msgspec.structs.replace(record, value=b"{") for record in edits(0, 1)]
    halting = follow(Scripted([bad]))
    failing = follow(Another([[fails, SourceRefused("no such stream")]], name="another"))
    telling = Telling("holder", lambda: None, tuple, tuple)
    keeper = Housekeeper(open_one, keep=None, on_backlog=lambda _: None, telling=telling)
    running = asyncio.create_task(Daemon([halting, failing], keeper, drain_timeout=DEADLINE).run())
    async with asyncio.timeout(DEADLINE):
        while halting.vitals.role is not Role.HALTED:  # no event tells of it
            await asyncio.sleep(0.005)
        fails.set()
        with pytest.raises(SourceRefused):
            await running
