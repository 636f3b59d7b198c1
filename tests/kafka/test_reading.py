"""Reading partitions from given positions, as a member of a real group."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest
from aiokafka import TopicPartition

from tests.kafka.admin import (
    consumer_of,
    end_offsets,
    move_log_start,
    produce,
    producer_of,
)
from tests.kafka.stays import joined, lane, reading, send, settings_of, until
from tests.kafka.test_driver import Requests
from wikimirror.model import Lost, Position, Record

MakeTopic = Callable[..., Awaitable[str]]
MIB = 2**20


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wikimirror.sources.kafka.upkeep._LOOK", 0.1)


def numbers(first: int, end: int) -> list[bytes | None]:
    return [b"%d" % number for number in range(first, end)]


async def test_records_come_in_order_from_the_positions_told_and_never_from_those_of_the_group(
    kafka: str, make_topic: MakeTopic, group: str
) -> None:
    topic = await make_topic(2)
    for partition in range(2):
        await send(kafka, topic, *numbers(0, 1200), partition=partition)
    async with consumer_of(kafka, topic, group_id=group) as former:
        await until(lambda: len(former.assignment()) == 2)
        await former.commit({TopicPartition(topic, 0): 1000, TopicPartition(topic, 1): 1100})
    settings = settings_of(kafka, group, topic)
    async with joined(settings, lanes=2) as (source, _, vitals):
        async with reading(source, {lane(topic): Position(3), lane(topic, 1): Position(0)}) as found:
            await found.until(1197 + 1200)
            assert found.values(topic) == numbers(3, 1200)
            assert found.values(topic, 1) == numbers(0, 1200)
            assert [each.at.offset for each in found.records if each.at.partition == 0] == list(range(3, 1200))
            assert not found.lost
            await send(kafka, topic, b"more")
            await found.until(1197 + 1201)
        # And again from elsewhere, while the group and its assignment stay as they are.
        async with reading(source, {lane(topic): Position(1199), lane(topic, 1): Position(1200)}) as again:
            await again.until(2)
            assert again.values(topic) == [b"1199", b"more"]
        assert vitals.rebalances == 1


async def test_nothing_is_fetched_before_it_is_said_from_where(kafka: str, make_topic: MakeTopic, group: str) -> None:
    topic = await make_topic(2)
    await send(kafka, topic, *numbers(0, 50))
    async with joined(settings_of(kafka, group, topic), lanes=2) as (source, member, _):
        requests = Requests(member.consumer)
        for _poll in range(3):
            assert await member.consumer.getmany(timeout_ms=200) == {}
        assert requests.sizes == []
        async with reading(source, {lane(topic): Position(9), lane(topic, 1): Position(0)}) as found:
            await found.until(41)
        # And no more once the reading is over.
        await member.consumer.getmany(timeout_ms=600)
        requests.sizes.clear()
        await member.consumer.getmany(timeout_ms=600)
        assert requests.sizes == []


async def test_a_position_before_the_log_begins_is_one_loss_with_its_ends_and_reading_goes_on(
    kafka: str, make_topic: MakeTopic, group: str
) -> None:
    topic = await make_topic(3)
    for partition in range(3):
        await send(kafka, topic, *numbers(0, 10), partition=partition)
    await move_log_start(kafka, topic, 0, 4)
    await move_log_start(kafka, topic, 1, -1)
    settings = settings_of(kafka, group, topic)
    async with joined(settings, lanes=3) as (source, _, _vitals):
        starts = {lane(topic): Position(2, 7), lane(topic, 1): Position(9), lane(topic, 2): Position(0)}
        async with reading(source, starts) as found:
            await found.until(16)
            await send(kafka, topic, b"new", partition=1)
            await found.until(17)
    assert sorted(found.lost) == [
        Lost(lane(topic), Position(2, 7), Position(4, 7), "retention"),
        Lost(lane(topic, 1), Position(9), Position(10), "retention"),
    ]
    assert found.values(topic) == numbers(4, 10)
    assert found.values(topic, 1) == [b"new"]
    assert found.values(topic, 2) == numbers(0, 10)
    for each in found.lost:
        assert found.items.index(each) < min(
            index for index, item in enumerate(found.items) if isinstance(item, Record) and item.at[:3] == each.lane
        ), "a loss is told before what follows it"


async def test_a_topic_made_anew_is_a_truncation_and_all_of_it_is_read(
    kafka: str, make_topic: MakeTopic, group: str
) -> None:
    topic = await make_topic()
    await send(kafka, topic, *numbers(0, 5))
    hour_ago = (time.time_ns() // 1000) - 3600 * 1_000_000
    settings = settings_of(kafka, group, topic)
    for before in (Position(900, hour_ago), Position(900), Position(900, hour_ago * 3)):
        async with (
            joined(settings, lanes=1) as (source, _, _vitals),
            reading(source, {lane(topic): before}) as found,
        ):
            await found.until(5)
            assert found.lost == [Lost(lane(topic), before, Position(0, before.time), "truncated")]
            assert found.values(topic) == numbers(0, 5)


async def test_behind_a_log_that_was_cut_off_only_the_newest_records_are_read_again(
    kafka: str, make_topic: MakeTopic, group: str
) -> None:
    topic = await make_topic()
    now = int(time.time())
    await produce(kafka, topic, [(0, None, b"%d" % age, (now - age) * 1000) for age in (900, 300, 100, 10)])
    settings = settings_of(kafka, group, topic)
    before = Position(50, now * 1_000_000)
    async with joined(settings, lanes=1) as (source, _, _vitals), reading(source, {lane(topic): before}) as found:
        await found.until(2)
        assert found.lost == [Lost(lane(topic), before, Position(2, before.time), "truncated")]
        assert found.values(topic) == [b"100", b"10"]


async def test_a_log_start_that_moves_past_a_reader_is_told_while_it_reads_and_while_it_waits_for_room(
    kafka: str, make_topic: MakeTopic, group: str
) -> None:
    topic = await make_topic()
    await send(kafka, topic, *[b"x" * 100_000] * 30)
    settings = settings_of(kafka, group, topic)
    async with (
        joined(settings, lanes=1, memory=2 * MIB) as (source, _, _vitals),
        reading(source, {lane(topic): Position(0)}) as found,
    ):
        await found.until(1)
        found.go.clear()
        await move_log_start(kafka, topic, 0, 25)
        found.go.set()
        await until(lambda: found.lost)
        await until(lambda: found.records[-1].at.offset == 29)
        (lost,) = found.lost
        assert (lost.until.offset, lost.reason) == (25, "retention")
        read = [each.at.offset for each in found.records]
        assert read == [*range(lost.after.offset), *range(25, 30)]
        await send(kafka, topic, *numbers(30, 40))
        await until(lambda: found.records[-1].at.offset == 39)
        await move_log_start(kafka, topic, 0, -1)
        await send(kafka, topic, b"40")
        await until(lambda: found.records[-1].at.offset == 40)
        assert len(found.lost) == 1, "what was read already is no loss"


async def test_null_records_and_absurd_times_are_records_like_others(
    kafka: str, make_topic: MakeTopic, group: str
) -> None:
    topic = await make_topic(config={"message.timestamp.after.max.ms": str(2**63 - 1)})
    year_30000 = 884_541_340_800_000
    usual = int(time.time() * 1000)
    sent = [(0, None, b"", 0), (0, None, b"untold", -1), (0, None, b"late", year_30000), (0, None, b"now", usual)]
    await produce(kafka, topic, [(0, b"k", None, usual), *sent])
    settings = settings_of(kafka, group, topic)
    async with joined(settings, lanes=1) as (source, _, _v), reading(source, {lane(topic): Position(0)}) as found:
        await found.until(5)
    assert [(each.value, each.published) for each in found.records] == [
        (None, usual * 1000),
        (b"", 0),
        (b"untold", 0),
        (b"late", 0),
        (b"now", usual * 1000),
    ]


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_records_of_every_codec_are_read_and_from_the_midst_of_a_batch(
    kafka: str, make_topic: MakeTopic, group: str, codec: str
) -> None:
    topic = await make_topic()
    await send(kafka, topic, *numbers(0, 200), compression_type=codec, linger_ms=50)
    settings = settings_of(kafka, group, topic)
    async with joined(settings, lanes=1) as (source, _, _v), reading(source, {lane(topic): Position(77)}) as found:
        await found.until(123)
    assert found.values(topic) == numbers(77, 200)


async def test_what_a_transaction_took_back_is_not_seen_and_nobody_is_behind_for_its_marks(
    kafka: str, make_topic: MakeTopic, group: str
) -> None:
    topic = await make_topic()
    settings = settings_of(kafka, group, topic)
    async with (
        producer_of(kafka, transactional_id=f"tx-{topic}") as producer,
        joined(settings, lanes=1) as (source, _, vitals),
        reading(source, {lane(topic): Position(0)}) as found,
    ):
        async with producer.transaction():
            await producer.send_and_wait(topic, b"kept", partition=0)
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"taken back", partition=0)
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send_and_wait(topic, b"kept too", partition=0)
        await found.until(2)
        assert found.values(topic) == [b"kept", b"kept too"]
        assert await end_offsets(kafka, topic) == {0: 6}
        assert found.records[-1].at.offset == 4
        await until(lambda: vitals.records_behind.get(lane(topic)))
        await source.acknowledge({lane(topic): Position(5)})
        await until(lambda: vitals.records_behind.get(lane(topic)) == 0)


async def test_records_in_hand_that_wait_for_room_are_still_behind(
    kafka: str, make_topic: MakeTopic, group: str
) -> None:
    topic = await make_topic()
    await send(kafka, topic, *numbers(0, 50))
    settings = settings_of(kafka, group, topic)
    async with joined(settings, lanes=1) as (source, _, vitals), reading(source, {lane(topic): Position(0)}) as found:
        found.go.clear()
        await found.until(1)
        await until(lambda: lane(topic) in vitals.records_behind)
        assert vitals.records_behind == {lane(topic): 50}


async def test_large_records_of_many_partitions_stay_within_bounds(
    kafka: str, make_topic: MakeTopic, group: str
) -> None:
    size, partitions = 3_000_000, 20
    topic = await make_topic(partitions, config={"max.message.bytes": "4000000"})
    async with producer_of(kafka, max_request_size=4_000_000) as producer:
        for partition in range(partitions):
            for number in range(2):
                await producer.send_and_wait(topic, bytes([number]) * size, partition=partition)
    settings = settings_of(kafka, group, topic)
    async with joined(settings, lanes=partitions, memory=32 * MIB) as (source, _, _vitals):
        tracemalloc.start()
        try:
            items = source.read({lane(topic, each): Position(0) for each in range(partitions)})
            seen: set[tuple[int, int]] = set()
            async with asyncio.timeout(60):
                while len(seen) < 2 * partitions:
                    item = await anext(items)
                    assert isinstance(item, Record)
                    assert len(item.value or b"") == size
                    seen.add(item.at[2:])
                    del item
            await items.aclose()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    # An answer as it comes in, cut up, and the record yielded.
    assert peak < 32 * MIB, f"{peak / MIB:.0f} MiB"


async def test_where_lanes_start_is_what_the_setting_says(kafka: str, make_topic: MakeTopic, group: str) -> None:
    topic = await make_topic(2)
    hours = [int(datetime(2026, 3, 1, hour, tzinfo=UTC).timestamp() * 1000) for hour in range(4)]
    await produce(kafka, topic, [(0, None, b"x", hour) for hour in hours])
    await move_log_start(kafka, topic, 0, 1)
    for start, offset in (
        ("earliest", 1),
        ("latest", 4),
        ("2026-03-01T01:30:00Z", 2),
        ("1999-01-01T00:00:00Z", 1),
        ("2026-10-01T00:00:00Z", 4),
    ):
        async with joined(settings_of(kafka, group, topic, start=start)) as (_, member, _v):
            assert await member.starting_positions([topic]) == {
                lane(topic): Position(offset),
                lane(topic, 1): Position(0),
            }
            assert await member.first_positions([lane(topic)]) == {lane(topic): Position(1)}
            assert await member.starting_positions([]) == {}
