"""The demo over Kafka: a simulated wiki's day in topics of a real broker, with Kafka's troubles, and two members.

The first member follows the day to its end. The second joins and leaves, so that partitions change hands twice.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from wikimirror.app.live import accounts_of, build_daemon, telemetry_of
from wikimirror.app.rehearsing import SOURCE, Followed, Rehearsal, following, until_interrupted
from wikimirror.errors import ConfigurationError
from wikimirror.observe.vitals import Vitals
from wikimirror.ops.demo import Watch, follow_to_the_end
from wikimirror.ops.reports import PlayReport
from wikimirror.pipeline.daemon import Daemon
from wikimirror.rehearsal import Day, Publication
from wikimirror.rehearsal.broker import KafkaBroker
from wikimirror.rehearsal.broker_home import HOW_TO_GET_KAFKA, find_java, find_kafka, outside_broker
from wikimirror.rehearsal.kafka import KafkaTopics
from wikimirror.settings import KafkaSettings, Settings

_PARTITIONS: Final = 4
_MORE_PARTITIONS: Final = 6
_AGAIN: Final = 500
"""Records that are sent a second time."""
_BEFORE_TWO: Final = 0.3
"""Of the day; so much at most is published before there are two members."""
_WHILE_TWO: Final = 0.6
"""Of the day; so much at most is published before there is one member again."""
_LOOK: Final = 0.05
_OURS: Final = timedelta(seconds=3)
"""The session in a group on our own broker: long enough for a busy machine."""
_THEIRS: Final = timedelta(seconds=6)
"""The shortest session that brokers allow as Kafka comes."""


def require_kafka() -> None:
    """Raises ConfigurationError where there is neither a broker that is named nor a Kafka of our own."""
    if outside_broker() is None and (find_kafka() is None or find_java() is None):
        raise ConfigurationError("there is no Kafka to rehearse with", remedy=f"{HOW_TO_GET_KAFKA}.")


async def follow_kafka(rehearsal: Rehearsal) -> Followed:
    """Follow the day over Kafka to its end."""
    watch, name, day = Watch(), f"demo-{secrets.token_hex(4)}", rehearsal.day
    async with AsyncExitStack() as opened:
        opened.enter_context(_unheard(rehearsal.settings))
        cluster = await opened.enter_async_context(_find_cluster())
        topics = KafkaTopics(cluster.bootstrap, partitions=_PARTITIONS, prefix=f"{name}.")
        await opened.enter_async_context(topics)
        if cluster.own is None:
            opened.push_async_callback(topics.delete)
        settings = _of(rehearsal.settings, cluster, topics.names, group=name)
        first, second = (_Member(settings, rehearsal, watch) for _ in range(2))
        publication = topics.publish(day, seconds=rehearsal.pace)
        opened.push_async_callback(_end, publication)
        troubles = _Troubles(day, publication, topics, cluster.own, second)
        troubled = asyncio.create_task(troubles.run(), name="troubles")
        opened.push_async_callback(_end, troubled)
        upstream = _Upstream(publication, troubled, topics)
        wanted = until_interrupted(first.daemon)
        took = await follow_to_the_end(first.daemon, watch, upstream, rehearsal.on_progress, wanted)
    members = [first.vitals, second.vitals]
    did = {**troubles.did, "assignments of partitions": sum(each.rebalances for each in members)}
    return Followed(_together([accounts_of(each, took) for each in members]), watch.freshness, did, day.truth)


@contextmanager
def _unheard(settings: Settings) -> Iterator[None]:
    """Troubles that are arranged are no news, and aiokafka tells of each as an error: unless somebody wants to see."""
    logger = logging.getLogger("aiokafka")
    before = logger.level
    if settings.log.level == "error":
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


class _Cluster(NamedTuple):
    bootstrap: str
    own: KafkaBroker | None
    """None: it is somebody else's."""


@asynccontextmanager
async def _find_cluster() -> AsyncIterator[_Cluster]:
    outside = outside_broker()
    if outside is not None:
        yield _Cluster(outside, None)
        return
    with TemporaryDirectory(prefix="wikimirror-kafka-") as directory:
        async with KafkaBroker(Path(directory)) as broker:
            yield _Cluster(broker.bootstrap, broker)


class _Member:
    """A daemon as `run` builds it, with accounts of its own."""

    def __init__(self, settings: Settings, rehearsal: Rehearsal, watch: Watch) -> None:
        telemetry = telemetry_of(settings)
        self.daemon: Daemon = build_daemon(settings, rehearsal.place, telemetry, on_durable=watch.note)
        self.vitals: Vitals = telemetry.vitals[SOURCE]


