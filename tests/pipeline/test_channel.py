"""What joins the tasks of a pipeline."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from wikimirror.pipeline.channel import Budget, Channel, Handover


async def test_a_budget_lets_a_taker_wait_until_bytes_are_given_back() -> None:
    budget = Budget(100)
    budget.take(80)
    waiting = asyncio.create_task(budget.room(30))
    await asyncio.sleep(0)
    assert not waiting.done()

    budget.give(5)
    await asyncio.sleep(0)
    assert not waiting.done()

    budget.give(10)
    async with asyncio.timeout(5):
        await waiting


async def test_what_is_larger_than_the_whole_budget_passes_alone() -> None:
    budget = Budget(100)
    assert budget.fits(10_000)
    budget.take(10_000)
    assert not budget.fits(1)
    budget.give(10_000)
    assert budget.fits(1)


@given(st.lists(st.integers(1, 150), max_size=50), st.integers(1, 100))
def test_no_order_of_takes_and_gives_holds_more_than_the_budget_or_one_record(sizes: list[int], limit: int) -> None:
    async def run() -> None:
        budget, held = Budget(limit), list[int]()
        for size in sizes:
            while not budget.fits(size):
                budget.give(held.pop(0))
            budget.take(size)
            held.append(size)
            assert budget.taken == sum(held)
            assert budget.taken <= limit or len(held) == 1

    asyncio.run(run())


async def test_a_channel_keeps_order_and_tells_of_news_and_of_its_end() -> None:
    wake = asyncio.Event()
    channel: Channel[int] = Channel(wake)
    channel.put(1)
    assert wake.is_set()
    channel.put(2)
    assert channel.head == 1
    assert [channel.get(), channel.get()] == [1, 2]
    assert channel.head is None

    wake.clear()
    channel.close()
    assert wake.is_set()
    assert channel.closed


async def test_a_handover_queues_nothing_and_ends_with_none() -> None:
    wake = asyncio.Event()
    handover: Handover[str] = Handover(wake)
    assert not handover.wanted

    taking = asyncio.create_task(handover.take())
    async with asyncio.timeout(5):
        await wake.wait()
    assert handover.wanted
    handover.give("batch")
    assert await taking == "batch"
    assert not handover.wanted

    taking = asyncio.create_task(handover.take())
    await asyncio.sleep(0)
    handover.close()
    assert await taking is None
    assert await handover.take() is None
