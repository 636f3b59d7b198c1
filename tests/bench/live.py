"""Latency from publication to durable: the simulated service, the daemon and Postgres, each a process of its own."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from tests.bench.follower import Measured
from tests.bench.processes import Broken, Process, Upstream, started, upstream, write_config
from tests.bench.upstream import Order

GOAL_MS: Final = 100
RATES: Final = (20, 1000)
"""Records a second: what Wikimedia publishes in all, and the goal's."""
SHARES: Final = (0.9, 0.75, 0.6, 0.45)
"""Of the rate of catching up: tried in turn until one is kept up with."""
SECONDS: Final = 8.0
BACKLOG: Final = 50_000
_WARM: Final = 1.0
"""Seconds after the first batch that are left out: statements are prepared in them."""
_MOST: Final = 0.99
LEAST: Final = 0.9
"""The share of records that are changes not applied before: a day holds some twice."""
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
    """All runs: those of each rate, and the rates of catching up with a backlog. `seconds` is a run's length."""

    seconds: float
    backlog: int
    runs: dict[int, list[Run]] = field(default_factory=dict)
    sustained: int | None = None
    """The greatest of the rates tried that was kept up with."""
    catching_up: list[float] = field(default_factory=list)
    catching_up_cpu: list[float] = field(default_factory=list)


async def measure(
    directory: Path, database: NewDatabase, rounds: int, scale: float, tell: Callable[[str], None]
) -> Live:
    """Each run in a database of its own."""
    live = Live(max(4.0, SECONDS * scale), max(5000, round(BACKLOG * scale)))
    async with upstream() as service:
        bench = _Bench(directory, database, service, live)
        for _ in range(rounds):
            for rate in RATES:
                live.runs.setdefault(rate, []).append(await bench.keep_up(rate))
            await bench.catch_up()
        tell(f"live, catching up: {_spaced(f'{rate:,.0f}' for rate in live.catching_up)} records/s")
        await _find_greatest(bench, live, rounds)
    for rate, runs in live.runs.items():
        told = _spaced(f"{_ms(run.fresh, 0.5)}/{_ms(run.fresh, _MOST)}" for run in runs)
        tell(f"live, {rate:,} records/s: {told} ms median/99th percentile")
    return live


async def _find_greatest(bench: _Bench, live: Live, rounds: int) -> None:
    for share in SHARES:
        rate = round(statistics.median(live.catching_up) * share / 100) * 100
        runs: list[Run] = []
        while len(runs) < rounds and (not runs or runs[-1].slipped < _SLIP):
            runs.append(await bench.keep_up(rate))
        if runs[-1].slipped < _SLIP:
            live.sustained, live.runs[rate] = rate, runs
            return


class _Bench:
    """Runs one daemon after another against one service."""

    def __init__(self, directory: Path, database: NewDatabase, service: Upstream, live: Live) -> None:
        self._directory, self._database, self._service, self._live = directory, database, service, live

    async def keep_up(self, rate: int) -> Run:
        """Follow records that are published at a rate, from the live end on."""
        records = round(rate * self._live.seconds)
        await self._service.publish(Order(records=0, forget=True))
        async with started("the daemon", *await self._follower("latest", records)) as daemon:
            await daemon.hear()
            await self._service.publish(Order(records=records, rate=rate))
            return _run_of(await _measured(daemon))

    async def catch_up(self) -> None:
        """Follow a backlog that is there already."""
        live, begin = self._live, datetime.now(tz=UTC) - timedelta(seconds=1)
        await self._service.publish(Order(records=live.backlog, forget=True))
        async with started("the daemon", *await self._follower(begin.isoformat(), live.backlog)) as daemon:
            await daemon.hear()
            measured = await _measured(daemon)
        live.catching_up.append(live.backlog / (measured.commits[-1].at - measured.connected))
        live.catching_up_cpu.append(measured.cpu / live.backlog)

    async def _follower(self, start: str, records: int) -> tuple[str | Path, ...]:
        database = await self._database("live")
        path = self._directory / "live.toml"
        write_config(path, database=database, service=self._service.url, start=start)
        return "tests.bench.follower", path, "--records", str(records)


async def _measured(daemon: Process) -> Measured:
    measured = msgspec.json.decode(await daemon.hear(), type=Measured)
    read, applied = (sum(counts) for counts in zip(*((c.records, len(c.fresh)) for c in measured.commits), strict=True))
    if applied < LEAST * read:
        raise Broken(f"{applied} of {read} records were applied: not the work to be measured")
    return measured


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
        "The simulated service, the daemon as `run` builds it with default settings, and Postgres: each a process of",
        "its own, all on this machine. Records are page_change's of a simulated day, without texts, published evenly",
        f"over {live.seconds:.0f} s. The time of each change applied counts from its publication, in milliseconds as",
        f"its SSE id tells it, to the reply to COMMIT; the first {_WARM:.0f} s of a run is left out. The goal is",
        f"{GOAL_MS} ms at 1,000 records/s. While there is little to do, `apply.batch_age_ms` (20) is the most of it.",
        "Each number is of one round; processor time is the daemon's.",
        "",
        "| records/s | median, ms | 99th percentile, ms | batches/s | records a batch | µs of processor a record |",
        "|---|---|---|---|---|---|",
    )
    for rate, runs in live.runs.items():
        columns = (
            _spaced(_ms(run.fresh, 0.5) for run in runs),
            f"**{_spaced(_ms(run.fresh, _MOST) for run in runs)}**",
            _spaced(f"{run.batches:.0f}" for run in runs),
            _spaced(f"{run.size:.1f}" for run in runs),
            _spaced(f"{run.cpu * 1e6:.0f}" for run in runs),
        )
        yield f"| {rate:,} | {' | '.join(columns)} |"
    shares = ", ".join(f"{share:.0%}" for share in SHARES)
    greatest = "none" if live.sustained is None else f"{live.sustained:,}"
    yield from (
        "",
        f"Greatest rate sustained: **{greatest}**. It is looked for among {shares} of the rate of catching",
        "up: the first at which no run falls behind. A run falls behind when the median of its last third is",
        f"{_SLIP * 1000:.0f} ms or more above that of its first.",
        "",
        f"Catching up with {live.backlog:,} records that were there before the daemon connects:",
        f"{_spaced(f'{rate:,.0f}' for rate in live.catching_up)} records/s, for",
        f"{_spaced(f'{cpu * 1e6:.0f}' for cpu in live.catching_up_cpu)} µs of the daemon's processor time a record.",
        "",
    )


def _ms(ordered: list[float], share: float) -> str:
    return f"{ordered[round(share * (len(ordered) - 1))] * 1000:.0f}"


def _spaced(values: Iterable[str]) -> str:
    return " ".join(values)
