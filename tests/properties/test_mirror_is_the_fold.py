"""The mirror on a real Postgres is the law's definition, through every fault that a writer may meet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.merge.histories import laws
from tests.properties.budget import Budget
from tests.properties.faults import Fault, fail_at, real
from tests.properties.world import Tried, Writer, chain_must_hold, must_hold, readings, rounds, split
from wikimirror.errors import DatabaseUnavailable, Fenced
from wikimirror.merge.law import Law
from wikimirror.mirror.connect import Session, connect
from wikimirror.model import Change

SHARES = {"orders": 0.6, "writers": 0.28, "crashes": 0.08, "fenced": 0.04}
"""Parts of the budget; together all of it."""


def part(budget: Budget, name: str) -> tuple[int, int]:
    """The first history of a test, and how many it has."""
    names = list(SHARES)
    before = sum(budget.share(SHARES[other]) for other in names[: names.index(name)])
    return before, budget.share(SHARES[name])


@pytest.mark.parametrize("law", laws(), ids=lambda law: law.bodies)
async def test_any_order_any_repetition_and_any_batches_end_in_the_same_mirror(
    session: Session, budget: Budget, law: Law
) -> None:
    first, count = part(budget, "orders")
    half = (count + 1) // 2
    writer = await Writer.of(session, law, "orders")
    for rng, histories in rounds(budget, first + half * (law.bodies == "all"), half):
        for batch in split(rng, readings(rng, histories), rng.randint(1, 9)):
            await writer.write(batch)
        await must_hold(session, law, histories)
        if rng.random() < 0.3:
            again = await writer.write(readings(rng, histories, again=0))
            assert not again.applied, (
                f"a change told again was applied: {again.applied} in {histories[0]} and following"
            )
            await must_hold(session, law, histories)
    await chain_must_hold(session)


@pytest.mark.parametrize("law", laws(), ids=lambda law: law.bodies)
async def test_two_writers_that_meet_on_the_same_pages_end_in_the_same_mirror(
    session: Session, database_url: str, budget: Budget, law: Law
) -> None:
    first, count = part(budget, "writers")
    half = (count + 1) // 2
    async with await connect(database_url) as other:
        writers = [await Writer.of(session, law, "one"), await Writer.of(other, law, "other")]
        for each in (session, other):
            # A deadlock is found soon: waiting for it is all that it costs.
            await each.execute("SET deadlock_timeout TO '5ms'")
        for rng, histories in rounds(budget, first + half * (law.bodies == "all"), half):
            told = readings(rng, histories, again=0.5)
            halves = told[::2], told[1::2]
            await asyncio.gather(*(_write(w, split(rng, half, 12)) for w, half in zip(writers, halves, strict=True)))
            await must_hold(session, law, histories)
    await chain_must_hold(session)


@pytest.mark.parametrize("law", laws(), ids=lambda law: law.bodies)
async def test_a_crash_at_each_statement_loses_nothing_and_does_nothing_twice(
    session: Session, database_url: str, budget: Budget, law: Law
) -> None:
    first, count = part(budget, "crashes")
    half = (count + 1) // 2
    for rng, histories in rounds(budget, first + half * (law.bodies == "all"), half):
        told = readings(rng, histories)
        topic = f"crashes {histories[0].number}"
        for start, batch in _placed(split(rng, told, 3)):
            for fault in Fault:
                await _crash_everywhere(database_url, law, topic, (start, batch), fault, histories)
        await must_hold(session, law, histories)
        await chain_must_hold(session)
        held = (await Writer.of(session, law, topic)).held
        assert held.position == len(told)


async def test_a_former_owner_that_wakes_up_is_fenced_and_writes_nothing(
    session: Session, database_url: str, budget: Budget
) -> None:
    law = Law()
    async with await connect(database_url) as other:
        for rng, histories in rounds(budget, *part(budget, "fenced")):
            topic = f"fenced {histories[0].number}"
            told = readings(rng, histories)
            former = await Writer.of(session, law, topic)
            middle = len(told) // 2
            await former.write(told[:middle])
            owner = await Writer.of(other, law, topic)
            assert owner.held[:2] == (former.held.epoch + 1, middle)
            before = await _everything(session)
            with pytest.raises(Fenced):
                await former.write(told[middle:])
            assert await _everything(session) == before
            await owner.write(told[middle:])
            with pytest.raises(Fenced):
                await former.write(told[middle:])
            await must_hold(session, law, histories)


async def _write(writer: Writer, batches: Sequence[list[Change]]) -> None:
    for batch in batches:
        await writer.write(batch)


def _placed(batches: Sequence[list[Change]]) -> list[tuple[int, list[Change]]]:
    """Each batch with the position that it begins at; empty ones left out."""
    starts = [sum(len(batch) for batch in batches[:n]) for n in range(len(batches))]
    return [(start, batch) for start, batch in zip(starts, batches, strict=True) if batch]


async def _crash_everywhere(
    url: str, law: Law, topic: str, placed: tuple[int, list[Change]], fault: Fault, histories: list[Tried]
) -> None:
    """Let the batch fail at its first statement, then at its second, and so on until it has gone through."""
    start, batch = placed
    number = 1
    session = await connect(url)
    try:
        while True:
            if session.connection.is_closed():
                session = await connect(url)
            session.connection = real(session)
            # What a writer that starts again does: take over, and read on from where Postgres says.
            writer = await Writer.of(session, law, topic)
            if writer.held.position == start + len(batch):
                return
            assert writer.held.position == start, f"half a batch was applied: {histories[0]} and following"
            failing = fail_at(session, fault, number)
            try:
                await writer.write(batch)
            except DatabaseUnavailable:
                assert failing.failed is not None
                number += 1
                continue
            assert failing.failed is None
            assert number > 8, "a batch takes more statements than that"
    finally:
        await session.close()


async def _everything(session: Session) -> list[str]:
    async with session.transaction():
        tables = ("page", "revision", "body", "change", "correction", "reconcile", "checkpoint")
        return [
            row["row"]
            for table in tables
            for row in await session.fetch(f"SELECT t::text AS row FROM {table} t ORDER BY 1")
        ]


def test_the_parts_are_the_whole_budget() -> None:
    assert sum(SHARES.values()) == pytest.approx(1)
