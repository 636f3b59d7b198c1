"""Reading stretches of topics again, beside whoever else reads them."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

import pytest

from tests.kafka.admin import (
    admin_of,
    create_topic,
    delete_topic,
    end_offsets,
    move_log_start,
    produce,
    producer_of,
)
from tests.kafka.stays import DEADLINE, MEMORY, SOURCE, lane, send, settings_of
from wikimirror.errors import ConfigurationError, SourceUnavailable
from wikimirror.model import Lane, Lost, Position, Record
from wikimirror.rehearsal.broker import KafkaBroker
from wikimirror.sources.base import position_after
from wikimirror.sources.kafka.ranges import KafkaRanges
from wikimirror.sources.ranges import Bound, Done, Range, read_one

MakeTopic = Callable[..., Awaitable[str]]
MIB = 2**20
NOON = int(time.time()) * 1000 - 3_600_000
"""Milliseconds: an hour ago."""


def ranges_of(bootstrap: str, *topics: str, memory: int = MEMORY, **keys: Any) -> KafkaRanges:
    settings = settings_of(bootstrap, "a group that nobody is in", *topics, **keys)
    return KafkaRanges(SOURCE, settings, lambda: time.time_ns() // 1000, memory=memory)


async def resolved(source: KafkaRanges, start: Bound, end: Bound | None = None, **which: Any) -> dict[Lane, Range]:
    async with asyncio.timeout(DEADLINE):
        return await source.resolve(start, end, **{"topics": (), "partitions": ()} | which)


async def all_of(source: KafkaRanges, ranges: Mapping[Lane, Range]) -> list[Record | Lost | Done]:
    async with asyncio.timeout(DEADLINE), aclosing(source.read(ranges)) as items:
        return [item async for item in items]


async def offsets(source: KafkaRanges, ranges: Mapping[Lane, Range]) -> dict[int, list[int]]:
    """By partition; each is told as done once, after its last record, and nothing is lost."""
    found: dict[int, list[int]] = {each.partition: [] for each in ranges}
    done: set[Lane] = set()
    for item in await all_of(source, ranges):
        if isinstance(item, Done):
            assert item.lane not in done
            done.add(item.lane)
        else:
            assert isinstance(item, Record), item
            assert not item.again
            assert item.at[:3] not in done
            found[item.at.partition].append(item.at.offset)
    assert done == ranges.keys()
    return found


async def at_times(kafka: str, topic: str, *seconds: int, partition: int = 0) -> None:
    """A record published at each of these seconds after NOON."""
    await produce(kafka, topic, [(partition, None, b"%d" % each, NOON + each * 1000) for each in seconds])


def instant(seconds: float) -> Bound:
    return Bound(time=int((NOON + seconds * 1000) * 1000))


@pytest.fixture
def _never_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lane that is not done by its position would not be for an hour."""
    monkeypatch.setattr("wikimirror.sources.kafka.ranges._SETTLED", 3600.0)


@pytest.mark.usefixtures("_never_settled")
async def test_a_range_by_offsets_is_read_from_its_first_to_before_its_end(kafka: str, make_topic: MakeTopic) -> None:
    topic = await make_topic()
    await send(kafka, topic, *[b"%d" % number for number in range(1500)])
    source = ranges_of(kafka, topic)
    ranges = await resolved(source, Bound(offset=7), Bound(offset=1207))
    assert ranges == {lane(topic): Range(Position(7), 1207)}
    assert await source.total(ranges) == 1200
    items = await all_of(source, ranges)
    records = [item for item in items if isinstance(item, Record)]
    assert [each.value for each in records] == [b"%d" % number for number in range(7, 1207)]
    assert {each.at[:3] for each in records} == {lane(topic)}
    assert items[-1] == Done(lane(topic))


async def test_a_range_by_time_has_what_was_published_at_its_start_and_not_what_was_at_its_end(
    kafka: str, make_topic: MakeTopic
) -> None:
    topic = await make_topic()
    await at_times(kafka, topic, 10, 20, 20, 30, 40, 40, 50)
    source = ranges_of(kafka, topic)
    for start, end, expected in (
        (instant(20), instant(40), [1, 2, 3]),
        (instant(20.0001), instant(40.0001), [3, 4, 5]),
        (instant(0), instant(10), []),
        (instant(45), instant(3600), [6]),
        (instant(51), None, []),
        (Bound(offset=2), instant(50), [2, 3, 4, 5]),
    ):
        assert await offsets(source, await resolved(source, start, end)) == {0: expected}