class _Upstream(NamedTuple):
    """A day on its way through its troubles, as ops.demo.Upstream."""

    publication: Publication
    troubled: asyncio.Task[None]
    topics: KafkaTopics

    @property
    def done(self) -> bool:
        published, troubled = self.publication.done, self.troubled.done()
        if published:
            self.publication.result()
        if troubled:
            self.troubled.result()
        return published and troubled

    @property
    def total(self) -> int:
        return max(self.topics.sent, self.publication.total)

    @property
    def ends(self) -> dict[tuple[str, int], int]:
        return self.topics.ends

    def hurry(self) -> None:
        self.publication.hurry()


class _Troubles:
    """What a cluster goes through in a year, within a day: each while records are published."""

    def __init__(
        self, day: Day, publication: Publication, topics: KafkaTopics, broker: KafkaBroker | None, second: _Member
    ) -> None:
        self._day = day
        self._publication = publication
        self._topics = topics
        self._broker = broker
        self._second = second
        self.did: Counter[str] = Counter()
        publication.hold(_BEFORE_TWO)

    async def run(self) -> None:
        """Go through all of them."""
        await self._published(0.1)
        await self._add_partitions()
        await self._published(0.2)
        async with _working(self._second.daemon) as working:
            await _until(lambda: self._second.vitals.positioned, working)
            self._publication.hold(_WHILE_TWO)
            await self._published(0.45)
            await self._abort()
        self.did["members that joined and left"] += 1
        self._publication.hold()
        await self._again()
        if self._broker is not None:
            await self._broker.stop()
            await self._broker.start()
            self.did["restarts of the broker"] += 1

    async def _add_partitions(self) -> None:
        await self._topics.add_partitions(self._day.arrivals[0].topic, _MORE_PARTITIONS)
        self.did["partitions added to a topic"] += _MORE_PARTITIONS - _PARTITIONS

    async def _abort(self) -> None:
        records = self._day.arrivals[:_AGAIN]
        async with self._topics.transaction(abort=True) as send:
            await send(records)
        self.did["records of an aborted transaction"] += len(records)

    async def _again(self) -> None:
        records = self._day.arrivals[:_AGAIN]
        await self._topics.send(records)
        self.did["records sent again"] += len(records)

    async def _published(self, share: float) -> None:
        await _until(lambda: self._publication.published >= share * self._publication.total)


async def _until(holds: Callable[[], bool], working: asyncio.Task[None] | None = None) -> None:
    """Until something holds. Raises what ended those who work for it."""
    while not holds():
        if working is not None and working.done():
            working.result()
            return
        await asyncio.sleep(_LOOK)


@asynccontextmanager
async def _working(daemon: Daemon) -> AsyncIterator[asyncio.Task[None]]:
    """A daemon at work until the block is left, and drained then. Raises what ended it before."""
    running = asyncio.create_task(daemon.run(), name="second daemon")
    try:
        yield running
        daemon.stop()
        await running
    finally:
        await _end(running)


async def _end(work: asyncio.Task[None] | Publication) -> None:
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


def _of(settings: Settings, cluster: _Cluster, topics: tuple[str, ...], *, group: str) -> Settings:
    session = _THEIRS if cluster.own is None else _OURS
    source = KafkaSettings(
        type="kafka",
        bootstrap_servers=tuple(cluster.bootstrap.split(",")),
        topics=topics,
        group=group,
        start="earliest",
        request_timeout=session / 2,
        session_timeout=session,
        rebalance_timeout=timedelta(seconds=10),
        metadata_interval=timedelta(milliseconds=500),
        acknowledge_interval=timedelta(seconds=1),
    )
    return following(settings, source)


def _together(reports: list[PlayReport]) -> PlayReport:
    """The accounts of several members as one."""
    whole, *others = reports
    for each in others:
        whole = PlayReport(
            read=whole.read + each.read,
            ignored=dict(Counter(whole.ignored) + Counter(each.ignored)),
            applied=dict(Counter(whole.applied) + Counter(each.applied)),
            refused=dict(Counter(whole.refused) + Counter(each.refused)),
            set_aside=dict(Counter(whole.set_aside) + Counter(each.set_aside)),
            in_flight=whole.in_flight + each.in_flight,
            given_back=whole.given_back + each.given_back,
            seconds=whole.seconds,
        )
    return whole
