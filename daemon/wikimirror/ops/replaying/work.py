"""Replaying: a range of a source is read again and applied once more, beside the daemon and without its positions.

What is read twice alters nothing, and what is newer stays (promise P2). Each batch's transaction also holds how far the
replay is and what became of its records, so that a process that was killed is followed by one that misses nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Final, NamedTuple

import msgspec

from wikimirror.errors import Fenced, WikimirrorError
from wikimirror.mirror.apply import Applied, Applier
from wikimirror.mirror.checkpoints import Held
from wikimirror.mirror.replays import (
    Replay,
    ReplayState,
    Stretch,
    finish_replay,
    leave_replay,
    own_lane,
    see_replay,
    tell_replay,
)
from wikimirror.mirror.shadow import Shadow
from wikimirror.model import Batch, Lane, Position
from wikimirror.ops.replaying.reading import RangeReader, Reading, Told
from wikimirror.ops.replaying.tally import Tally
from wikimirror.ops.reports import OnProgress
from wikimirror.pipeline.writing import Connect
from wikimirror.sources.ranges import Range

_SEEN_EVERY: Final = 5.0
"""Seconds between two tellings that the replay is at work: the source may bring nothing for long."""
_FAREWELL: Final = 5.0
"""Seconds that noting the end may take."""


class Outcome(NamedTuple):
    """What came of reading ranges to their ends."""

    tally: Tally
    held: Mapping[Lane, Held]
    """Where each lane is."""
    seconds: float
    gap_closed: bool = False


async def rehearse(shadow: Shadow, reading: Reading, on_progress: OnProgress) -> Outcome:
    """Read ranges and apply them to a shadow."""
    began = monotonic()

    async def write(batch: Batch, told: Told, _done: Collection[Lane]) -> Tally:
        return told(await shadow.apply(batch))

    held = {lane: Held(0, *each.start) for lane, each in reading.ranges.items()}
    reader = RangeReader(reading, held, write, Tally(), on_progress)
    return Outcome(await reader.run(), reader.held, monotonic() - began)


async def work_off(
    applier: Applier, connect: Connect, replay: Replay, reading: Reading, on_progress: OnProgress
) -> Outcome:
    """Read what is left of a replay and apply it, note its end, and close its gap if all of that was read.

    `connect` opens sessions beside the applier's. Raises Fenced where another process has taken the replay over, and
    whatever keeps it from going on; then it can be resumed, as after a cancellation.
    """
    began = monotonic()

    async def write(batch: Batch, told: Told, done: Collection[Lane]) -> Tally:
        async def tell(applied: Applied) -> None:
            tally = told(applied)
            await tell_replay(applier.session, replay, tally.read, tally.summary, done)

        steps = tuple(step._replace(lane=own_lane(replay.replay_id, step.lane)) for step in batch.advances)
        return told(await applier.apply(msgspec.structs.replace(batch, advances=steps), also=tell))

    begun = Tally.of(replay.source, replay.records_read, replay.summary)
    reader = RangeReader(reading, replay.held, write, begun, on_progress)
    try:
        async with _seen(connect, replay):
            tally = await reader.run()
        # Where nothing came, or not all, nobody can say that the gap is filled.
        closed = await finish_replay(applier.session, replay, close=tally.read > 0 and not tally.lost)
    except Fenced:
        raise
    except asyncio.CancelledError:
        await _leave(connect, replay, ReplayState.INTERRUPTED)
        raise
    except WikimirrorError as error:
        await _leave(connect, replay, ReplayState.FAILED)
        error.remedy = f"{error.remedy} To go on: wikimirror replay --resume {replay.replay_id}".strip()
        raise
    except Exception:
        await _leave(connect, replay, ReplayState.FAILED)
        raise
    return Outcome(tally, reader.held, monotonic() - began, closed)


def stretches_of(ranges: Mapping[Lane, Range]) -> list[Stretch]:
    """Ranges as the replay's rows hold them."""
    return [
        Stretch(lane.topic, lane.partition, *each.start, each.end_offset, each.end_time)
        for lane, each in sorted(ranges.items())
    ]


def ranges_of(replay: Replay) -> dict[Lane, Range]:
    """What of a replay is left to read, from where each lane is."""
    found = {}
    for each in replay.stretches:
        lane = Lane(replay.source, each.topic, each.partition)
        if not each.done:
            held = replay.held[lane]
            found[lane] = Range(Position(held.position, held.time), each.to_position, each.to_time)
    return found


@asynccontextmanager
async def _seen(connect: Connect, replay: Replay) -> AsyncIterator[None]:
    """Meanwhile the replay's row says that it is at work, however long the source brings nothing."""
    beat = asyncio.create_task(_beat(connect, replay), name="replay seen")
    try:
        yield
    finally:
        beat.cancel()
        await asyncio.wait({beat})


async def _beat(connect: Connect, replay: Replay) -> None:
    while True:
        with suppress(WikimirrorError):
            # The applier meets the same server and says so.
            async with await connect() as session:
                while True:
                    await asyncio.sleep(_SEEN_EVERY)
                    await see_replay(session, replay)
        await asyncio.sleep(_SEEN_EVERY)


async def _leave(connect: Connect, replay: Replay, state: ReplayState) -> None:
    """Note that it ended before it was done, if that can be noted: it can be resumed either way."""
    with suppress(TimeoutError, WikimirrorError):
        async with asyncio.timeout(_FAREWELL):
            async with await connect() as session:
                await leave_replay(session, replay, state)
