"""What readers are served: current pages, credit lines, pages as of a time."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from wikimirror.mirror.connect import Session
from wikimirror.mirror.schema_doc import schema_markdown

NOW = datetime(2026, 6, 1, tzinfo=UTC)


async def add_page(
    session: Session, page_id: int, state: str, rev_id: int | None = None, title: str | None = None
) -> None:
    live = state == "live"
    await session.execute(
        "INSERT INTO page (wiki_id, page_id, state, title, rev_id, rev_dt, url)"
        " VALUES ('testwiki', $1, $2, $3, $4, $5, $6)",
        page_id, state, title, rev_id if live else None, NOW if live else None,
        "https://wiki.example/x" if live else None,
    )  # fmt: skip


async def add_revision(  # a row has these columns
    session: Session,
    rev_id: int,
    page_id: int,
    day: int,
    *,
    editor: str | None = "Ada",
    content: bool = True,
    comment: bool = True,
) -> None:
    await session.execute(
        "INSERT INTO revision (wiki_id, rev_id, page_id, rev_dt, editor_name, comment, size, content_visible,"
        " editor_visible, comment_visible) VALUES ('testwiki', $1, $2, $3, $4, $5, $6, $7, $8, $9)",
        rev_id, page_id, datetime(2026, 1, day, tzinfo=UTC), editor, "why" if comment else None, 4 if content else None,
        content,        editor is not None, comment,
    )  # fmt: skip


async def add_body(session: Session, rev_id: int, format_: str, text: str) -> None:
    await session.execute("INSERT INTO body VALUES ('testwiki', $1, $2, $3)", rev_id, format_, text)


async def test_only_live_pages_are_current_and_bodies_are_columns(session: Session) -> None:
    async with session.transaction():
        await add_page(session, 1, "live", 10, "One")
        await add_revision(session, 10, 1, 1)
        await add_body(session, 10, "wikitext", "w")
        await add_body(session, 10, "html", "h")
        await add_page(session, 2, "deleted", title="Two")
        await add_page(session, 3, "vacated", title="Three")
        await session.execute("INSERT INTO page (wiki_id, page_id) VALUES ('testwiki', 4)")
        rows = await session.fetch("SELECT page_id, title, editor_name, wikitext, html, json FROM current_page")
        assert [tuple(row) for row in rows] == [(1, "One", "Ada", "w", "h", None)]


async def test_a_live_page_whose_revision_is_not_known_is_still_served(session: Session) -> None:
    async with session.transaction():
        await add_page(session, 1, "live", 10, "One")
        assert await session.fetchval("SELECT title FROM current_page") == "One"
        assert "cannot name" in await session.fetchval("SELECT credit FROM attribution")


async def test_a_text_that_a_fault_left_behind_is_not_served_when_it_is_not_visible(session: Session) -> None:
    async with session.transaction():
        await add_page(session, 1, "live", 10, "One")
        await add_revision(session, 10, 1, 1, content=False)
        await add_body(session, 10, "wikitext", "hidden")
        assert await session.fetchval("SELECT wikitext FROM current_page") is None
        assert await session.fetchval("SELECT wikitext FROM page_as_of('testwiki', 1, now())") is None


async def test_the_credit_line_names_editors_once_latest_first_and_never_a_hidden_one(session: Session) -> None:
    async with session.transaction():
        await add_page(session, 1, "live", 14, "One")
        for rev_id, editor in enumerate(["Ada", "Bob", "Ada", None, "Cleo"], 10):
            await add_revision(session, rev_id, 1, rev_id, editor=editor)
        row = await session.fetchrow("SELECT editors, editors_total, licence, credit FROM attribution")
        assert row is not None
        assert (row["editors"], row["editors_total"], row["licence"]) == (["Cleo", "Ada", "Bob"], 3, None)
        assert row["credit"] == '"One", https://wiki.example/x, by Cleo, Ada, Bob, licence: see the wiki'


async def test_many_editors_are_counted_rather_than_listed(session: Session) -> None:
    async with session.transaction():
        await add_page(session, 1, "live", 10, "One")
        for number in range(25):
            await add_revision(session, number, 1, number + 1, editor=f"Editor {number}")
        row = await session.fetchrow("SELECT editors, editors_total, credit FROM attribution")
        assert row is not None
        assert (len(row["editors"]), row["editors"][0], row["editors_total"]) == (10, "Editor 24", 25)
        assert "and 15 more" in row["credit"]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2025-12-31T00:00:00Z", None),
        ("2026-01-01T00:00:00Z", (10, "ten")),
        ("2026-01-04T23:59:59Z", (10, "ten")),
        ("2026-01-05T00:00:00Z", (12, None)),
        ("2026-01-06T00:00:00Z", (11, "eleven")),
        ("2030-01-01T00:00:00Z", (11, "eleven")),
    ],
)
async def test_a_page_is_served_as_of_a_time_by_date_then_number(
    session: Session, at: str, expected: tuple[int, str | None] | None
) -> None:
    async with session.transaction():
        await add_page(session, 1, "live", 11, "One")
        await add_revision(session, 10, 1, 1)
        await add_revision(session, 9, 1, 5)
        await add_revision(session, 12, 1, 5, content=False)
        await add_revision(session, 11, 1, 6)
        await add_body(session, 10, "wikitext", "ten")
        await add_body(session, 11, "wikitext", "eleven")
        row = await session.fetchrow(
            "SELECT rev_id, wikitext FROM page_as_of('testwiki', 1, $1)", datetime.fromisoformat(at)
        )
        assert (row and tuple(row)) == expected


async def test_a_page_that_is_not_live_now_has_no_past(session: Session) -> None:
    async with session.transaction():
        await add_page(session, 1, "deleted", title="One")
        await add_revision(session, 10, 1, 1)
        assert await session.fetch("SELECT * FROM page_as_of('testwiki', 1, now())") == []


async def test_everything_in_the_schema_is_documented(session: Session) -> None:
    page = await schema_markdown(session)
    assert "### `page_as_of(" in page
    assert "## View `current_page`" in page


async def test_docs_schema_md_is_what_the_database_says(session: Session, pytestconfig: pytest.Config) -> None:
    written = (pytestconfig.rootpath / "docs" / "schema.md").read_text(encoding="utf-8")
    assert written == await schema_markdown(session), "run python tools/schema_doc.py"


async def test_an_edit_to_a_page_is_an_update_in_place(session: Session) -> None:
    async with session.transaction():
        await add_page(session, 1, "live", 10, "One")
    async with session.transaction():
        await session.execute("UPDATE page SET rev_id = 11, rev_dt = now(), registers = '{}' WHERE page_id = 1")
    async with session.transaction():
        await session.execute("SELECT pg_stat_force_next_flush()")
    async with session.transaction():
        counts = await session.fetchrow(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'page'"
        )
    assert counts is not None
    assert tuple(counts) == (1, 1)
