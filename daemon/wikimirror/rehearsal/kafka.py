"""A day's topics on a real Kafka: made, filled at a pace, troubled, and deleted again.

Keys are as upstream's: records of the page_change streams have {"wiki_id", "page_id"}, so that those of a page lie in
one partition of a topic, in order. MediaWiki's configuration gives the visibility stream no key
(wmf-config/ext-EventStreamConfig.php has no `message_key_fields` there): its records lie anywhere, in no order.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError, UnknownTopicOrPartitionError, for_code

from wikimirror.errors import WikimirrorError
from wikimirror.rehearsal.arrivals import DATACENTRES, Arrival
from wikimirror.rehearsal.day import OUTSIDE
from wikimirror.rehearsal.pacing import Publication, rate_of
from wikimirror.rehearsal.redaction import page_of
from wikimirror.rehearsal.simulation import Day
from wikimirror.rehearsal.streams import STREAMS, VISIBILITY

T = TypeVar("T")

DAY_TOPICS: Final = tuple(f"{datacentre}.{stream}" for stream in STREAMS for datacentre in DATACENTRES)
"""The topics of a day's arrivals."""
BROKEN: Final = b'{"$schema":"/mediawiki/page/change/1.3.0","page":'
"""A record that nobody can read."""
_LARGEST: Final = 64 * 2**20
"""Bytes. The broker's own limit is the one that counts."""
_LINGER_MS: Final = 2
_LOOK: Final = 0.02
_FAREWELL: Final = 5.0
"""Seconds that letting go of the broker may take."""

Send = Callable[[Iterable[Arrival]], Awaitable[None]]


class KafkaTopicsError(WikimirrorError):
    """The topics of a rehearsal cannot be made, filled or deleted."""

    remedy = "Look whether the broker runs, and whether its log tells of a reason."


