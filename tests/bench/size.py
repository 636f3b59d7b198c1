"""Applying to a mirror that already holds 10^5, 10^6 or 10^7 pages: whether its size matters."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncpg
import msgspec

from tests.bench import machine
from tests.bench.chart import chart
from tests.bench.load import Load, edits
from tests.bench.telling import whole
from wikimirror.merge.law import Law
from wikimirror.mirror.apply import Applier
from wikimirror.mirror.checkpoints import take_over
from wikimirror.mirror.connect import Session, connect
from wikimirror.model import Advance, Batch, Change, Entry, Kind, Lane, PageKey

TOLERANCE: Final = 0.2
PICTURE: Final = "rows.svg"
FIRST: Final = 5
"""10^5 rows are the fewest."""
MOST: Final = 6
"""The most where nothing else is said: 10^7 take some ten minutes and 10 GB."""
CHANGES: Final = 20_000
_BATCH: Final = 2000
_LANE: Final = Lane("bench", "eqiad.mediawiki.page_change.v1", 0)
_WIKI: Final = "enwiki"
_STEP: Final = 500_000
"""Rows that are written in one statement."""


@dataclass
class Size:
    """Rounds on a mirror that had so many rows in each table."""

    rows: int
    rates: list[float] = field(default_factory=list)
    """Changes a second."""
    cpu: list[float] = field(default_factory=list)
    """Seconds of the backend's processor time for a change."""
    log: list[float] = field(default_factory=list)
    """Bytes of write-ahead log for a change."""


NewDatabase = Callable[[str], Awaitable[str]]


async def measure(
    database: NewDatabase, rounds: int, scale: float, most: int, tell: Callable[[str], None], pictures: Path
) -> list[Size]:
    """Each size in a database of its own, the rounds in turns."""
    sizes = [10**power for power in range(FIRST, most + 1)]
    count = max(_BATCH, round(CHANGES * scale))
    mirrors = {}
    for size in sizes:
        begun = time.monotonic()
        url = await database(f"rows_{size}")
        await _fill(url, size)
        mirrors[size] = _Mirror(url, size, random.Random(size))  # not for secrets
        tell(f"rows: {size:,} of each table written in {time.monotonic() - begun:.0f} s")
    found = {size: Size(size) for size in sizes}
    for number in range(rounds + 1):
        for size in sizes if number % 2 else reversed(sizes):
            # The first round finds indexes of which nothing is in memory.
            await mirrors[size].apply(count, found[size] if number else Size(size))
    for each in found.values():
        tell(f"rows: {each.rows:,}: {whole(each.rates)} changes/s, {whole(each.log)} bytes of log a change")
    pictures.mkdir(exist_ok=True)
    drawing = chart(
        "Applying small changes to a mirror of some size",
        "rows of each of page, revision and change before",
        "changes/s",
        {size: each.rates for size, each in found.items()},
        tolerance=TOLERANCE,
    )
    (pictures / PICTURE).write_text(drawing)
    return list(found.values())


class _Mirror:
    """A filled mirror. Its pages and revisions are numbered from 1 on."""

    def __init__(self, url: str, size: int, rng: random.Random) -> None:
        self._url = url
        self._size = size
        self._rng = rng
        self._next = size + 1
        self._position = 0

    async def apply(self, count: int, into: Size) -> None:
        """Apply so many small changes, half of them to pages drawn uniformly, the others create pages."""
        await _checkpoint(self._url)
        load = self._changes(count)
        async with await connect(self._url) as session:
            held = await take_over(session, _LANE, "bench")
            applier, applied = Applier(session, Law()), 0
            cpu, log = await _account(session)
            begun = time.perf_counter()
            for start in range(0, count, _BATCH):
                pairs = zip(load.records[start : start + _BATCH], load.changes[start : start + _BATCH], strict=True)
                entries = [Entry(record, change) for record, change in pairs]
                after = self._position + len(entries)
                step = Advance(_LANE, held.epoch, self._position, after)
                result = await applier.apply(Batch(advances=(step,), entries=entries))
                self._position, applied = after, applied + sum(result.applied.values())
            into.rates.append(count / (time.perf_counter() - begun))
            cpu_after, log_after = await _account(session)
            into.cpu.append((cpu_after - cpu) / count)
            into.log.append((log_after - log) / count)
        if applied != count:
            raise AssertionError(f"{applied} of {count} changes were applied: not the work to be measured")

    def _changes(self, count: int) -> Load:
        load, rng = edits(count), self._rng
        changes = []
        for change in load.changes:
            rev_id, self._next = self._next, self._next + 1
            creates = rng.random() < 0.5
            page_id = rev_id if creates else rng.randint(1, self._size)
            changes.append(_numbered(change, page_id, rev_id, rng.randbytes(16), creates=creates))
        return Load(changes, load.records)


