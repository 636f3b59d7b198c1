"""What tests ask of a broker as its operator, over aiokafka's admin client, a producer and a consumer.

`options` go to the client that is made, such as those for TLS and passwords. aiokafka's classes are mostly without
types, so here they are Any.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.errors import for_code

_DEADLINE = 15.0

Record = tuple[int, bytes | None, bytes | None, int]
"""Partition, key, value, timestamp in milliseconds since 1970."""


@asynccontextmanager
async def admin_of(bootstrap: str, **options: Any) -> AsyncIterator[Any]:
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **options)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


@asynccontextmanager
async def producer_of(bootstrap: str, **options: Any) -> AsyncIterator[Any]:
    producer: Any = AIOKafkaProducer(bootstrap_servers=bootstrap, **options)
    try:
        await producer.start()
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def consumer_of(bootstrap: str, *topics: str, **options: Any) -> AsyncIterator[Any]:
    """A started consumer; without a group it assigns itself what it reads."""
    consumer: Any = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=bootstrap,
        **{"enable_auto_commit": False, "auto_offset_reset": "none"} | options,
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


async def create_topic(
    bootstrap: str, topic: str, partitions: int = 1, *, config: Mapping[str, str] | None = None, **options: Any
) -> None:
    """Returns when the broker tells all of its partitions to clients. `config`: the topic's own settings."""
    async with admin_of(bootstrap, **options) as admin:
        answer = await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=dict(config or {}))])
        _check(answer.topic_errors)
    await _told(bootstrap, topic, partitions, **options)


async def add_partitions(bootstrap: str, topic: str, total: int, **options: Any) -> None:
    """`total`: how many the topic has afterwards."""
    async with admin_of(bootstrap, **options) as admin:
        _check((await admin.create_partitions({topic: NewPartitions(total)})).topic_errors)
    await _told(bootstrap, topic, total, **options)


async def delete_topic(bootstrap: str, topic: str, **options: Any) -> None:
    async with admin_of(bootstrap, **options) as admin:
        _check((await admin.delete_topics([topic])).topic_error_codes)


async def move_log_start(bootstrap: str, topic: str, partition: int, offset: int, **options: Any) -> None:
    """Delete the records before `offset`, as retention does; -1: all there are."""
    where = TopicPartition(topic, partition)
    async with admin_of(bootstrap, **options) as admin:
        await admin.delete_records({where: RecordsToDelete(offset)})


async def produce(bootstrap: str, topic: str, records: Iterable[Record], **options: Any) -> None:
    """Send them in order; returns when the broker has them all. `options` go to the producer."""
    async with producer_of(bootstrap, **options) as producer:
        sent = [
            await producer.send(topic, value, key=key, partition=partition, timestamp_ms=timestamp)
            for partition, key, value, timestamp in records
        ]
        for one in sent:
            await one


async def end_offsets(bootstrap: str, topic: str, **options: Any) -> dict[int, int]:
    """Partition to the offset that its next record will have."""
    partitions = await _partitions(bootstrap, topic, **options)
    async with consumer_of(bootstrap, **options) as consumer:
        found = await consumer.end_offsets(partitions)
    return {where.partition: end for where, end in found.items()}


async def log_starts(bootstrap: str, topic: str, **options: Any) -> dict[int, int]:
    """Partition to the offset of the oldest record that is kept."""
    partitions = await _partitions(bootstrap, topic, **options)
    async with consumer_of(bootstrap, **options) as consumer:
        found = await consumer.beginning_offsets(partitions)
    return {where.partition: start for where, start in found.items()}


async def group_offsets(bootstrap: str, group: str, topic: str, **options: Any) -> dict[int, int]:
    """Partition to what the group has acknowledged of it; partitions without are left out."""
    async with admin_of(bootstrap, **options) as admin:
        found = await admin.list_consumer_group_offsets(group)
    return {where.partition: said.offset for where, said in found.items() if where.topic == topic and said.offset >= 0}


async def read_all(bootstrap: str, topic: str, partition: int = 0, **options: Any) -> list[Any]:
    """Every record of a partition up to its end of now, as aiokafka has it."""
    where, found = TopicPartition(topic, partition), list[Any]()
    async with consumer_of(bootstrap, **options) as consumer:
        consumer.assign([where])
        await consumer.seek_to_beginning(where)
        end = (await consumer.end_offsets([where]))[where]
        async with asyncio.timeout(_DEADLINE):
            while await consumer.position(where) < end:
                found += (await consumer.getmany(where, timeout_ms=500)).get(where, [])
    return found


def _check(errors: Iterable[Any]) -> None:
    for topic, code, *_ in errors:
        if code:
            raise for_code(code)(topic)


async def _told(bootstrap: str, topic: str, partitions: int, **options: Any) -> None:
    async with admin_of(bootstrap, **options) as admin, asyncio.timeout(_DEADLINE):
        while True:
            (said,) = await admin.describe_topics([topic])
            if sum(not each["error_code"] and each["leader"] >= 0 for each in said["partitions"]) == partitions:
                return
            await asyncio.sleep(0.02)


async def _partitions(bootstrap: str, topic: str, **options: Any) -> list[TopicPartition]:
    async with admin_of(bootstrap, **options) as admin:
        (said,) = await admin.describe_topics([topic])
    return [TopicPartition(topic, each["partition"]) for each in said["partitions"]]
