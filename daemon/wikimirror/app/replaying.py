"""Replays, from checked settings to a report."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from wikimirror.app.live import limits_of
from wikimirror.app.operating import Operating, operating
from wikimirror.app.places import Place, find_place, open_session, readable, reading
from wikimirror.app.ranges import range_source
from wikimirror.app.running import now, run_to_end
from wikimirror.mirror.apply import Applier
from wikimirror.mirror.breaker import Breaker
from wikimirror.mirror.gaps import find_gap
from wikimirror.mirror.leases import new_holder
from wikimirror.mirror.replays import Replay, begin_replay, find_replay, resume_replay
from wikimirror.mirror.shadow import shadow_of
from wikimirror.model import Lane
from wikimirror.ops.play import decoding_of, law_of, scope_of
from wikimirror.ops.replaying import listing as ops_replays
from wikimirror.ops.replaying import work as ops_replay
from wikimirror.ops.replaying.aim import aim_of, require_something, require_whole
from wikimirror.ops.replaying.asked import Asked
from wikimirror.ops.replaying.reading import Reading
from wikimirror.ops.replaying.reports import ReplayReport, ReplaysReport
from wikimirror.ops.reports import OnProgress
from wikimirror.settings import KafkaSettings, Settings
from wikimirror.sources.ranges import Range, RangeSource

OnBegun = Callable[[int], None]
"""Told the number of a replay once it can be resumed."""
_COMMAND: Final = "replay"


def replay(
    settings: Settings, asked: Asked, *, dry_run: bool, on_begun: OnBegun, on_progress: OnProgress
) -> ReplayReport:
    """Read a range again and apply it; with `dry_run` tell what that would change."""

    async def work(command: _Command) -> ReplayReport:
        source, ranges = await command.aimed(asked)
        return await (command.rehearse if dry_run else command.begin)(asked, source, ranges)

    return _run(settings, asked.told, work, dry_run=dry_run, on_begun=on_begun, on_progress=on_progress)


def resume(
    settings: Settings,
    replay_id: int,
    *,
    rate: float | None,
    files: tuple[str, ...],
    on_begun: OnBegun,
    on_progress: OnProgress,
) -> ReplayReport:
    """Go on with a replay where it was stopped, as it was asked for; rate and files may be said anew."""

    async def work(command: _Command) -> ReplayReport:
        return await command.resume(replay_id, rate=rate, files=files)

    given = {"resume": replay_id, "rate": rate, "files": files}
    return _run(settings, given, work, dry_run=False, on_begun=on_begun, on_progress=on_progress)


def replays(settings: Settings, limit: int) -> ReplaysReport:
    """The newest replays, as Postgres knows them."""
    return run_to_end(reading(settings, lambda session: ops_replays.replays(session, limit)))


def _run(
    settings: Settings,
    given: Mapping[str, object],
    work: Callable[[_Command], Awaitable[ReplayReport]],
    *,
    dry_run: bool,
    on_begun: OnBegun,
    on_progress: OnProgress,
) -> ReplayReport:
    async def operate() -> ReplayReport:
        async with find_place(settings) as place:
            there = await readable(settings, place)
            async with operating(there, place, _COMMAND, given, dry_run=dry_run) as operation:
                return await work(_Command(there, place, operation, on_begun, on_progress))

    return run_to_end(operate())


@dataclass(frozen=True)
class _Command:
    """A replay at work."""

    settings: Settings
    place: Place
    operation: Operating
    on_begun: OnBegun
    on_progress: OnProgress

    async def aimed(self, asked: Asked) -> tuple[RangeSource, dict[Lane, Range]]:
        """The source that is meant, and the ranges of its lanes."""
        gap = None if asked.gap is None else await find_gap(self.operation.session, asked.gap)
        kafka = {name for name, each in self.settings.sources.items() if isinstance(each, KafkaSettings)}
        aim = aim_of(asked, gap, by_offset=kafka, now=now())
        source = self._source(aim.source, asked)
        ranges = await source.resolve(aim.start, aim.end, topics=aim.topics, partitions=aim.partitions)
        require_something(ranges, aim.source)
        if gap is not None:
            require_whole(ranges, aim)
        return source, ranges

    async def rehearse(self, asked: Asked, source: RangeSource, ranges: Mapping[Lane, Range]) -> ReplayReport:
        """What the replay would change."""
        reading = self._reading(asked, source, ranges)
        async with shadow_of(self.operation.session, law_of(self.settings)) as shadow:
            outcome = await ops_replay.rehearse(shadow, reading, self.on_progress)
            difference = {table: counts._asdict() for table, counts in (await shadow.difference()).items()}
        self.operation.summary.update(outcome.tally.summary, records=outcome.tally.read, difference=difference)
        stretches = ops_replay.stretches_of(ranges)
        return ops_replays.report_of(source.name, stretches, outcome, gap_id=asked.gap, difference=difference)

    async def begin(self, asked: Asked, source: RangeSource, ranges: Mapping[Lane, Range]) -> ReplayReport:
        """A new replay."""
        begun = await begin_replay(
            self.operation.session,
            source.name,
            ops_replay.stretches_of(ranges),
            asked=replace(asked, source=source.name).told,
            holder=new_holder(),
            gap_id=asked.gap,
        )
        return await self._work_off(asked, source, begun)

    async def resume(self, replay_id: int, *, rate: float | None, files: tuple[str, ...]) -> ReplayReport:
        """One that was stopped."""
        name, told = await find_replay(self.operation.session, replay_id)
        asked = Asked.of(told)
        asked = replace(asked, rate=asked.rate if rate is None else rate, files=files or asked.files)
        source = self._source(name, asked)
        return await self._work_off(asked, source, await resume_replay(self.operation.session, replay_id, new_holder()))

    async def _work_off(self, asked: Asked, source: RangeSource, held: Replay) -> ReplayReport:
        self.operation.summary.update(replay=held.replay_id)
        self.on_begun(held.replay_id)
        applier = Applier(self.operation.session, law_of(self.settings), Breaker(limits_of(self.settings)))
        connect = partial(open_session, self.settings, self.place, name="wikimirror replay")
        reading = self._reading(asked, source, ops_replay.ranges_of(held))
        outcome = await ops_replay.work_off(applier, connect, held, reading, self.on_progress)
        tally = outcome.tally
        self.operation.summary.update(tally.summary, records=tally.read, gap_closed=outcome.gap_closed)
        return ops_replays.report_of(source.name, held.stretches, outcome, replay_id=held.replay_id, gap_id=held.gap_id)

    def _source(self, name: str, asked: Asked) -> RangeSource:
        return range_source(self.settings, name, [Path(file) for file in asked.files])

    def _reading(self, asked: Asked, source: RangeSource, ranges: Mapping[Lane, Range]) -> Reading:
        decoding = decoding_of(self.settings.sources.get(source.name))
        return Reading(
            source=source,
            ranges=ranges,
            scope=scope_of(self.settings),
            narrowing=asked.narrowing,
            rate=asked.rate,
            batch_records=self.settings.apply.batch_records,
            batch_bytes=int(self.settings.apply.batch_bytes),
            record_bytes=decoding.record_bytes,
            dialects=decoding.dialects,
        )
