"""Latency from publication to durable: the simulated service, the daemon and Postgres, each a process of its own."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from tests.bench.follower import Measured
from tests.bench.processes import Process, Upstream, started, upstream, write_config
from tests.bench.upstream import Order

GOAL_MS: Final = 100
RATES: Final = (20, 1000)
"""Records a second: what Wikimedia publishes in all, and the goal's."""
SHARES: Final = (0.9, 0.8, 0.7, 0.6, 0.5)
"""Of the rate of catching up: tried in turn until one is kept up with."""
_SECONDS: Final = 10.0
_BACKLOG: Final = 50_000
_WARM: Final = 1.0
"""Seconds after the first batch that are left out: statements are prepared in them."""
_SLIP: Final = 0.1
"""Seconds that the last third of a run may be behind the first, for the rate to count as kept up with."""

NewDatabase = Callable[[str], Awaitable[str]]
"""Makes a migrated database of that name, and gives its URL."""


@dataclass
class Run:
    """One run at one rate. Times are seconds."""

    fresh: list[float]
    """Sorted: from publication to durable, of each change."""
    batches: float
    """A second."""
    size: float
    """Records in a batch, on average."""
    cpu: float
    """Processor time of the daemon for one record, the start left out."""
    slipped: float
    """How much later the last third was than the first, by their medians."""


@dataclass
class Live:
    """All runs: those of each rate, and the rates of catching up with a backlog."""

    runs: dict[int, list[Run]] = field(default_factory=dict)
    catching_up: list[float] = field(default_factory=list)
    catching_up_cpu: list[float] = field(default_factory=list)
    sustained: int = 0
    """The greatest of the rates tried that was kept up with; 0: none was."""


async def measure(directory: Path, database: NewDatabase, rounds: int, tell: Callable[[str], None]) -> Live:
    """Each run in a database of its own. The greatest rate is looked for below that of catching up."""
    live = Live()
    async with upstream() as service:
        bench = _Bench(directory, database, service)
        for _ in range(rounds):
            for rate in RATES:
                live.runs.setdefault(rate, []).append(await bench.keep_up(rate))
            rate, cpu = await bench.catch_up()
            live.catching_up.append(rate)
            live.catching_up_cpu.append(cpu)
            tell(f"live: catching up at {rate:,.0f} records/s")
        for share in SHARES:
            rate = round(statistics.median(live.catching_up) * share, -2)
            runs = [await bench.keep_up(int(rate)) for _ in range(rounds)]
            if all(run.slipped < _SLIP for run in runs):
                live.sustained = int(rate)
                live.runs[live.sustained] = runs
                break
    for rate, runs in live.runs.items():
        tell(f"live, {rate:,} records/s: " + " ".join(f"{_ms(run.fresh, 0.5)}/{_ms(run.fresh, 0.99)}" for run in runs))
    return live


class _Bench:
    """Runs one daemon after another against one service."""

    def __init__(self, directory: Path, database: NewDatabase, service: Upstream) -> None:
        self._directory, self._database, self._service = directory, database, service

    async def keep_up(self, rate: int) -> Run:
        """Follow records that are published at a rate, from the live end on."""
        records = round(rate * _SECONDS)
        await self._service.publish(Order(records=0, forget=True))
        async with started("the daemon", *await self._follower("latest", records)) as daemon:
            await daemon.hear()
            await self._service.publish(Order(records=records, rate=rate))
            return _run_of(await _measured(daemon))

    async def catch_up(self) -> tuple[float, float]:
        """Follow a backlog that is there already: records a second, and processor seconds a record."""
        begin = datetime.now(tz=UTC) - timedelta(seconds=1)
        await self._service.publish(Order(records=_BACKLOG, forget=True))
        async with started("the daemon", *await self._follower(begin.isoformat(), _BACKLOG)) as daemon:
            await daemon.hear()
            measured = await _measured(daemon)
        return _BACKLOG / (measured.commits[-1].at - measured.connected), measured.cpu / _BACKLOG

    async def _follower(self, start: str, records: int) -> tuple[str | Path, ...]:
        database = await self._database("live")
        path = self._directory / "live.toml"
        write_config(path, database=database, service=self._service.url, start=start)
        return "tests.bench.follower", path, "--records", str(records)


async def _measured(daemon: Process) -> Measured:
    return msgspec.json.decode(await daemon.hear(), type=Measured)


def _run_of(measured: Measured) -> Run:
    commits = measured.commits
    warm = [commit for commit in commits if commit.at >= commits[0].at + _WARM]
    seconds = warm[-1].at - warm[0].at
    third = len(warm) // 3
    first, last = ([each for commit in part for each in commit.fresh] for part in (warm[:third], warm[-third:]))
    return Run(
        fresh=sorted(each for commit in warm for each in commit.fresh),
        batches=(len(warm) - 1) / seconds,
        size=statistics.mean(commit.records for commit in warm),
        cpu=measured.cpu / sum(commit.records for commit in commits),
        slipped=statistics.median(last) - statistics.median(first),
    )


def lines(live: Live) -> Iterator[str]:
    """The section of docs/benchmarks.md."""
    yield from (
        "## From publication to durable",
        "",
        "The simulated service, the daemon as `run` builds it with default settings, and Postgres, each in a process",
        "of its own on this machine. Records are page_change's of a simulated day, without texts, published evenly over",
        f"{_SECONDS:.0f} s. Each applied change counts, from the time that its SSE id tells (whole milliseconds) to the",
        f"reply to COMMIT; the first {_WARM:.0f} s of a run is left out. The goal is {GOAL_MS} ms at 1,000 records/s.",
        "",
        "| records/s | median of each round, ms | 99th percentile of each round, ms | batches/s | records a batch |"
        " daemon, µs of processor a record |",
        "|---|---|---|---|---|---|",
    )
    for rate, runs in live.runs.items():
        yield (
            f"| {rate:,} | {' '.join(_ms(run.fresh, 0.5) for run in runs)} |"
            f" {' '.join(f'**{_ms(run.fresh, 0.99)}**' for run in runs)} |"
            f" {_mean(run.batches for run in runs):.0f} | {_mean(run.size for run in runs):.1f} |"
            f" {_mean(run.cpu for run in runs) * 1e6:.0f} |"
        )
    yield from (
        "",
        f"The last row is the greatest rate that is sustained: of {', '.join(f'{share:.0%}' for share in SHARES)} of the",
        "rate of catching up the first at which a run does not fall behind (the last third's median is less than",
        f"{_SLIP * 1000:.0f} ms above the first third's). Catching up with a backlog of {_BACKLOG:,} records, published",
        f"before the daemon connects: {' '.join(f'{rate:,.0f}' for rate in live.catching_up)} records/s,",
        f"{_mean(live.catching_up_cpu) * 1e6:.0f} µs of the daemon's processor time a record.",
        "",
    )


def _ms(ordered: list[float], share: float) -> str:
    return f"{ordered[round(share * (len(ordered) - 1))] * 1000:.0f}"


def _mean(values: Iterator[float] | list[float]) -> float:
    return statistics.mean(values)
