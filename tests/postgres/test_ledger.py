"""The ledger's partitions and the chain of corrections."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wikimirror.mirror.connect import Session, connect
from wikimirror.mirror.ledger import (
    GENESIS,
    Correction,
    correction_hash,
    correction_text,
    ensure_partitions,
    month_of,
    prune,
)
from wikimirror.model import MICROSECONDS

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSERT = "INSERT INTO change VALUES ($1, 'testwiki', 1, 10, 'edit', 0, $2, $2, $2, $3, 'k', 't', 0, 5, 'applied')"


async def add_change(session: Session, published: str, applied: datetime | None = None) -> None:
    at = datetime.fromisoformat(published)
    async with session.transaction():
        await session.execute(_INSERT, published.encode(), at, applied or at)


async def partitions_of(session: Session) -> dict[str, int]:
    async with session.transaction():
        rows = await session.fetch("SELECT tableoid::regclass::text AS part, count(*) AS n FROM change GROUP BY 1")
    return {row["part"]: row["n"] for row in rows}


async def test_rows_wait_in_the_default_partition_and_move_when_their_month_is_made(session: Session) -> None:
    for published in (
        "2026-01-31T23:59:59.999999Z",
        "2026-02-01T00:00:00Z",
        "2026-02-28T12:00:00Z",
        "2026-03-01T00:00:00Z",
    ):
        await add_change(session, published)
    assert await partitions_of(session) == {"change_default": 4}
    assert await ensure_partitions(session, date(2026, 2, 17), date(2026, 2, 17)) == 1
    assert await partitions_of(session) == {"change_default": 2, "change_2026_02": 2}
    assert await ensure_partitions(session, date(2026, 1, 1), date(2026, 3, 31)) == 2
    assert await partitions_of(session) == {"change_2026_01": 1, "change_2026_02": 2, "change_2026_03": 1}
    assert await ensure_partitions(session, date(2026, 1, 1), date(2026, 3, 31)) == 0


async def test_months_are_those_of_utc_whatever_the_servers_time_zone(session: Session) -> None:
    await session.execute("SET timezone TO 'Pacific/Auckland'")
    await ensure_partitions(session, date(2026, 2, 1), date(2026, 2, 1))
    await add_change(session, "2026-01-31T23:59:59Z")
    await add_change(session, "2026-02-01T00:00:00Z")
    assert await partitions_of(session) == {"change_default": 1, "change_2026_02": 1}
    assert month_of(round(datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC).timestamp()) * MICROSECONDS) == date(2026, 1, 1)


async def test_two_programs_making_the_same_month_while_a_third_writes_all_succeed(database_url: str) -> None:
    async with (
        await connect(database_url) as one,
        await connect(database_url) as two,
        await connect(database_url) as three,
    ):

        async def write() -> None:
            for minute in range(30):
                await add_change(three, f"2026-02-01T00:{minute:02}:00Z")

        made = await asyncio.gather(
            ensure_partitions(one, date(2026, 1, 1), date(2026, 6, 1)),
            ensure_partitions(two, date(2026, 1, 1), date(2026, 6, 1)),
            write(),
        )
        assert sorted(made[:2]) == [0, 6]
        assert await partitions_of(one) == {"change_2026_02": 30}


async def test_pruning_counts_from_the_newest_applied_and_keeps_what_was_replayed_lately(session: Session) -> None:
    now = datetime.now(UTC)
    old = now - timedelta(days=400)
    await ensure_partitions(session, date(2020, 1, 1), date(2020, 3, 1))
    await ensure_partitions(session, now.date(), now.date() + timedelta(days=40))
    await add_change(session, "2020-01-05T00:00:00Z", old)
    await add_change(session, "2020-02-05T00:00:00Z", old)
    await add_change(session, "2020-02-06T00:00:00Z", now)
    await add_change(session, "2019-05-05T00:00:00Z", old)
    await add_change(session, "2019-05-06T00:00:00Z", now)
    await add_change(session, now.isoformat(), now)
    removed = await prune(session, timedelta(days=30))
    assert {(part.partition, part.rows) for part in removed} == {
        ("change_2020_01", 1),
        ("change_2020_03", 0),
        ("change_default", 1),
    }
    left = await partitions_of(session)
    assert left == {"change_2020_02": 2, "change_default": 1, f"change_{now:%Y_%m}": 1}
    assert await prune(session, timedelta(days=30)) == []
    # The months made ahead are still there.
    assert await ensure_partitions(session, now.date(), now.date() + timedelta(days=40)) == 0


async def test_pruning_everything_is_refused(session: Session) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await prune(session, timedelta(0))


def a_correction(number: int, **changed: object) -> Correction:
    values: dict[str, object] = {
        "number": number, "wiki_id": "testwiki", "page_id": 1, "rev_id": None, "kind": "delete",
        "removed": ("text", "title"),
        "revisions_touched": 3, "change_id": bytes(range(16)), "published": 1_700_000_000_123_456,
        "received": 1_700_000_001_000_000, "applied": 1_700_000_002_000_001, "seconds": 1.876545, "source": "k",
        "topic": "a|b\\",
        "partition": 2, "offset": 2**40, **changed,
    }  # fmt: skip
    return Correction(**values)  # type: ignore[arg-type]  # built from the names above


class Enough(Exception):
    """Rolls back a transaction that has shown what it should."""


async def append(session: Session, rows: list[Correction]) -> None:
    previous = GENESIS
    for row in rows:
        own = correction_hash(previous, row)
        times = [EPOCH + timedelta(microseconds=at) for at in (row.published, row.received, row.applied)]
        values = [*row[:8], *times, *row[11:]]
        marks = ", ".join(f"${n}" for n in range(1, 19))
        await session.execute(f"INSERT INTO correction VALUES ({marks})", *values, previous, own)
        previous = own


async def test_the_chain_that_python_writes_holds_in_sql(session: Session) -> None:
    rows = [
        a_correction(1),
        a_correction(2, page_id=None, rev_id=7, removed=(), seconds=-0.0000005),
        a_correction(3, seconds=2.5e-6, wiki_id="a\\|b", published=-1),
    ]
    async with session.transaction():
        await append(session, rows)
        texts = await session.fetch("SELECT correction_text(c) AS text FROM correction c ORDER BY number")
        assert [row["text"] for row in texts] == [correction_text(row) for row in rows]
        assert await session.fetch("SELECT * FROM correction_chain_breaks()") == []


_words = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)
_times = st.integers(0, 4_000_000_000 * MICROSECONDS)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wiki_id=_words, kind=_words, source=_words, topic=_words, page_id=st.none() | st.integers(0, 2**62),
    published=_times,    applied=_times, seconds=st.floats(-1e6, 1e9),
    removed=st.lists(st.sampled_from(["text", "editor", "comment", "title"]), unique=True).map(tuple),
)  # fmt: skip
async def test_both_languages_make_the_same_text_of_any_correction(database_url: str, **values: object) -> None:
    row = a_correction(1, **values)
    async with await connect(database_url) as session:
        with pytest.raises(Enough):  # noqa: PT012  # a transaction is one statement
            async with session.transaction():
                await append(session, [row])
                assert await session.fetchval("SELECT correction_text(c) FROM correction c") == correction_text(row)
                raise Enough


@pytest.mark.parametrize(
    ("tampering", "broken"),
    [
        ("UPDATE correction SET kind = 'edit' WHERE number = 2", {(2, "row")}),
        ("UPDATE correction SET seconds = 0 WHERE number = 3", {(3, "row")}),
        ("DELETE FROM correction WHERE number = 2", {(3, "number"), (3, "previous")}),
        ("DELETE FROM correction WHERE number = 1", {(2, "number"), (2, "previous")}),
        ("UPDATE correction SET hash = '\\x00' WHERE number = 1", {(1, "row"), (2, "previous")}),
    ],
)
async def test_tampering_behind_the_triggers_back_shows(
    make_database: Callable[..., Awaitable[str]], tampering: str, broken: set[tuple[int, str]]
) -> None:
    async with await connect(await make_database()) as session, session.transaction():
        await append(session, [a_correction(number) for number in (1, 2, 3)])
        await session.execute("ALTER TABLE correction DISABLE TRIGGER correction_append_only")
        await session.execute(tampering)
        found = await session.fetch("SELECT number, reason FROM correction_chain_breaks()")
        assert {(row["number"], row["reason"]) for row in found} == broken
