"""The only place that reaches into aiokafka: what its consumer does not offer, and why it is needed.

Written against aiokafka 0.14; a test holds each of these against a real broker, so that an upgrade cannot undo them in
silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Container, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Final

import aiokafka.client
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.cluster import ClusterMetadata
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAuthorizationFailedError
from aiokafka.protocol.admin import DescribeGroupsRequest
from aiokafka.protocol.group import LeaveGroupRequest
from aiokafka.protocol.metadata import MetadataRequest

from wikimirror.sources.kafka.fetching import FetchSizes

_NEVER: Final = 86_400.0 * 365
_UNKNOWN_GENERATION: Final = -1
_NOBODY: Final = -1
_ABANDON: Final = 1.0
"""Seconds that cancelled tasks have to end."""
_UUID: Final = 36

# Whoever asks for a topic by its name makes it, on brokers as they come: a mistake in the settings would become an
# empty topic that nobody ever misses. aiokafka has no option for that, so it is told here, for the whole process.
vars(aiokafka.client)["MetadataRequest"] = partial(MetadataRequest, allow_auto_topic_creation=False)


def bound(consumer: AIOKafkaConsumer, sizes: FetchSizes) -> None:
    """Hold no more than one answer of each broker, of the size that now is right (promise P6).

    aiokafka takes these sizes once, as it is made, before anything is assigned. And it asks a broker for more as soon
    as what it holds is a tenth of a second old: with many partitions of large records that is a record of each.
    """
    fetcher: Any = consumer._fetcher  # noqa: SLF001  # this module is for that
    fetcher._fetch_max_bytes = sizes.answer  # noqa: SLF001  # as above
    fetcher._max_partition_fetch_bytes = sizes.partition  # noqa: SLF001  # as above
    fetcher._prefetch_backoff = _NEVER  # noqa: SLF001  # as above


def unpack(
    consumer: AIOKafkaConsumer, partitions: Container[TopicPartition], *, size: int, most: int
) -> Iterator[tuple[TopicPartition, ConsumerRecord[Any, Any]]]:
    """Take over what is held already, one by one and without waiting: until so many bytes, or `most` records.

    aiokafka's `getmany` unpacks all that it gives before it gives any: hundreds of large records where they compress
    well. Raises what unpacking raises, after all that is before it. An error that is held is left for `getmany`.
    """
    fetcher: Any = consumer._fetcher  # noqa: SLF001  # this module is for that
    for partition, held in list(fetcher._records.items()):  # noqa: SLF001  # as above
        if partition not in partitions or not isinstance(held, FetchResult):
            continue
        while most > 0 and size > 0:
            record = held.getone()
            if record is None:
                if fetcher._records.get(partition) is held:  # noqa: SLF001  # as above
                    del fetcher._records[partition]  # noqa: SLF001  # as above
                    fetcher._notify(fetcher._wait_consume_future)  # noqa: SLF001  # as above: more may be asked for
                break
            size, most = size - len(record.value or b""), most - 1
            yield partition, record


def is_forgotten(consumer: AIOKafkaConsumer) -> bool:
    """Whether the group no longer knows this member, so that others may have its partitions.

    aiokafka tells the listener of a revocation alike, whether the group asks for the partitions or has given them away.
    """
    coordinator: Any = consumer._coordinator  # noqa: SLF001  # this module is for that
    return coordinator is None or coordinator.generation == _UNKNOWN_GENERATION


def trouble(consumer: AIOKafkaConsumer) -> BaseException | None:
    """What went wrong with the membership, if anything: aiokafka keeps it for whoever polls next.

    Looking takes nothing away. Until it is taken, and for some errors also after, no heartbeat is sent any more.
    """
    coordinator: Any = consumer._coordinator  # noqa: SLF001  # this module is for that
    kept: BaseException | None = getattr(coordinator, "_pending_exception", None)
    if kept is not None:
        return kept
    for name in ("_coordination_task", "_heartbeat_task"):
        task: asyncio.Task[Any] | None = getattr(coordinator, name, None)
        if task is not None and task.done() and not task.cancelled() and task.exception() is not None:
            return task.exception()
    return None


async def has_namesake(consumer: AIOKafkaConsumer, group: str, name: str) -> bool:
    """Whether another than this consumer is in the group as the static member `name`. Raises KafkaError.

    Brokers call a static member by its name, a dash and a UUID. aiokafka's heartbeats do not say that they come from a
    static member, so one whose name was taken is only told that it is unknown, as after a session that ran out.
    """
    client: Any = consumer._client  # noqa: SLF001  # this module is for that
    coordinator: Any = consumer._coordinator  # noqa: SLF001  # as above
    node = await client.coordinator_lookup(CoordinationType.GROUP, group)
    answer = await client.send(node, DescribeGroupsRequest([group]), group=ConnectionGroup.COORDINATION)
    members = {member[0] for described in answer.groups for member in described[5]}
    return any(each[: -_UUID - 1] == name and each != coordinator.member_id for each in members)


def keep_out(consumer: AIOKafkaConsumer) -> None:
    """Do not join again. From within a listener, which is to await something next: it goes no further than that."""
    coordinator: Any = consumer._coordinator  # noqa: SLF001  # this module is for that
    coordinator._coordination_task.cancel()  # noqa: SLF001  # as above


def leaderless(consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition]) -> set[TopicPartition]:
    """Those of the partitions that no broker leads for now: no question about their offsets is answered."""
    cluster: Any = consumer._client.cluster  # noqa: SLF001  # this module is for that
    return {each for each in partitions if cluster.leader_for_partition(each) == _NOBODY}


def leaders(consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition]) -> int:
    """How many brokers lead these partitions, by what is known now: each may hold an answer for us. At least 1."""
    cluster: Any = consumer._client.cluster  # noqa: SLF001  # this module is for that
    found = {cluster.leader_for_partition(each) for each in partitions}
    return max(1, len(found - {None, _NOBODY}))


async def catalogue(consumer: AIOKafkaConsumer, topics: Collection[str] | None) -> dict[str, frozenset[int]]:
    """The partitions of these topics, or of all, as the brokers now tell; topics that are not there are left out.

    The consumer itself only knows the topics that it reads, and these as of its last look. Raises KafkaError; of topics
    that may not be described TopicAuthorizationFailedError, which aiokafka would pass over in silence.
    """
    client: Any = consumer._client  # noqa: SLF001  # this module is for that
    found = ClusterMetadata()
    if not await client._metadata_update(found, topics):  # noqa: SLF001  # as above
        raise KafkaConnectionError
    if topics is not None and (forbidden := found.unauthorized_topics & set(topics)):
        raise TopicAuthorizationFailedError(forbidden)
    return {topic: frozenset(found.partitions_for_topic(topic) or ()) for topic in found.topics()}


async def stop(consumer: AIOKafkaConsumer, seconds: float) -> bool:
    """Leave the group and close, in a bounded time; whether that was in good order.

    aiokafka's own `stop` waits for its tasks, which may wait for a broker without limit.
    """
    stopping = asyncio.ensure_future(consumer.stop())
    well = False
    try:
        await asyncio.wait({stopping}, timeout=seconds)
        well = stopping.done() and not stopping.cancelled() and stopping.exception() is None
    finally:
        if not well:
            stopping.cancel()
            await _take_leave(consumer)
            await _abandon(consumer)
            await asyncio.wait({stopping}, timeout=_ABANDON)
    return well


async def _take_leave(consumer: AIOKafkaConsumer) -> None:
    """Leave the group although a joining is under way: else the others wait for a member that is gone.

    Not over the connection to the coordinator, where the answer to the joining is still to come.
    """
    coordinator: Any = consumer._coordinator  # noqa: SLF001  # this module is for that
    client: Any = consumer._client  # noqa: SLF001  # as above
    member, node = getattr(coordinator, "member_id", ""), getattr(coordinator, "coordinator_id", None)
    if not member or node is None or coordinator._group_instance_id is not None:  # noqa: SLF001  # as above
        return
    with suppress(KafkaError, OSError, TimeoutError):
        async with asyncio.timeout(_ABANDON):
            await client.send(node, LeaveGroupRequest(coordinator.group_id, member), group=ConnectionGroup.DEFAULT)


async def _abandon(consumer: AIOKafkaConsumer) -> None:
    """Cut off what a `stop` that was cancelled left running."""
    coordinator: Any = consumer._coordinator  # noqa: SLF001  # this module is for that
    fetcher: Any = consumer._fetcher  # noqa: SLF001  # as above
    client: Any = consumer._client  # noqa: SLF001  # as above
    # One without a group has a coordinator too, of another kind.
    names = ("_coordination_task", "_heartbeat_task", "_commit_refresh_task", "_reset_committed_task")
    tasks: list[asyncio.Task[Any] | None] = [getattr(coordinator, name, None) for name in names]
    if fetcher is not None:
        tasks += [fetcher._fetch_task, *fetcher._pending_tasks]  # noqa: SLF001  # as above
    tasks.append(client._sync_task)  # noqa: SLF001  # as above
    running = {task for task in tasks if task is not None and not task.done()}
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running, timeout=_ABANDON)
    for task in running:
        with suppress(asyncio.CancelledError, asyncio.InvalidStateError):
            task.exception()
    for connection in list(client._conns.values()):  # noqa: SLF001  # as above
        connection.close()
