"""A day is published into the topics of a real Kafka, with the keys, the order and the transactions that others see."""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.kafka.admin import end_offsets, read_all
from tests.rehearsal.served import eventually
from wikimirror.rehearsal import Arrival, Day, simulate_day
from wikimirror.rehearsal.kafka import BROKEN, DAY_TOPICS, KafkaTopics, KafkaTopicsError, key_of
from wikimirror.rehearsal.log import milliseconds
from wikimirror.rehearsal.streams import CONTENT, PLAIN, VISIBILITY

PARTITIONS = 3
TOPIC = f"eqiad.{PLAIN}"
_RUN = secrets.token_hex(3)
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def short() -> Day:
    return simulate_day(4, 300)


@asynccontextmanager
async def made(kafka: str, **options: Any) -> AsyncIterator[KafkaTopics]:
    """Fresh topics, deleted at the end."""
    prefix = f"rehearsed-{_RUN}-{next(_numbers)}."
    async with KafkaTopics(kafka, partitions=PARTITIONS, prefix=prefix, timeout=20.0, **options) as topics:
        yield topics
        await topics.delete()


async def read(kafka: str, topics: KafkaTopics) -> dict[tuple[str, int], list[Any]]:
    """Every record, by the day's topic and partition."""
    return {
        (topic, partition): await read_all(kafka, topics.name_of(topic), partition)
        for topic in DAY_TOPICS
        for partition in await end_offsets(kafka, topics.name_of(topic))
    }


def some(count: int, page_id: int = 7) -> list[Arrival]:
    """Records of one page, and so of one partition."""
    value = b'{"n":%d,"wiki_id":"enwiki","page":{"page_id":%d}}'
    return [Arrival(TOPIC, 0, number, value % (number, page_id), 0) for number in range(count)]


def by_key(records: Sequence[tuple[bytes | None, bytes | None]]) -> dict[bytes, list[bytes | None]]:
    found = defaultdict(list)
    for key, value in records:
        if key is not None:
            found[key].append(value)
    return found


async def test_a_day_is_there_as_it_is_and_the_records_of_a_page_are_in_one_partition_in_their_order(
    kafka: str, short: Day
) -> None:
    async with made(kafka) as topics:
        began = milliseconds()
        await topics.publish(short)
        found = await read(kafka, topics)
        assert topics.sent == len(short.arrivals) == sum(map(len, found.values()))
        assert topics.ends == {
            (topics.name_of(topic), partition): len(records) for (topic, partition), records in found.items() if records
        }
        for topic in DAY_TOPICS:
            here = [arrival for arrival in short.arrivals if arrival.topic == topic]
            there = [(each.key, each.value) for number in range(PARTITIONS) for each in found[topic, number]]
            assert sorted(map(repr, there)) == sorted(repr((key_of(each), each.value)) for each in here)
            assert by_key(there) == by_key([(key_of(each), each.value) for each in here])
        keys = [{each.key for each in found[f"eqiad.{CONTENT}", number]} - {None} for number in range(PARTITIONS)]
        assert all(keys)
        assert not any(one & other for one, other in itertools.combinations(keys, 2))
        times = [each.timestamp for records in found.values() for each in records]
        assert began <= min(times) <= max(times) <= milliseconds()


def test_keys_name_the_page_as_upstream_does_and_the_visibility_stream_has_none(short: Day) -> None:
    keyless = [each for each in short.arrivals if key_of(each) is None]
    assert {each.topic.partition(".")[2] for each in keyless} == {VISIBILITY}
    for arrival in short.arrivals:
        key = key_of(arrival)
        if key is not None and arrival.value is not None:
            record = json.loads(arrival.value)
            assert key == f'{{"wiki_id":"{record["wiki_id"]}","page_id":{record["page"]["page_id"]}}}'.encode()
    assert key_of(some(1)[0]._replace(value=BROKEN)) is None
    assert key_of(some(1)[0]._replace(value=None)) is not None


async def test_broken_records_come_beside_those_of_the_day(kafka: str, short: Day) -> None:
    async with made(kafka) as topics:
        await topics.publish(short, broken_every=100)
        values = [each.value for records in (await read(kafka, topics)).values() for each in records]
        assert values.count(BROKEN) == len(short.arrivals) // 100
        assert len(values) == len(short.arrivals) + values.count(BROKEN) == topics.sent


