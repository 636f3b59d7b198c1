"""The daemon as `wikimirror run` builds it, in a process of its own, with a stopwatch.

It says "connected" on its standard output once the service answers, works until so many records are durable, drains,
and writes what it measured as a line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from wikimirror.app import settings_from
from wikimirror.app.live import build_daemon, telemetry_of
from wikimirror.app.places import find_place
from wikimirror.app.running import run_to_end
from wikimirror.observe.stall import StallWatch
from wikimirror.pipeline.pipeline import Durable
from wikimirror.settings import Settings

_LOOK: Final = 0.01
"""Seconds between two looks for a connection."""


class Commit(msgspec.Struct):
    """A batch that became durable. Times are seconds."""

    at: float
    """Since the epoch."""
    records: int
    apply: float
    fresh: list[float]
    """Of each change: from publication to durable."""


class Measured(msgspec.Struct):
    """All batches of one run. Times are seconds since the epoch, `cpu` is seconds of this process's processor time."""

    connected: float
    commits: list[Commit]
    cpu: float


async def follow(settings: Settings, records: int) -> Measured:
    """Run a daemon with one source until so many records are durable."""
    telemetry = telemetry_of(settings)
    commits: list[Commit] = []
    settled = 0

    def note(durable: Durable) -> None:
        nonlocal settled
        accounts = vitals.accounts
        before, settled = settled, accounts.read - accounts.in_flight
        fresh = [seconds for _, seconds in durable.fresh]
        commits.append(Commit(time.time(), settled - before, durable.seconds, fresh))
        if settled >= records:
            daemon.stop()

    async with find_place(settings, own=True) as place, StallWatch(telemetry):
        daemon = build_daemon(settings, place, telemetry, on_durable=note)
        (vitals,) = telemetry.vitals.values()
        running = asyncio.create_task(daemon.run())
        while not (vitals.connected or running.done()):
            await asyncio.sleep(_LOOK)
        connected, cpu = time.time(), time.process_time()
        sys.stdout.write("connected\n")
        sys.stdout.flush()
        await running
        return Measured(connected, commits, time.process_time() - cpu)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--records", type=int, required=True, help="stop when so many are durable")
    parser.add_argument("--profile", type=Path, help="where to write what cProfile found")
    asked = parser.parse_args()
    work = follow(settings_from(asked.config, {}), asked.records)
    if asked.profile is None:
        measured = run_to_end(work)
    else:
        profile = cProfile.Profile()
        measured = profile.runcall(run_to_end, work)
        profile.dump_stats(asked.profile)
    # Standard output itself is unbuffered where PYTHONUNBUFFERED is set, and may then write a part only.
    with open(sys.stdout.fileno(), "wb", closefd=False) as whole:
        whole.write(msgspec.json.encode(measured) + b"\n")
