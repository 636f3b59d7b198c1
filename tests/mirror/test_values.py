"""Values as they come: what cannot be stored is set aside alone, what is large or far goes through."""

from __future__ import annotations

import pytest

from tests.merge.statements import WIKI, delete, edit, hides, undelete, update, visibility
from tests.mirror.lanes import Written, everywhere, rows, value
from tests.wire.records import page_change, revision, visibility_change
from wikimirror.merge.law import Law
from wikimirror.mirror.connect import Session
from wikimirror.model import Body, Format

NUL = "a text with \x00 in it"


async def test_a_nul_byte_in_a_text_sets_its_record_aside_and_the_other_999_apply(any_session: Session) -> None:
    lane = await Written.to(any_session)
    changes = [
        edit(n, page=n, bodies=(Body(Format.WIKITEXT, NUL if n == 500 else f"text {n}"),)) for n in range(1, 1001)
    ]
    result = await lane.apply(*changes)
    assert (result.applied["edit"], result.set_aside) == (999, {"sqlstate_22021": 1})
    assert await value(any_session, "SELECT count(*) FROM page WHERE state = 'live'") == 999
    assert await rows(any_session, 'SELECT "offset", sqlstate, wiki_id, page_id, rev_id FROM dead_letter') == [
        (499, "22021", WIKI, 500, 500)
    ]
    assert await value(any_session, "SELECT position FROM checkpoint") == 1000


async def test_bisecting_isolates_several_bad_records(session: Session) -> None:
    lane = await Written.to(session)
    bad = {1, 2, 17, 40, 41, 64}
    changes = [edit(n, page=1, comment=NUL if n in bad else f"comment {n}") for n in range(1, 65)]
    result = await lane.apply(*changes)
    assert (result.applied["edit"], result.set_aside["sqlstate_22021"]) == (58, 6)
    assert {row[0] for row in await rows(session, "SELECT rev_id FROM dead_letter")} == bad
    assert await value(session, "SELECT count(*) FROM change") == 58
    assert await value(session, "SELECT rev_id FROM page") == 63


@pytest.mark.parametrize("number", [2**31, 2**32 + 1, 2**63 - 1])
async def test_ids_up_to_the_greatest_bigint_are_kept(any_session: Session, number: int) -> None:
    lane = await Written.to(any_session)
    said = edit(number, 5, page=number, rev_dt=5_000_000, parent_rev_id=number - 1, editor_id=number, size=number)
    await lane.apply(said)
    assert await rows(any_session, "SELECT page_id, rev_id FROM page") == [(number, number)]
    columns = "rev_id, parent_rev_id, editor_id, size"
    assert await rows(any_session, f"SELECT {columns} FROM revision") == [(number, number - 1, number, number)]
    await lane.apply(delete(number, 10, page=number, rev_dt=5_000_000))
    assert await rows(any_session, "SELECT state, deleted_at IS NULL FROM page") == [("deleted", False)]


async def test_a_text_of_three_megabytes_is_kept_whole(any_session: Session) -> None:
    text = "".join(f"{n:07} ü\n" for n in range(300_000))
    lane = await Written.to(any_session)
    await lane.apply(edit(1, bodies=(Body(Format.WIKITEXT, text),)))
    assert await value(any_session, "SELECT text FROM body") == text


async def test_a_record_of_twenty_megabytes_goes_through_decoding_and_apply(session: Session) -> None:
    slot = {"slot_role": "main", "content_model": "wikitext", "content_format": "text/x-wiki"}
    text = "x" * (20 * 2**20 - 8192)
    said = page_change(revision=revision(content_slots={"main": {**slot, "content_body": text}}))
    result = await (await Written.to(session)).read(said)
    assert result.applied.total() == 1
    assert await value(session, "SELECT length(text) FROM body") == len(text)


async def test_a_retraction_whose_title_cannot_be_stored_still_retracts(session: Session) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(1), edit(2, page=2))
    result = await lane.apply(delete(1, 10, title=NUL), edit(3, page=2))
    assert (result.applied["delete"], result.applied["edit"], result.set_aside.total()) == (1, 1, 0)
    assert await rows(session, "SELECT state, title FROM page ORDER BY page_id") == [
        ("deleted", None),
        ("live", "A title"),
    ]
    assert await everywhere(session, ["Editor 1", "comment 1", "text 1"]) == set()


async def test_a_hiding_in_a_record_that_cannot_be_stored_hides_all_the_same(session: Session) -> None:
    lane = await Written.to(session, law=Law(bodies="all"))
    await lane.apply(edit(1))
    result = await lane.apply(edit(2, comment=NUL, **hides(1)))
    assert result.set_aside.total() == 0
    assert await everywhere(session, ["Editor 1", "comment 1", "text 1"]) == set()


@pytest.mark.parametrize("setting", ["current", "all"])
async def test_history_bodies_says_which_texts_are_kept(any_session: Session, setting: str) -> None:
    lane = await Written.to(any_session, law=Law(bodies="all" if setting == "all" else "current"))
    await lane.apply(edit(1))
    await lane.apply(edit(2), edit(3))
    await lane.apply(visibility(2, 10, (True, True, False)))
    kept = [row[0] for row in await rows(any_session, "SELECT rev_id FROM body ORDER BY rev_id")]
    assert kept == ([1, 2, 3] if setting == "all" else [3])
    assert await value(any_session, "SELECT count(sha1) FROM revision") == 3


async def test_a_text_that_another_statement_still_holds_outlives_the_closing_of_its_page(session: Session) -> None:
    lane = await Written.to(session, law=Law(bodies="all"))
    await lane.apply(edit(8))
    await lane.apply(update(8, 7), undelete(2, 20))
    assert await rows(session, "SELECT rev_id, text FROM body ORDER BY 1") == [(2, "text 2"), (8, "text 8")]


async def test_a_revision_known_before_its_edit_came_is_read_although_it_looks_new(session: Session) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(1))
    await lane.apply(visibility(2, 400, (True, False, True)))
    await lane.apply(edit(2))
    await lane.apply(edit(3), edit(4))
    assert await rows(session, "SELECT editor_name, editor_visible FROM revision WHERE rev_id = 2") == [(None, False)]
    assert await value(session, "SELECT count(*) FROM revision") == 4


@pytest.mark.parametrize("hiding_first", [True, False])
async def test_a_hiding_that_names_page_0_as_of_a_deleted_page_s_revision_stops_no_later_record(
    session: Session, *, hiding_first: bool
) -> None:
    said = [visibility_change(page_id=0), page_change(revision=revision(4990))]
    gone = page_change("delete", dt="2025-03-05T08:00:00Z", revision=revision(4990))
    lane = await Written.to(session)
    for record in [*(said if hiding_first else reversed(said)), {**gone, "meta": {**gone["meta"], "id": "another"}}]:
        await lane.read(record)
    assert await rows(session, "SELECT sha1, content_visible FROM revision") == [(None, False)]
    assert await rows(session, "SELECT page_id, state FROM page ORDER BY 1") == [(0, None), (900, "deleted")]