class KafkaTopics:
    """The topics of a day on one cluster. `async with` makes them, and connects; leaving disconnects.

    They are called as those of the day's arrivals, after a `prefix` if one is given. For one asyncio loop.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        partitions: int = 4,
        prefix: str = "",
        config: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        **options: Any,
    ) -> None:
        """`partitions`: of each topic. `config`: what the topics say differently from the broker, in Kafka's words.

        `timeout`: seconds that anything asked of the broker may take; so long it may also be away. `options`: further
        arguments for aiokafka's clients, such as those for TLS and passwords.
        """
        self.names = tuple(f"{prefix}{topic}" for topic in DAY_TOPICS)
        self.sent = 0
        """Records that readers can get, those sent again among them."""
        self._bootstrap = bootstrap
        self._partitions = partitions
        self._prefix = prefix
        self._config = dict(config or {})
        self._timeout = timeout
        self._options = options
        self._ends: dict[tuple[str, int], int] = {}
        self._producer: AIOKafkaProducer | None = None

    @property
    def ends(self) -> dict[tuple[str, int], int]:
        """By topic and partition: the offset after the last record that readers can get. Empty ones are left out."""
        return dict(self._ends)

    def name_of(self, topic: str) -> str:
        """What a topic of the day's arrivals is called here."""
        return self._prefix + topic

    async def __aenter__(self) -> Self:
        """Raises KafkaTopicsError, also where a topic is there already."""
        new = [NewTopic(name, self._partitions, 1, topic_configs=self._config) for name in self.names]
        async with self._admin("the topics could not be made") as admin:
            _check((await admin.create_topics(new)).topic_errors)
            for name in self.names:
                await _led(admin, name, self._partitions)
        self._producer = await self._connected()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._producer is not None:
            await self._disconnect(self._producer)

    def publish(
        self, day: Day, *, seconds: float | None = None, rate: float | None = None, broken_every: int | None = None
    ) -> Publication:
        """Begin to publish a day's records in reading order, evenly over `seconds` or `rate` a second, or all at once.

        With `broken_every` one that nobody can read comes beside each so manieth. Awaiting it raises KafkaTopicsError.
        """
        return _IntoKafka(day, self, rate_of(day, seconds=seconds, rate=rate), broken_every)

    async def send(self, records: Iterable[Arrival]) -> None:
        """Send these records, again or for the first time; returns when the broker has them all.

        Only their topics and values count: partition, offset and time are given anew. Raises KafkaTopicsError.
        """
        assert self._producer is not None, "the topics are not entered"  # noqa: S101  # a mistake of ours
        self._note(await self._send(self._producer, records))

    @asynccontextmanager
    async def transaction(self, *, abort: bool = False) -> AsyncIterator[Send]:
        """Gives what sends records in one transaction, which ends with the block: it is aborted if asked, or if the
        block fails. Readers of durable records get nothing of an aborted one, and of others at their end.
        """
        producer = await self._connected(transactional_id=f"rehearsal-{secrets.token_hex(6)}")
        places: list[tuple[str, int, int]] = []

        async def send(records: Iterable[Arrival]) -> None:
            places.extend(await self._send(producer, records))

        try:
            await self._ask(producer.begin_transaction(), "a transaction could not be begun")
            try:
                yield send
            except BaseException:
                await self._ask(producer.abort_transaction(), "a transaction could not be aborted")
                raise
            if abort:
                await self._ask(producer.abort_transaction(), "a transaction could not be aborted")
            else:
                await self._ask(producer.commit_transaction(), "a transaction could not be completed")
                self._note(places)
        finally:
            await self._disconnect(producer)

    async def add_partitions(self, topic: str, total: int) -> None:
        """Give a topic of the day more partitions; `total`: how many it then has. Keys move to other ones thereby."""
        assert self._producer is not None, "the topics are not entered"  # noqa: S101  # a mistake of ours
        name = self.name_of(topic)
        async with self._admin(f"{name} could not be given {total} partitions") as admin:
            _check((await admin.create_partitions({name: NewPartitions(total)})).topic_errors)
            await _led(admin, name, total)
            while len(await self._producer.partitions_for(name)) < total:
                await self._producer.client.force_metadata_update()

    async def delete(self) -> None:
        """Delete the topics, as far as they are there."""
        async with self._admin("the topics could not be deleted") as admin:
            gone = await admin.delete_topics(list(self.names))
            _check(each for each in gone.topic_error_codes if each[1] != UnknownTopicOrPartitionError.errno)

    async def _send(self, producer: AIOKafkaProducer, records: Iterable[Arrival]) -> list[tuple[str, int, int]]:
        """Topic, partition and offset of each, in the order given."""

        async def sent() -> list[Any]:
            coming = [await producer.send(self.name_of(each.topic), each.value, key=key_of(each)) for each in records]
            return await asyncio.gather(*coming)

        there = await self._ask(sent(), "records could not be published")
        return [(said.topic, said.partition, said.offset) for said in there]

    def _note(self, places: Sequence[tuple[str, int, int]]) -> None:
        self.sent += len(places)
        for topic, partition, offset in places:
            self._ends[topic, partition] = max(self._ends.get((topic, partition), 0), offset + 1)

    async def _connected(self, **more: str) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            acks="all",
            enable_idempotence=True,
            compression_type="lz4",
            linger_ms=_LINGER_MS,
            max_request_size=_LARGEST,
            # aiokafka gives a record up after this time, however short the broker was away before.
            request_timeout_ms=int(self._timeout * 1000),
            **more,
            **self._options,
        )
        try:
            await self._ask(producer.start(), "a producer could not be started")
        except BaseException:
            await self._disconnect(producer)
            raise
        return producer

    async def _disconnect(self, producer: AIOKafkaProducer) -> None:
        """In a bounded time: `stop` waits for a broker that is away. Whoever sent something knows what became of it."""
        try:
            async with asyncio.timeout(_FAREWELL):
                await producer.stop()
        except TimeoutError:
            await producer._sender.close()  # noqa: SLF001  # what `stop` that was cut off leaves running
            await producer.client.close()

    @asynccontextmanager
    async def _admin(self, what: str) -> AsyncIterator[Any]:
        admin: Any = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap, **self._options)
        try:
            with self._told(what):
                async with asyncio.timeout(self._timeout):
                    await admin.start()
                    yield admin
        finally:
            await admin.close()

    async def _ask(self, answer: Awaitable[T], what: str) -> T:
        with self._told(what):
            async with asyncio.timeout(self._timeout):
                return await answer

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """In plain words, without the library's, which may quote what was sent."""
        try:
            yield
        except TimeoutError as error:
            raise KafkaTopicsError(f"{what}: {self._bootstrap} did not answer within {self._timeout:g} s") from error
        except KafkaConnectionError as error:
            raise KafkaTopicsError(f"{what}: no Kafka answers at {self._bootstrap}") from error
        except KafkaError as error:
            raise KafkaTopicsError(f"{what}: {self._bootstrap} answered {type(error).__name__}") from error


class _IntoKafka(Publication):
    BURST = 2000

    def __init__(self, day: Day, topics: KafkaTopics, rate: float | None, broken_every: int | None) -> None:
        super().__init__(day, rate)
        self._topics = topics
        self._broken_every = broken_every

    async def _send(self, arrivals: Sequence[Arrival]) -> None:
        await self._topics.send(self._with_broken(arrivals) if self._broken_every else arrivals)

    def _with_broken(self, arrivals: Iterable[Arrival]) -> Iterator[Arrival]:
        for number, arrival in enumerate(arrivals, self.published + 1):
            yield arrival
            if self._broken_every and number % self._broken_every == 0:
                yield arrival._replace(value=BROKEN)


def key_of(record: Arrival) -> bytes | None:
    """The key that upstream gives to a record; None where it gives none, and for what names no page.

    A null record has one, of a page that never was: it says that what went before under this key may be forgotten.
    """
    if record.value is None:
        return msgspec.json.encode({"wiki_id": OUTSIDE, "page_id": record.offset + 1})
    if record.topic.endswith(VISIBILITY):
        return None
    try:
        wiki_id, page_id = page_of(record.value)
    except msgspec.DecodeError:
        return None
    return msgspec.json.encode({"wiki_id": wiki_id, "page_id": page_id}) if wiki_id else None


def _check(errors: Iterable[Any]) -> None:
    for topic, code, *_ in errors:
        if code:
            raise for_code(code)(topic)


async def _led(admin: Any, topic: str, partitions: int) -> None:
    """Wait until clients are told of all partitions of a topic."""
    while True:
        (said,) = await admin.describe_topics([topic])
        if sum(not each["error_code"] and each["leader"] >= 0 for each in said["partitions"]) == partitions:
            return
        await asyncio.sleep(_LOOK)
