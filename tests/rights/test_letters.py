"""Letters by role: a writer works on them with the rights it has; an auditor sees all but what was in them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.mirror.lanes import value
from tests.ops.letters import NO_PAGES, Shelf, forbid, mend, offsets, outcomes, redrive, said, stage
from tests.rights.conftest import Mirrored
from tests.wire.records import Json
from wikimirror.errors import DatabaseRefused
from wikimirror.mirror.connect import Session, connect
from wikimirror.mirror.letters import Filter
from wikimirror.ops.letters.work import discard, list_letters, plan_discard, show_letter

BROKEN = b"{"


@pytest.fixture
async def writer(mirrored: Mirrored, database_url: str) -> AsyncIterator[Session]:  # noqa: ARG001  # it makes the roles
    """A user who has the role wikimirror_writer and nothing else, in a database of the test's own."""
    async with await connect(database_url.replace("postgres@", "rights_writer@")) as session:
        yield session


@pytest.fixture
async def auditor(mirrored: Mirrored, database_url: str) -> AsyncIterator[Session]:  # noqa: ARG001  # as above
    async with await connect(database_url.replace("postgres@", "rights_auditor@"), write=False) as session:
        yield session


async def test_a_writer_may_list_show_try_redrive_and_discard(session: Session, writer: Session) -> None:
    await forbid(session, NO_PAGES)
    records: list[Json | bytes] = [said(900), BROKEN, BROKEN]
    await stage(writer, *records)
    assert len((await list_letters(writer, Filter(), 50)).letters) == 3
    kept = await value(session, "SELECT dead_letter_id FROM dead_letter WHERE payload IS NOT NULL")
    assert (await show_letter(writer, kept)).payload is not None
    await mend(session)
    shelf = Shelf(*records)
    told = [("applied", "edit"), ("still_fails", "not_json"), ("still_fails", "not_json")]
    assert outcomes(await redrive(writer, shelf, dry_run=True)) == told
    assert outcomes(await redrive(writer, shelf)) == told
    assert await offsets(session) == [1, 2]
    await discard(writer, await plan_discard(writer, Filter(reason="not_json")))
    assert await offsets(session) == []


async def test_an_auditor_sees_letters_but_not_what_was_in_them(
    session: Session, writer: Session, auditor: Session
) -> None:
    await forbid(session, NO_PAGES)
    await stage(writer, said(900))
    (letter,) = (await list_letters(auditor, Filter(), 50)).letters
    assert (letter.page_id, letter.payload_kept) == (900, None)
    report = await show_letter(auditor, letter.dead_letter_id)
    assert report.payload is None
    assert "this role may not know" in (report.without or "")


async def test_an_auditor_changes_nothing(session: Session, auditor: Session) -> None:
    await stage(session, BROKEN)
    with pytest.raises((DatabaseRefused, asyncpg.PostgresError)):
        await redrive(auditor, Shelf(BROKEN))
    async with session.transaction():
        assert await session.fetchval("SELECT seen FROM dead_letter") == 1
