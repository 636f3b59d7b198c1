"""What reaches into aiokafka, held against the installed aiokafka and a real broker.

An upgrade that changes its insides fails here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from tests.kafka.admin import add_partitions, admin_of, produce
from tests.kafka.stays import DEADLINE, settings_of, until
from wikimirror.settings import KafkaSettings
from wikimirror.sources.kafka import driver
from wikimirror.sources.kafka.consumer import start_consumer
from wikimirror.sources.kafka.fetching import FetchSizes

MakeTopic = Callable[..., Awaitable[str]]
KIB = 2**10


@asynccontextmanager
async def consuming(settings: KafkaSettings, *, group: bool = False) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = await start_consumer(settings, group=group)
    try:
        yield consumer
    finally:
        await driver.stop(consumer, 5.0)


class Told(ConsumerRebalanceListener):
    """Whether the member was forgotten, at each revocation of something."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self.consumer = consumer
        self.forgotten: list[bool] = []
        self.assigned = 0

    async def on_partitions_revoked(self, revoked: Any) -> None:
        if revoked:
            self.forgotten.append(driver.is_forgotten(self.consumer))

    def on_partitions_assigned(self, assigned: Any) -> None:
        for each in assigned:
            self.consumer.seek(each, 0)
        self.assigned += 1


def held(consumer: AIOKafkaConsumer) -> int:
    """Bytes of records in the consumer's hands, as they came."""
    fetcher: Any = consumer._fetcher
    return sum(each._partition_records._records.size_in_bytes() for each in fetcher._records.values())


