"""A retraction that cannot be read or written hides its page, and somebody is told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.merge.statements import WIKI, at, edit
from tests.mirror.lanes import Written, everywhere, rows, value, waiting
from tests.statements import run
from tests.wire.records import page_change, visibility_change
from wikimirror.errors import UnreadableRecord
from wikimirror.mirror.backlog import read_backlog
from wikimirror.mirror.connect import Session
from wikimirror.model import Batch, Coordinates, Record, Unread

TOLD = "SELECT reason, retracts, hidden, payload IS NULL FROM dead_letter"


def broken(record: dict[str, Any], *path: str) -> dict[str, Any]:
    """A record about page 1 without something essential."""
    place = record
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return record


def of_page(record: dict[str, Any]) -> dict[str, Any]:
    if "database" in record:
        record |= {"database": WIKI, "page_id": 1, "rev_id": 1}
    else:
        record["wiki_id"], record["page"]["page_id"] = WIKI, 1
    return record


def timeless(record: dict[str, Any]) -> dict[str, Any]:
    """Without any legible time it cannot be placed."""
    record["dt"] = record["meta"]["dt"] = "yesterday"
    return record


UNREADABLE = {
    "a deletion without a time": lambda: timeless(of_page(page_change("delete"))),
    "a visibility change without its revision": lambda: broken(
        of_page(page_change("visibility_change")), "revision", "rev_id"
    ),
    "a stub without its flags": lambda: broken(of_page(visibility_change()), "visibility"),
    "a deletion in a version to come": lambda: (
        of_page(page_change("delete")) | {"$schema": "/mediawiki/page/change/2.0.0"}
    ),
    "a kind to come that states a hiding": lambda: _hiding("oversight"),
}


def _hiding(kind: str) -> dict[str, Any]:
    record = of_page(page_change("edit")) | {"page_change_kind": kind}
    record["revision"]["is_content_visible"] = False
    return record


@pytest.mark.parametrize("what", UNREADABLE)
async def test_it_is_set_aside_its_page_is_hidden_and_is_to_be_read_again(session: Session, what: str) -> None:
    lane = await Written.to(session)
    words = ("Editor 2", "comment 2", "text 2", "A title")
    await lane.apply(edit(1), edit(2, title="A title"))
    assert await everywhere(session, words) == set(words)
    result = await lane.read(UNREADABLE[what]())
    assert (result.applied.total(), result.set_aside.total()) == (0, 1)
    ((_, *told),) = await rows(session, TOLD)
    assert told == [True, True, True]
    assert await rows(session, "SELECT state, title FROM page") == [("deleted", None)]
    assert await everywhere(session, words) == set()
    assert (1, 0, "set_aside") in await waiting(session)
    assert (await read_backlog(session)).retractions_set_aside == 1
    assert await value(session, "SELECT count(*) FROM correction WHERE kind IN ('suppression', 'deletion')") == 1


async def test_what_takes_nothing_away_hides_nothing(session: Session) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(1))
    await lane.read(broken(of_page(page_change("edit")), "revision", "rev_id"))
    assert await rows(session, TOLD) == [("missing_field", False, False, True)]
    assert await value(session, "SELECT state FROM page") == "live"


async def test_whose_page_is_not_known_hides_nothing_and_is_counted_all_the_same(session: Session) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(1))
    await lane.read(broken(of_page(page_change("delete")), "page", "page_id"))
    assert await rows(session, TOLD) == [("missing_field", True, False, True)]
    assert await value(session, "SELECT state FROM page") == "live"
    assert (await read_backlog(session)).retractions_set_aside == 1


async def test_a_clearly_later_edit_shows_the_page_with_its_own_revision_and_nothing_older(session: Session) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(1))
    await lane.read(timeless(of_page(page_change("delete"))))
    hidden = await value(session, "SELECT max((extract(epoch FROM received) * 1000000)::bigint) FROM change")
    after = (hidden - at(0)) / 1e6 + 301
    await lane.apply(edit(9, after))
    assert await rows(session, "SELECT state, rev_id FROM page") == [("live", 9)]
    assert await everywhere(session, ("text 1", "text 9")) == {"text 9"}


async def test_one_that_postgres_refuses_even_bare_hides_its_page_too(session: Session, database_url: str) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(1), edit(2))
    # The revision of the deletion is refused, and so is what is left of it; the page is not.
    await run(database_url, "ALTER TABLE wikimirror.revision ADD CHECK (rev_id <> 3)")
    record = of_page(page_change("visibility_change"))
    record["revision"] |= {"rev_id": 3, "is_content_visible": False}
    await lane.read(record)
    ((reason, *told),) = await rows(session, TOLD)
    assert (reason, told) == ("sqlstate_23514", [True, True, True])
    assert await value(session, "SELECT state FROM page") == "deleted"


async def test_where_not_even_hiding_is_possible_the_letter_says_so(session: Session, database_url: str) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(1))
    await run(database_url, "ALTER TABLE wikimirror.page ADD CHECK (state <> 'deleted')")
    await lane.read(timeless(of_page(page_change("delete"))))
    assert await rows(session, TOLD) == [("bad_value", True, False, True)]
    assert await waiting(session) == set()


async def test_a_change_of_which_only_the_hiding_can_be_written_asks_for_the_rest(session: Session) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(1))
    result = await lane.apply(edit(2, 10, comment="a \x00", flags=(True, False, True)))
    assert (result.applied.total(), result.set_aside.total()) == (1, 0)
    assert await value(session, "SELECT editor_visible FROM revision WHERE rev_id = 2") is False
    assert (1, 0, "set_aside") in await waiting(session)
    assert await value(session, "SELECT state FROM page") == "live"


def broken_deletion(received: int, published: int = 0) -> Batch:
    """A retraction of page 1 that cannot be read, as it is read at some time."""
    error = UnreadableRecord("bad_value", wiki_id=WIKI, page_id=1)
    error.retracts = True
    return Batch(
        advances=(),
        entries=[],
        unread=[Unread(Record(Coordinates("test", "t", 0, 77), b"{}", received, published), error)],
    )


@pytest.mark.parametrize("published", [0, at(90), at(10**9)], ids=["no time", "its time", "a time to come"])
async def test_read_again_it_hides_nothing_that_was_shown_since(session: Session, published: int) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(1))
    assert (await lane.applier.apply(broken_deletion(at(100), published))).set_aside == {"bad_value": 1}
    await lane.apply(edit(9, 1000))
    assert (await lane.applier.apply(broken_deletion(at(5000), published))).set_aside == {"bad_value": 1}
    assert await rows(session, "SELECT state, rev_id FROM page") == [("live", 9)]
    assert await rows(session, "SELECT hidden, seen FROM dead_letter") == [(True, 2)]
    assert await value(session, "SELECT count(*) FROM correction") == 1


async def test_a_producer_s_clock_that_is_ahead_hides_nothing_that_comes_after_it_was_read(session: Session) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(1))
    await lane.applier.apply(broken_deletion(at(100), published=at(10**9)))
    assert await value(session, "SELECT state FROM page") == "deleted"
    await lane.apply(edit(9, 1000))
    assert await rows(session, "SELECT state, rev_id FROM page") == [("live", 9)]


@pytest.mark.parametrize("batches", [1, 2])
async def test_a_frame_that_bears_its_coordinates_by_a_guess_does_not_make_anybody_forget_it(
    session: Session, batches: int
) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(1))
    (retraction,) = broken_deletion(at(100)).unread
    guessed = Unread(Record(retraction.record.at, b"{", at(101)), UnreadableRecord("malformed"))
    for unread in ([retraction, guessed],) if batches == 1 else ([retraction], [guessed]):
        await lane.applier.apply(Batch(advances=(), entries=[], unread=unread))
    assert await rows(session, "SELECT retracts, hidden FROM dead_letter") == [(True, True)]
    assert (await read_backlog(session)).retractions_set_aside == 1
