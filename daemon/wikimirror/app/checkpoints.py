"""Positions, gaps and operations: looked at, and positions moved."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from wikimirror.app.operating import operating
from wikimirror.app.places import find_place, readable, reading
from wikimirror.app.running import run_to_end
from wikimirror.errors import ConfigurationError, Refused
from wikimirror.mirror.replays import REPLAY_PREFIX
from wikimirror.model import Lane, Position
from wikimirror.ops import gaps as ops_gaps
from wikimirror.ops import operations as ops_operations
from wikimirror.ops.checkpoints import listing as ops_checkpoints
from wikimirror.ops.checkpoints import moving
from wikimirror.ops.checkpoints.moving import Planned, Reach, Wanted
from wikimirror.ops.checkpoints.reports import CheckpointsReport, Direction, GapsReport, MoveReport
from wikimirror.ops.operations import OperationsReport
from wikimirror.settings import EventStreamsSettings, Settings

_MICROSECOND: Final = timedelta(microseconds=1)


def checkpoints(settings: Settings, source: str | None) -> CheckpointsReport:
    """Every lane's position and who owns it, or those of one source."""
    return run_to_end(reading(settings, lambda session: ops_checkpoints.checkpoints(session, source)))


def gaps(settings: Settings, *, closed: bool) -> GapsReport:
    """The open gaps; with `closed` the others too."""
    return run_to_end(reading(settings, lambda session: ops_gaps.gaps(session, closed=closed)))


def operations(settings: Settings, *, limit: int, command: str | None) -> OperationsReport:
    """Which commands wrote, the newest first."""
    return run_to_end(
        reading(settings, lambda session: ops_operations.operations(session, limit=limit, command=command))
    )


def plan_checkpoints(settings: Settings, wanted: Wanted) -> Planned:
    """What moving positions would do. Writes nothing, and notes nothing."""
    reach = _reach(settings, wanted.source)
    return run_to_end(reading(settings, lambda session: moving.plan(session, wanted, reach)))


def move_checkpoints(
    settings: Settings, command: str, arguments: Mapping[str, object], planned: Planned | Wanted
) -> MoveReport:
    """Move positions as planned; what is only wanted is planned and told, as a dry run.

    Raises Refused where a process owns lanes of the source, or where a lane is no longer as it was planned on.
    """
    dry_run = isinstance(planned, Wanted)

    async def work() -> MoveReport:
        async with find_place(settings) as place:
            there = await readable(settings, place)
            async with operating(there, place, command, arguments, dry_run=dry_run) as operation:
                if isinstance(planned, Wanted):
                    reach = _reach(settings, planned.source)
                    report = (await moving.plan(operation.session, planned, reach)).report
                else:
                    report = await moving.move(operation.session, planned)
                operation.summary.update(_summary(report))
                return report

    return run_to_end(work())


def _reach(settings: Settings, name: str) -> Reach:
    """How the source of that name is resumed. Raises ConfigurationError, Refused."""
    if name.startswith(REPLAY_PREFIX):
        raise Refused(
            f"{name} is a replay, whose positions only itself moves",
            remedy="Resume it with `wikimirror replay --resume`, or begin another one.",
        )
    source = settings.sources.get(name)
    if source is None:
        raise ConfigurationError(
            f"there is no source {name}; the settings have {', '.join(settings.sources) or 'none'}",
            remedy="Name one of them, or the settings file that has it: --config FILE.",
        )
    if isinstance(source, EventStreamsSettings):
        return Reach(None, source.retention // _MICROSECOND)

    async def resolve(times: Mapping[Lane, int]) -> Mapping[Lane, Position]:
        from wikimirror.sources.kafka import positions_at  # noqa: PLC0415  # others need not load Kafka's client

        return await positions_at(name, source, times)

    return Reach(resolve)


def _summary(report: MoveReport) -> dict[str, object]:
    """The lanes as they were and are: what setting them back takes."""
    return {
        **{f"lanes {way}": len(report.going(way)) for way in Direction},
        "positions": {
            f"{lane.topic}[{lane.partition}]": {
                "from": [lane.from_position, lane.from_time],
                "to": [lane.to_position, lane.to_time],
            }
            for lane in report.lanes
            if lane.direction is not Direction.STAYS
        },
    }
