"""One row for everything taken away, given back or reverted, in a chain that can be checked."""

from __future__ import annotations

import asyncpg
import pytest

from tests.merge.statements import HIDDEN, delete, edit, state, suppress, undelete, visibility
from tests.mirror.lanes import Written, rows
from wikimirror.mirror.connect import Session
from wikimirror.mirror.ledger import GENESIS, Correction, correction_hash
from wikimirror.model import Change, Kind

ALL = ["text", "editor", "comment"]
DAY = (
    *(edit(n) for n in range(1, 6)),
    delete(5, 10),
    undelete(5, 20),
    visibility(5, 30, (True, False, True)),
    edit(6, 1000, is_revert=True),
    state(Kind.VISIBILITY_CHANGE, 6, 1500, flags=(True, True, False)),
    suppress(6, 2000),
)


async def apply_day(session: Session) -> Written:
    lane = await Written.to(session)
    for change in DAY:
        await lane.apply(change)
    return lane


async def test_each_correction_has_one_row_with_what_it_removed_and_from_how_many_revisions(
    any_session: Session,
) -> None:
    await apply_day(any_session)
    found = await rows(any_session, "SELECT kind, rev_id, removed, revisions_touched FROM correction ORDER BY number")
    assert found == [
        ("deletion", 5, ALL, 5),
        ("undeletion", 5, [], 0),
        ("visibility_change", 5, ["editor"], 1),
        ("revert", 6, [], 0),
        ("visibility_change", 6, ["comment"], 1),
        ("suppression", 6, [*ALL, "title"], 2),
    ]


async def test_its_seconds_run_from_publication_to_the_applied_row(session: Session) -> None:
    await apply_day(session)
    wrong = "SELECT number FROM correction WHERE abs(extract(epoch FROM applied - published) - seconds) > 0.000001"
    assert await rows(session, wrong) == []


async def test_the_chain_holds_by_sql_and_by_its_definition(any_session: Session) -> None:
    await apply_day(any_session)
    assert await rows(any_session, "SELECT * FROM correction_chain_breaks()") == []
    names = ", ".join(f'"{name}"' for name in Correction._fields)
    previous = GENESIS
    for *said, stored_previous, stored in await rows(
        any_session, f"SELECT {names}, previous_hash, hash FROM correction ORDER BY number"
    ):
        row = Correction(*said)
        row = row._replace(removed=tuple(row.removed))
        assert stored_previous == previous
        assert stored == (previous := correction_hash(previous, row))


async def test_a_replay_adds_none(session: Session) -> None:
    lane = await apply_day(session)
    before = await rows(session, "SELECT number, hash FROM correction ORDER BY 1")
    again = await lane.apply(*reversed(DAY))
    assert not again.applied
    assert await rows(session, "SELECT number, hash FROM correction ORDER BY 1") == before


@pytest.mark.parametrize("change", [delete(1, 10), visibility(1, 10, HIDDEN)])
async def test_a_retraction_of_what_was_never_seen_has_its_row_too(session: Session, change: Change) -> None:
    await (await Written.to(session)).apply(change)
    assert await rows(session, "SELECT revisions_touched FROM correction") == [(0,)]


@pytest.mark.parametrize(
    "statement", ["DELETE FROM correction", "UPDATE correction SET seconds = 0", "TRUNCATE correction"]
)
async def test_no_row_is_ever_taken_back(session: Session, statement: str) -> None:
    await apply_day(session)
    with pytest.raises(asyncpg.RestrictViolationError):
        async with session.transaction():
            await session.execute(statement)
