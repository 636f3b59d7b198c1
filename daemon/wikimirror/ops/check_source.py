"""Reading a source for a while and telling what came, without writing anything: what a user runs first."""

from __future__ import annotations

import asyncio
import statistics
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import Final

import msgspec

from wikimirror import wire
from wikimirror.errors import SourceUnavailable, UnreadableRecord
from wikimirror.merge.scope import Scope, admit
from wikimirror.model import MICROSECONDS, Change, Record
from wikimirror.ops.live_reports import CheckReport, TopicReport
from wikimirror.sources import LiveSource, Positions, lane_of, position_after

_CANARY: Final = "canary"
_PAUSE: Final = 1.0
"""Seconds between two connections, where the source asks for no other pause."""


class _Head(msgspec.Struct):
    schema: str = msgspec.field(name="$schema", default="(none)")


async def check_source(
    source: LiveSource, scope: Scope, *, record_bytes: int, seconds: float, now: Callable[[], int]
) -> CheckReport:
    """Read on from a little before now for `seconds`. Raises SourceRefused, and SourceUnavailable where the source
    cannot even tell where to begin; all else is told in the report.

    `now` gives microseconds since the epoch.
    """
    check = _Check(source, await source.starting_positions(), scope, record_bytes, now)
    clock = asyncio.get_running_loop().time
    started = clock()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await check.read()
    return check.report(clock() - started)


class _Check:
    def __init__(
        self, source: LiveSource, starts: Positions, scope: Scope, record_bytes: int, now: Callable[[], int]
    ) -> None:
        self._source, self._scope, self._record_bytes, self._now = source, scope, record_bytes, now
        self._positions = {lane: start._replace(time=now()) for lane, start in starts.items()}
        self._newest = {lane.topic: 0 for lane in self._positions}
        self._connections = self._size = self._out_of_scope = self._ahead = 0
        self._behind: list[float] = []
        self._failures, self._schemas, self._kinds = Counter[str](), Counter[str](), Counter[str]()
        self._ignored, self._unreadable = Counter[str](), Counter[str]()
        self._records, self._canaries = Counter[str](), Counter[str]()

    async def read(self) -> None:
        """Over as many connections as it takes, without end."""
        while True:
            pause = _PAUSE
            self._connections += 1
            try:
                async with aclosing(self._source.read(self._positions)) as items:
                    async for item in items:
                        if isinstance(item, Record):
                            self._count(item)
            except SourceUnavailable as error:
                self._failures[str(error)] += 1
                pause = max(pause, error.retry_after or 0.0)
            await asyncio.sleep(pause)

    def report(self, seconds: float) -> CheckReport:
        """What was counted."""
        end = self._now()
        topics = [
            TopicReport(
                topic,
                self._records[topic],
                self._canaries[topic],
                max(0.0, (end - newest) / MICROSECONDS) if newest else None,
            )
            for topic, newest in sorted(self._newest.items())
        ]
        behind = [max(0.0, each) for each in self._behind]
        return CheckReport(
            source=self._source.name,
            seconds=seconds,
            connections=self._connections,
            failures=dict(self._failures),
            records=self._records.total(),
            size=self._size,
            topics=topics,
            schemas=dict(self._schemas),
            kinds=dict(self._kinds),
            ignored=dict(self._ignored),
            out_of_scope=self._out_of_scope,
            unreadable=dict(self._unreadable),
            behind_median=statistics.median(behind) if behind else None,
            behind_most=max(behind, default=None),
            ahead=self._ahead,
        )

    def _count(self, record: Record) -> None:
        topic = record.at.topic
        if not record.again:
            self._positions[lane_of(record.at)] = position_after(record)
        elif self._connections > 1:
            # It was counted over the connection before.
            return
        self._records[topic] += 1
        self._size += len(record.value or b"")
        self._newest[topic] = max(self._newest.get(topic, 0), record.published)
        if record.published and not record.again:
            seconds = (record.received - record.published) / MICROSECONDS
            self._behind.append(seconds)
            self._ahead += seconds < 0
        try:
            decoded = wire.decode(record, max_bytes=self._record_bytes)
        except UnreadableRecord as error:
            self._unreadable[error.reason] += 1
            return
        self._schemas[_schema_of(record)] += 1
        if isinstance(decoded, Change):
            self._kinds[decoded.kind.value] += 1
            self._out_of_scope += admit(decoded, self._scope) is None
        else:
            self._ignored[decoded.reason] += 1
            self._canaries[topic] += decoded.reason == _CANARY


def _schema_of(record: Record) -> str:
    try:
        return msgspec.json.decode(record.value or b"{}", type=_Head).schema
    except msgspec.DecodeError:
        return "(none)"