async def test_topics_and_partitions_can_be_chosen(kafka: str, make_topic: MakeTopic) -> None:
    first, second = await make_topic(3), await make_topic(2)
    for partition in range(3):
        await send(kafka, first, b"a", b"b", partition=partition)
    source = ranges_of(kafka, first, second)
    assert (await resolved(source, Bound(offset=0))).keys() == {
        *(lane(first, each) for each in range(3)),
        *(lane(second, each) for each in range(2)),
    }
    assert (await resolved(source, Bound(offset=0), partitions={1})).keys() == {lane(first, 1), lane(second, 1)}
    some = await resolved(source, Bound(offset=0), topics=[first], partitions=[0, 2])
    assert await offsets(source, some) == {0: [0, 1], 2: [0, 1]}
    with pytest.raises(ConfigurationError, match="has no topic nowhere") as wrong:
        await resolved(source, Bound(offset=0), topics=["nowhere"])
    assert first in wrong.value.remedy
    with pytest.raises(ConfigurationError, match="has no partition 7"):
        await resolved(source, Bound(offset=0), partitions=[7])


async def test_a_topic_of_the_settings_that_is_not_there_is_not_passed_over(kafka: str, make_topic: MakeTopic) -> None:
    source = ranges_of(kafka, topic := await make_topic(), f"missing-{topic}")
    with pytest.raises(ConfigurationError, match=f"do not have missing-{topic}"):
        await resolved(source, Bound(offset=0))
    assert await resolved(source, Bound(offset=0), topics=[topic])


async def test_an_end_beyond_the_log_is_the_log_s_end_and_what_comes_later_is_not_read(
    kafka: str, make_topic: MakeTopic
) -> None:
    topic = await make_topic(2)
    await send(kafka, topic, b"a", b"b", b"c")
    source = ranges_of(kafka, topic)
    ranges = await resolved(source, Bound(offset=1), Bound(offset=900))
    assert ranges == {lane(topic): Range(Position(1), 3), lane(topic, 1): Range(Position(1), 0)}
    await send(kafka, topic, b"later")
    assert await offsets(source, ranges) == {0: [1, 2], 1: []}
    assert await source.total(ranges) == 2


async def test_empty_ranges_are_done_without_asking_anybody(unused_tcp_port: int) -> None:
    nobody = ranges_of(f"127.0.0.1:{unused_tcp_port}", "topic")
    ranges = {lane("topic"): Range(Position(5), 5), lane("topic", 1): Range(Position(9), 3)}
    assert await all_of(nobody, ranges) == [Done(each) for each in ranges]
    assert await nobody.total(ranges) == 0


async def test_ranges_without_an_end_go_on_to_what_is_there(kafka: str, make_topic: MakeTopic) -> None:
    topic = await make_topic(2)
    for partition in range(2):
        await at_times(kafka, topic, 10, 20, 30, partition=partition)
    source = ranges_of(kafka, topic)
    ranges = {lane(topic): Range(Position(1)), lane(topic, 1): Range(Position(0), end_time=instant(30).time)}
    assert await source.total(ranges) == 4
    assert await offsets(source, ranges) == {0: [1, 2], 1: [0, 1]}


@pytest.mark.usefixtures("_never_settled")
async def test_what_lies_before_the_log_is_told_as_lost_and_the_rest_is_read(kafka: str, make_topic: MakeTopic) -> None:
    topic = await make_topic(2)
    for partition in range(2):
        await send(kafka, topic, *[b"x"] * 10, partition=partition)
    source = ranges_of(kafka, topic)
    ranges = await resolved(source, Bound(offset=2), Bound(offset=5))
    await move_log_start(kafka, topic, 0, 4)
    await move_log_start(kafka, topic, 1, 8)
    assert await source.total(ranges) == 1
    items = await all_of(source, ranges)
    said: list[Any] = [item.at if isinstance(item, Record) else item for item in items]
    lost = Lost(lane(topic), Position(2), Position(4), "retention")
    assert said.index(lost) < said.index((*lane(topic), 4)) < said.index(Done(lane(topic)))
    gone = Lost(lane(topic, 1), Position(2), Position(5), "retention")
    assert said.index(gone) < said.index(Done(lane(topic, 1)))
    assert len(said) == 5


