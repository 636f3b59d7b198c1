"""Stays in a group, in this process: sources, what they read, and supervisors with a Postgres."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.kafka.admin import produce
from tests.pipeline.test_pipeline import LIMITS, PLAN
from tests.wire.records import page, page_change, revision
from wikimirror.mirror.connect import Session, connect
from wikimirror.mirror.evict import name_of
from wikimirror.model import Lane, Lost, Record
from wikimirror.observe.vitals import Role, Vitals
from wikimirror.pipeline.group import ConnectAs, GroupSupervisor
from wikimirror.pipeline.pipeline import Plan
from wikimirror.pipeline.writing import Connect
from wikimirror.settings import KafkaSettings
from wikimirror.sources import Positions
from wikimirror.sources.kafka import KafkaSource
from wikimirror.sources.kafka.membership import KafkaMembership

SOURCE = "kafka"
DEADLINE = 20.0
MEMORY = 64 * 2**20


async def until(holds: Callable[[], object], seconds: float = DEADLINE) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # no event tells of it
            await asyncio.sleep(0.01)


def settings_of(bootstrap: str, group: str, *topics: str, **keys: Any) -> KafkaSettings:
    """Quick to notice, so that tests need not wait."""
    said: dict[str, Any] = {
        "type": "kafka",
        "bootstrap_servers": bootstrap.split(","),
        "topics": topics,
        "group": group,
        "request_timeout": "2s",
        "session_timeout": "3s",
        "rebalance_timeout": "5s",
        "metadata_interval": "300ms",
        "idle_timeout": "10s",
        "acknowledge_interval": "100ms",
    }
    return KafkaSettings(**said | keys)


def source_of(settings: KafkaSettings, *, memory: int = MEMORY) -> tuple[KafkaSource, Vitals]:
    vitals = Vitals(SOURCE, shared=True, member_id=settings.member_id)
    return KafkaSource(SOURCE, lambda: settings, vitals, lambda: time.time_ns() // 1000, memory=memory), vitals


def lane(topic: str, partition: int = 0) -> Lane:
    return Lane(SOURCE, topic, partition)


def edits(first: int, count: int, *, partition: int = 0) -> list[tuple[int, bytes, bytes, int]]:
    """Edits of a page each, numbered from `first` on, as records to produce."""
    now = int(time.time() * 1000)
    return [(partition, b"%d" % number, _edit(number), now) for number in range(first, first + count)]


def _edit(number: int) -> bytes:
    said = page_change(page=page(page_id=10 + number), revision=revision(5001 + number))
    said["meta"]["id"] = f"edit {number}"
    return json.dumps(said).encode()


async def send(bootstrap: str, topic: str, *values: bytes | None, partition: int = 0, **options: Any) -> None:
    """Records with these values, of now."""
    now = int(time.time() * 1000)
    await produce(bootstrap, topic, [(partition, None, value, now) for value in values], **options)


@dataclass
class Reading:
    """What a source has yielded so far, of one `read`."""

    items: list[Record | Lost] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    go: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared: nobody asks for more."""

    @property
    def lost(self) -> list[Lost]:
        return [item for item in self.items if isinstance(item, Lost)]

    @property
    def records(self) -> list[Record]:
        return [item for item in self.items if isinstance(item, Record)]

    def values(self, topic: str, partition: int = 0) -> list[bytes | None]:
        return [each.value for each in self.records if each.at[1:3] == (topic, partition)]

    async def until(self, count: int) -> None:
        """Wait for so many records; what ends the reading sooner is raised."""

        def there() -> bool:
            if self.task is not None and self.task.done():
                self.task.result()
            return len(self.records) >= count

        await until(there)


@asynccontextmanager
async def reading(source: KafkaSource, positions: Positions) -> AsyncIterator[Reading]:
    found = Reading()
    found.go.set()

    async def read() -> None:
        items = source.read(positions)
        try:
            async for item in items:
                found.items.append(item)
                await found.go.wait()
        finally:
            await items.aclose()

    found.task = asyncio.create_task(read())
    try:
        yield found
    finally:
        found.task.cancel()
        with suppress(BaseException):
            await found.task


@asynccontextmanager
async def joined(
    settings: KafkaSettings, *, lanes: int | None = None, memory: int = MEMORY
) -> AsyncIterator[tuple[KafkaSource, KafkaMembership, Vitals]]:
    """In the group, with an assignment of so many lanes. It counts as released: nobody of these tests writes."""
    source, vitals = source_of(settings, memory=memory)
    async with source.join() as member:
        if lanes is not None:
            async with asyncio.timeout(DEADLINE):
                while len((given := await member.assigned()).lanes) != lanes:
                    given.release()
            given.release()
        yield source, member, vitals


@dataclass
class Mirroring:
    """A process's supervisor at work."""

    vitals: Vitals
    supervisor: GroupSupervisor
    source: KafkaSource
    task: asyncio.Task[None]

    async def until_lanes(self, count: int) -> None:
        """Until it reads so many lanes."""
        await until(lambda: self.raised() or (self.vitals.lanes == count and self.vitals.connected))

    def raised(self) -> bool:
        """Raise what ended it, if something did."""
        if self.task.done():
            self.task.result()
        return False

    async def stopped(self) -> None:
        self.supervisor.drain()
        async with asyncio.timeout(DEADLINE):
            await self.task
        assert self.vitals.role is Role.STOPPED
        assert self.vitals.accounts.unaccounted == 0
        assert self.vitals.accounts.in_flight == 0


Start = Callable[..., Mirroring]


@asynccontextmanager
async def supervisors(database_url: str) -> AsyncIterator[Start]:
    """`start(settings)` is a process of a daemon, as far as one source is concerned."""
    begun: list[Mirroring] = []

    def connecting(writer: str) -> Connect:
        async def one() -> Session:
            return await connect(database_url, limits=LIMITS, application_name=name_of(writer))

        return one

    def start(settings: KafkaSettings, *, plan: Plan = PLAN, connect_as: ConnectAs = connecting) -> Mirroring:
        source, vitals = source_of(settings)
        holder = f"process {len(begun)}"
        supervisor = GroupSupervisor(source, connect_as, plan, vitals, lambda _: None, holder=holder)
        begun.append(Mirroring(vitals, supervisor, source, asyncio.create_task(supervisor.run())))
        return begun[-1]

    try:
        yield start
    finally:
        for each in begun:
            each.task.cancel()
        if begun:
            await asyncio.wait({each.task for each in begun})
        for each in begun:
            if not each.task.cancelled():
                each.task.exception()