async def test_it_keeps_its_pace_can_be_paused_and_hurried_and_tells_how_far_it_is(kafka: str, short: Day) -> None:
    async with made(kafka) as topics:
        publication = topics.publish(short, seconds=600)
        await eventually(lambda: publication.published > 0)
        publication.pause()
        await asyncio.sleep(0)
        publication.hurry()
        async with asyncio.timeout(20):
            await publication
        publication.result()
        assert publication.published == publication.total == topics.sent


async def test_records_can_be_sent_again_alone(kafka: str) -> None:
    async with made(kafka) as topics:
        records = some(5)
        await topics.send(records)
        await topics.send(records[1:3])
        ((place, end),) = topics.ends.items()
        assert end == topics.sent == 7
        there = await read_all(kafka, *place)
        assert [each.value for each in there] == [each.value for each in (*records, *records[1:3])]


async def test_readers_of_durable_records_get_those_of_a_transaction_that_was_not_aborted(kafka: str) -> None:
    async with made(kafka) as topics:
        first, dropped, last = some(2), some(3), some(4)
        await topics.send(first)
        async with topics.transaction(abort=True) as send:
            await send(dropped)
        async with topics.transaction() as send:
            await send(last[:2])
            await send(last[2:])
            assert topics.sent == 2
        ((place, end),) = topics.ends.items()
        assert topics.sent == 6
        name, partition = place
        for isolation, expected in (("read_committed", first + last), ("read_uncommitted", first + dropped + last)):
            # The broker answers before it has marked the records of a transaction as those that count.
            async with asyncio.timeout(20):
                while len(there := await read_all(kafka, name, partition, isolation_level=isolation)) < len(expected):
                    await asyncio.sleep(0.02)
            assert [each.value for each in there] == [each.value for each in expected]
            assert there[-1].offset == end - 1


async def test_a_transaction_whose_block_fails_is_aborted(kafka: str) -> None:
    async def fail(topics: KafkaTopics) -> None:
        async with topics.transaction() as send:
            await send(some(3))
            raise ValueError("in the block")

    async with made(kafka) as topics:
        with pytest.raises(ValueError, match="in the block"):
            await fail(topics)
        assert (topics.sent, topics.ends) == (0, {})
        await topics.send(some(1))
        ((name, partition),) = topics.ends
        (record,) = await read_all(kafka, name, partition, isolation_level="read_committed")
        assert record.offset >= 3, "behind three records that do not count"


async def test_added_partitions_are_used_at_once(kafka: str) -> None:
    async with made(kafka) as topics:
        await topics.send(record for page_id in range(200) for record in some(1, page_id))
        await topics.add_partitions(TOPIC, PARTITIONS + 2)
        before = {partition for _, partition in topics.ends}
        await topics.send(record for page_id in range(200) for record in some(1, page_id))
        assert (before, {partition for _, partition in topics.ends}) == (set(range(3)), set(range(5)))


async def test_topics_have_the_settings_that_are_asked_for(kafka: str) -> None:
    async with made(kafka, config={"max.message.bytes": "1000"}) as topics:
        await topics.send([some(1)[0]._replace(value=b"1" * 500)])
        with pytest.raises(KafkaTopicsError, match="MessageSizeTooLarge"):
            await topics.send([some(1)[0]._replace(value=secrets.token_bytes(2000))])


async def test_what_goes_wrong_is_told_in_plain_words_and_in_a_bounded_time(kafka: str) -> None:
    async with made(kafka) as topics:
        prefix = topics.names[0].removesuffix(DAY_TOPICS[0])
        with pytest.raises(KafkaTopicsError, match=r"could not be made.*TopicAlreadyExists") as told:
            await KafkaTopics(kafka, prefix=prefix).__aenter__()
        assert told.value.remedy
    with pytest.raises(KafkaTopicsError, match=r"no Kafka answers at 127\.0\.0\.1:9$"):
        await KafkaTopics("127.0.0.1:9", timeout=5.0).__aenter__()