async def test_by_time_too_what_may_have_been_deleted_of_the_range_is_told_as_lost(
    kafka: str, make_topic: MakeTopic
) -> None:
    topic = await make_topic(2)
    for partition in range(2):
        await at_times(kafka, topic, 10, 20, 30, 40, 50, partition=partition)
    await move_log_start(kafka, topic, 0, 3)
    await move_log_start(kafka, topic, 1, 5)
    source = ranges_of(kafka, topic)
    items = await all_of(source, await resolved(source, instant(5), instant(45)))
    assert [item.at[2:] for item in items if isinstance(item, Record)] == [(0, 3)]
    assert sorted(item[:3] for item in items if isinstance(item, Lost)) == [
        (lane(topic), Position(2), Position(3)),
        (lane(topic, 1), Position(4), Position(5)),
    ]
    items = await all_of(source, await resolved(source, instant(41), instant(60), partitions=[0]))
    assert [type(item) for item in items] == [Record, Done], "all of that is there"


async def test_a_range_of_a_topic_that_was_made_anew_is_told_as_lost(kafka: str, make_topic: MakeTopic) -> None:
    topic = await make_topic(2)
    await send(kafka, topic, *[b"x"] * 5)
    source = ranges_of(kafka, topic)
    items = await all_of(source, {lane(topic): Range(Position(3), 9), lane(topic, 1): Range(Position(20), 30)})
    assert [item.at.offset for item in items if isinstance(item, Record)] == [3, 4]
    assert sorted(item for item in items if isinstance(item, Lost)) == [
        Lost(lane(topic), Position(5), Position(9), "truncated"),
        Lost(lane(topic, 1), Position(20), Position(30), "truncated"),
    ]
    assert sum(isinstance(item, Done) for item in items) == 2


@pytest.mark.usefixtures("_never_settled")
async def test_marks_of_transactions_and_what_they_took_back_are_passed(kafka: str, make_topic: MakeTopic) -> None:
    topic = await make_topic()
    async with producer_of(kafka, transactional_id=f"tx-{topic}") as producer:
        async with producer.transaction():
            await producer.send_and_wait(topic, b"kept", partition=0)
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"taken back", partition=0)
        await producer.abort_transaction()
    assert await end_offsets(kafka, topic) == {0: 4}
    source = ranges_of(kafka, topic)
    assert await offsets(source, await resolved(source, Bound(offset=0))) == {0: [0]}
    assert await offsets(source, {lane(topic): Range(Position(1), 3)}) == {0: []}


async def test_it_goes_on_in_the_middle_from_the_position_reached(kafka: str, make_topic: MakeTopic) -> None:
    topic = await make_topic()
    await at_times(kafka, topic, *range(100))
    source = ranges_of(kafka, topic)
    ranges = await resolved(source, instant(10), instant(90))
    reached = ranges[lane(topic)].start
    async with asyncio.timeout(DEADLINE), aclosing(source.read(ranges)) as items:
        async for item in items:
            assert isinstance(item, Record)
            reached = position_after(item)
            if reached.offset == 50:
                break
    assert await offsets(source, {lane(topic): ranges[lane(topic)]._replace(start=reached)}) == {0: [*range(50, 90)]}


@pytest.mark.usefixtures("_never_settled")
async def test_lanes_that_are_done_do_not_hold_up_the_others(kafka: str, make_topic: MakeTopic) -> None:
    topic = await make_topic(3)
    await send(kafka, topic, *[b"x" * 200] * 5000)
    for partition in (1, 2):
        # More than is taken over at once: some is held when they are done.
        await send(kafka, topic, *[b"x"] * 3000, partition=partition)
    source = ranges_of(kafka, topic, memory=2 * MIB)
    ranges = {
        lane(topic): Range(Position(0), 4000),
        lane(topic, 1): Range(Position(0), 1),
        lane(topic, 2): Range(Position(0), 990),
    }
    assert await offsets(source, ranges) == {0: [*range(4000)], 1: [0], 2: [*range(990)]}