def _numbered(change: Change, page_id: int, rev_id: int, identity: bytes, *, creates: bool) -> Change:
    return msgspec.structs.replace(
        change,
        identity=identity,
        kind=Kind.CREATE if creates else Kind.EDIT,
        page=PageKey(_WIKI, page_id),
        rev_id=rev_id,
        # The page's revision of the filling has its number.
        parent_rev_id=0 if creates else page_id,
        title=f"Page number {page_id:09d}",
        url=f"https://en.wikipedia.org/wiki/Page_number_{page_id:09d}",
        sha1=f"{rev_id:031d}",
    )


_NUMBERED: Final = {
    "page_id": "n",
    "rev_id": "n",
    "title": "'Page number ' || lpad(n::text, 9, '0')",
    "url": "'https://en.wikipedia.org/wiki/Page_number_' || lpad(n::text, 9, '0')",
    "sha1": "lpad(n::text, 31, '0')",
    "stamp_id": "decode(md5(n::text), 'hex')",
    "change_id": "decode(md5(n::text), 'hex')",
    '"offset"': "n",
}
"""What differs from row to row; all else is as apply wrote it for one change."""


async def _fill(url: str, size: int) -> None:
    """One change as apply writes it; then its rows again and again, each with numbers of its own."""
    pattern = _numbered(edits(1).changes[0], 0, 0, b"\x00" * 16, creates=True)
    async with await connect(url) as session:
        held = await take_over(session, _LANE, "bench")
        entry = Entry(edits(1).records[0], pattern)
        step = Advance(_LANE, held.epoch, 0, 0)
        await Applier(session, Law()).apply(Batch(advances=(step,), entries=[entry]))
    connection = await asyncpg.connect(url, server_settings={"search_path": "wikimirror", "synchronous_commit": "off"})
    try:
        for table in ("page", "revision", "change"):
            await _multiply(connection, table, size)
        await connection.execute("VACUUM (FREEZE, ANALYZE) page, revision, change")
    finally:
        await connection.close()


async def _multiply(connection: asyncpg.Connection, table: str, size: int) -> None:
    columns = [
        row["name"]
        for row in await connection.fetch(
            "SELECT quote_ident(attname) AS name FROM pg_attribute"
            " WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
            table,
        )
    ]
    values = ", ".join(_NUMBERED.get(column, f"t.{column}") for column in columns)
    for first in range(1, size + 1, _STEP):
        await connection.execute(
            f"INSERT INTO {table} ({', '.join(columns)})"
            f" SELECT {values} FROM {table} t, generate_series({first}, {min(size, first + _STEP - 1)}) n"
            f" WHERE t.{'page_id' if table == 'page' else 'rev_id'} = 0"
        )


async def _account(session: Session) -> tuple[float, int]:
    """Processor time of the session's backend so far, and where the write-ahead log ends."""
    row = await session.fetchrow("SELECT pg_backend_pid(), (pg_current_wal_insert_lsn() - '0/0')::bigint")
    assert row is not None
    return machine.processor(row[0]), row[1]


async def _checkpoint(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


def lines(found: list[Size]) -> Iterator[str]:
    """The section of docs/benchmarks.md."""
    first = statistics.median(found[0].rates)
    yield from (
        "## Rows already in the mirror",
        "",
        "Applying small changes to a mirror that holds so many rows in each of `page`, `revision` and `change`,",
        "written as apply writes them, analyzed, and with a CHECKPOINT before each round. Half of the changes are",
        "edits of those pages, drawn uniformly, so that no page is a favourite; the others create pages. One",
        f"connection, batches of {_BATCH:,}, sizes in turns. The goal is to stay within {TOLERANCE:.0%} of the",
        "first. The more rows there are, the fewer changes share a block of a table or an index: Postgres's",
        "processor time for a change grows, as ever fewer blocks are in a cache, and so does its log, in which a",
        "block stands whole when it is first changed after a CHECKPOINT.",
        "",
        (
            "| rows of each table | changes/s of each round | median over the first | µs of Postgres a change |"
            " bytes of log a change |"
        ),
        "|---|---|---|---|---|",
    )
    for each in found:
        share = statistics.median(each.rates) / first
        yield (
            f"| {each.rows:,} | {whole(each.rates)} | **{share:.2f}** |"
            f" {whole(cpu * 1e6 for cpu in each.cpu)} | {whole(each.log)} |"
        )
    yield from ("", f"![Changes a second over rows in the mirror](pictures/{PICTURE})", "")
