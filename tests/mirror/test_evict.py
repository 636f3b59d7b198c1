"""Ending what a former writer left open."""

from __future__ import annotations

import asyncpg
import pytest

from wikimirror.mirror.checkpoints import advance, read_positions, take_over_all
from wikimirror.mirror.connect import Session, connect
from wikimirror.mirror.evict import evict, name_of
from wikimirror.model import Advance, Lane, Position

LANE, OTHER = Lane("s", "t", 0), Lane("s", "t", 1)
LONG = "a-host-of-a-name-as-long-as-kubernetes-allows-them-to-be-" + "x" * 20


@pytest.mark.parametrize("writer", ["former/1/aa", f"{LONG}/1/aa"])
async def test_a_former_writers_open_transaction_is_ended_and_its_locks_are_free(
    session: Session, database_url: str, writer: str
) -> None:
    async with await connect(database_url, application_name=name_of(writer)) as former:
        held = await take_over_all(former, {LANE: Position(0)}, writer)
        await former.connection.execute(former._begin(former._limits))
        await advance(former, [Advance(LANE, held[LANE].epoch, 0, 1)])

        assert await evict(session, [LANE], "latter/2/bb") == 1
        assert (await take_over_all(session, {LANE: Position(0)}, "latter/2/bb"))[LANE].position == 0
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await former.connection.execute("COMMIT")


async def test_nobody_else_is_ended(session: Session, database_url: str) -> None:
    await take_over_all(session, {LANE: Position(0)}, "former/1/aa")
    names = [name_of("another/3/cc"), name_of("latter/2/bb"), "psql"]
    others = [await connect(database_url, application_name=name) for name in names]
    idle = await connect(database_url, application_name=name_of("former/1/aa"))
    for other in others:
        await other.connection.execute("BEGIN")
    assert await evict(session, [LANE], "latter/2/bb") == 0
    for other in (*others, idle):
        assert await other.connection.fetchval("SELECT 1") == 1
        await other.close()


async def test_another_members_open_transaction_on_other_lanes_of_the_source_lives_on(
    session: Session, database_url: str
) -> None:
    async with (
        await connect(database_url, application_name=name_of("former/1/aa")) as former,
        await connect(database_url, application_name=name_of("member/3/cc")) as member,
    ):
        await take_over_all(former, {LANE: Position(0)}, "former/1/aa")
        held = await take_over_all(member, {OTHER: Position(0)}, "member/3/cc")
        await former.connection.execute(former._begin(former._limits))
        async with member.transaction():
            await advance(member, [Advance(OTHER, held[OTHER].epoch, 0, 5)])
            assert await evict(session, [LANE], "latter/2/bb") == 1
            assert await evict(session, [], "latter/2/bb") == 0
        assert (await read_positions(session, [OTHER]))[OTHER].position == 5


async def test_the_same_partition_of_another_topic_or_source_is_another_lane(
    session: Session, database_url: str
) -> None:
    others = [Lane("s", "another", 0), Lane("another", "t", 0)]
    async with await connect(database_url, application_name=name_of("member/3/cc")) as member:
        await take_over_all(member, dict.fromkeys(others, Position(0)), "member/3/cc")
        async with member.transaction():
            await read_now(member)
            assert await evict(session, [LANE], "latter/2/bb") == 0
            await read_now(member)


async def read_now(session: Session) -> None:
    assert await session.fetchval("SELECT now()")