async def test_large_records_stay_within_bounds(kafka: str, make_topic: MakeTopic) -> None:
    size, partitions = 3_000_000, 8
    topic = await make_topic(partitions, config={"max.message.bytes": "4000000"})
    async with producer_of(kafka, max_request_size=4_000_000) as producer:
        for partition in range(partitions):
            for number in range(3):
                await producer.send_and_wait(topic, bytes([number]) * size, partition=partition)
    source = ranges_of(kafka, topic, memory=32 * MIB)
    ranges = {lane(topic, each): Range(Position(0), 1 if each % 2 else 3) for each in range(partitions)}
    tracemalloc.start()
    try:
        records = 0
        async with asyncio.timeout(60), aclosing(source.read(ranges)) as items:
            async for item in items:
                records += isinstance(item, Record)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert records == 16
    assert peak < 32 * MIB, f"{peak / MIB:.0f} MiB"


async def test_no_group_learns_of_it(kafka: str, make_topic: MakeTopic) -> None:
    topic = await make_topic()
    await send(kafka, topic, b"a")
    source = ranges_of(kafka, topic)
    async with admin_of(kafka) as admin:
        before = set(await admin.list_consumer_groups())
        ranges = await resolved(source, Bound(offset=0))
        async with asyncio.timeout(DEADLINE), aclosing(source.read(ranges)) as items:
            assert isinstance(await anext(items), Record)
            assert set(await admin.list_consumer_groups()) <= before
        assert set(await admin.list_consumer_groups()) <= before


async def test_closing_it_in_the_middle_takes_a_bounded_time(kafka: str, make_topic: MakeTopic) -> None:
    topic = await make_topic()
    await send(kafka, topic, *[b"x"] * 3000)
    source = ranges_of(kafka, topic)
    items = source.read({lane(topic): Range(Position(0), 3000)})
    async with asyncio.timeout(DEADLINE):
        await anext(items)
    began = time.monotonic()
    await items.aclose()
    assert time.monotonic() - began < 6


async def test_brokers_that_go_away_while_it_reads_are_told(frail_broker: KafkaBroker) -> None:
    topic = f"frail-{time.time_ns()}"
    await create_topic(frail_broker.bootstrap, topic)
    await send(frail_broker.bootstrap, topic, *[b"x" * 1000] * 5000)
    source = ranges_of(frail_broker.bootstrap, topic, memory=2 * MIB, idle_timeout="2s")
    found: list[Record | Lost | Done] = []

    async def read() -> None:
        async with asyncio.timeout(60), aclosing(source.read({lane(topic): Range(Position(0), 5000)})) as items:
            async for item in items:
                found.append(item)
                if len(found) == 1:
                    await frail_broker.kill()

    with pytest.raises(SourceUnavailable):
        await read()
    assert all(isinstance(item, Record) for item in found), "nothing is told as done"
    assert len(found) < 5000
    with pytest.raises(SourceUnavailable):
        await resolved(source, Bound(offset=0))


async def test_one_record_is_read_again_with_its_own_coordinates(kafka: str, make_topic: MakeTopic) -> None:
    topic = await make_topic(2)
    await at_times(kafka, topic, *range(10), partition=1)
    source = ranges_of(kafka, topic)
    where, published = lane(topic, 1), (NOON + 6000) * 1000
    async with asyncio.timeout(DEADLINE):
        for known in (0, published):
            record = await read_one(source, where, 6, known)
            assert record is not None
            assert (record.at, record.value, record.published) == ((*where, 6), b"6", published)
        assert await read_one(source, where, 6, published + 1000) is None, "of another time: another record"


async def test_one_record_that_is_gone_is_none(kafka: str, make_topic: MakeTopic) -> None:
    topic = await make_topic()
    await send(kafka, topic, *[b"x"] * 10)
    await move_log_start(kafka, topic, 0, 4)
    source = ranges_of(kafka, topic)
    async with asyncio.timeout(DEADLINE):
        assert await read_one(source, lane(topic), 3, 0) is None
        assert await read_one(source, lane(topic), 10, 0) is None
        assert await read_one(source, lane(topic), 77, 0) is None


async def test_a_topic_that_was_deleted_is_told_and_not_waited_for(kafka: str) -> None:
    topic = f"deleted-{time.time_ns()}"
    await create_topic(kafka, topic)
    await delete_topic(kafka, topic)
    source = ranges_of(kafka, topic)
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(ConfigurationError, match=f"do not have {SOURCE} {topic}"):
            await read_one(source, lane(topic), 0, 0)