class Requests:
    """Fetches that a consumer sends."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self.sizes: list[tuple[int, set[int]]] = []
        client: Any = consumer._client
        self._send = client.send
        client.send = self.send

    async def send(self, node: int, request: Any, **options: Any) -> Any:
        if type(request).__name__ == "FetchRequest":
            topics = request._topics
            self.sizes.append((request._max_bytes, {each[2] for _, parts in topics for each in parts}))
        return await self._send(node, request, **options)


@pytest.mark.parametrize("partitions", [1, 12])
async def test_while_nobody_polls_one_answer_of_the_broker_is_held_whatever_the_number_of_partitions(
    kafka: str, make_topic: MakeTopic, group: str, partitions: int
) -> None:
    topic = await make_topic(partitions)
    await produce(kafka, topic, [(each, None, b"x" * 100_000, 1) for each in range(partitions) for _ in range(8)])
    lanes = [TopicPartition(topic, each) for each in range(partitions)]
    async with consuming(settings_of(kafka, group, topic)) as consumer:
        requests = Requests(consumer)
        driver.bound(consumer, FetchSizes(300 * KIB, 150 * KIB))
        consumer.assign(lanes)
        for each in lanes:
            consumer.seek(each, 0)
        await until(lambda: held(consumer))
        sent = len(requests.sizes)
        # As it comes, aiokafka asks again when what it holds is a tenth of a second old.
        await asyncio.sleep(0.6)
        assert len(requests.sizes) == sent == 1
        assert held(consumer) <= 400_000
        # Another assignment: other sizes are asked for from then on, and everything is had.
        driver.bound(consumer, FetchSizes(700 * KIB, 250 * KIB))
        count = 0
        async with asyncio.timeout(DEADLINE):
            while count < 8 * partitions:
                count += sum(map(len, (await consumer.getmany(*lanes, timeout_ms=500)).values()))
        assert requests.sizes[0] == (300 * KIB, {150 * KIB})
        assert set(map(str, requests.sizes[1:])) == {str((700 * KIB, {250 * KIB}))}


async def test_what_is_taken_over_is_unpacked_one_by_one_however_well_it_was_compressed(
    kafka: str, make_topic: MakeTopic, group: str
) -> None:
    topic, text = await make_topic(1), b"x" * 3_000_000
    partition = TopicPartition(topic, 0)
    # Some kilobytes on the way, 60 MB in memory.
    await produce(kafka, topic, [(0, None, text, 1)] * 20, compression_type="zstd", max_request_size=2**26)
    async with consuming(settings_of(kafka, group, topic)) as consumer:
        driver.bound(consumer, FetchSizes(4 * KIB * KIB, 4 * KIB * KIB))
        consumer.assign([partition])
        consumer.seek(partition, 0)
        offsets: list[int] = []
        while len(offsets) < 20:
            async with asyncio.timeout(DEADLINE):
                first = await consumer.getmany(partition, timeout_ms=500, max_records=1)
            taken = [record for records in first.values() for record in records]
            if taken:
                taken += [record for _, record in driver.unpack(consumer, {partition}, size=4 * KIB * KIB, most=500)]
            assert len(taken) <= 3, f"{len(taken)} records of 3 MB were unpacked at once"
            offsets += [record.offset for record in taken]
        assert offsets == list(range(20))
        few = await consumer.getmany(partition, timeout_ms=100)
        assert few == {}


async def test_a_member_is_forgotten_once_the_group_dropped_it_and_not_in_an_ordinary_rebalance(
    kafka: str, make_topic: MakeTopic, group: str
) -> None:
    settings = settings_of(kafka, group, topic := await make_topic(2))
    async with consuming(settings, group=True) as first:
        told = Told(first)
        assert driver.is_forgotten(first)
        first.subscribe([topic], listener=told)
        await until(lambda: told.assigned == 1)
        assert not driver.is_forgotten(first)
        async with consuming(settings, group=True) as second:
            second.subscribe([topic], listener=(other := Told(second)))
            await until(lambda: other.assigned and told.assigned == 2)
            assert told.forgotten == [False]
        await until(lambda: told.assigned == 3)
        await dropped(first)
        await until(lambda: told.assigned == 4)
        assert told.forgotten == [False, False, True]


async def dropped(consumer: Any) -> None:
    """The member leaves, and its consumer does not know: as after a session that ran out."""
    coordinator = consumer._coordinator
    async with admin_of(consumer._client._bootstrap_servers) as admin:
        node = await admin.find_coordinator(coordinator.group_id)
        from aiokafka.protocol.group import LeaveGroupRequest  # noqa: PLC0415  # only here

        await admin._send_request(LeaveGroupRequest(coordinator.group_id, coordinator.member_id), node)


async def test_leaders_are_counted_and_are_never_none(kafka: str, make_topic: MakeTopic, group: str) -> None:
    topic = await make_topic(3)
    async with consuming(settings_of(kafka, group, topic)) as consumer:
        assert driver.leaders(consumer, [TopicPartition(topic, 0)]) == 1, "not known yet"
        consumer.assign([TopicPartition(topic, each) for each in range(3)])
        await consumer.end_offsets([TopicPartition(topic, 0)])
        assert driver.leaders(consumer, [TopicPartition(topic, each) for each in range(3)]) == 1
        cluster: Any = consumer._client.cluster
        assert cluster.leader_for_partition(TopicPartition(topic, 2)) == 1, "which is what is counted"
        assert driver.leaders(consumer, []) == 1


async def test_the_catalogue_has_what_there_is_now_and_leaves_out_what_is_not(
    kafka: str, make_topic: MakeTopic, group: str
) -> None:
    topic = await make_topic(2)
    async with consuming(settings_of(kafka, group, topic)) as consumer:
        assert await driver.catalogue(consumer, [topic, "nowhere"]) == {topic: {0, 1}}
        await add_partitions(kafka, topic, 3)
        other = await make_topic(1)
        assert await driver.catalogue(consumer, [topic, other]) == {topic: {0, 1, 2}, other: {0}}
        everything = await driver.catalogue(consumer, None)
        assert everything[topic] == {0, 1, 2}
        assert not [name for name in everything if name.startswith("__")], "none of Kafka's own"


async def test_a_static_member_finds_whoever_took_its_name(kafka: str, make_topic: MakeTopic, group: str) -> None:
    topic = await make_topic()
    settings = settings_of(kafka, group, topic, member_id="a")
    async with consuming(settings, group=True) as first:
        assert not await driver.has_namesake(first, group, "a"), "nobody is there"
        first.subscribe([topic], listener=(told := Told(first)))
        await until(lambda: told.assigned)
        assert not await driver.has_namesake(first, group, "a"), "it is itself"
        assert await driver.has_namesake(first, group, "a") is await driver.has_namesake(first, group, "b") is False
        async with consuming(settings, group=True) as second:
            assert await driver.has_namesake(second, group, "a"), "it would take the name"
            driver.keep_out(first)
            second.subscribe([topic], listener=(other := Told(second)))
            await until(lambda: other.assigned)
            assert await driver.has_namesake(first, group, "a")
            assert not await driver.has_namesake(second, group, "a")
