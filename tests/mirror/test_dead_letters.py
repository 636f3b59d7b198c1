"""What is set aside keeps its payload only while nothing forbids it (P3), and is counted when it comes again."""

from __future__ import annotations

import msgspec
import pytest

from tests.merge.statements import HIDDEN, delete, edit, hides, state, visibility
from tests.mirror.lanes import Written, everywhere, rows, value
from tests.wire.records import page, page_change, revision
from wikimirror.mirror.connect import Session
from wikimirror.model import Change, Kind

NUL = "\x00"
PAGE, BAD = page(), {"revision": revision(comment=NUL)}
PAYLOAD = {
    **page_change(),
    "prior_state": {"revision": {"comment": "of another revision"}},
    "comment": "why it was done",
    "performer": {"user_text": "Who did it"},
    "kept": "this stays",
}
SECRETS = ["of another revision", "why it was done", "Who did it"]


def bad(rev_id: int, page: int = 1) -> Change:
    return edit(rev_id, 200 * rev_id, page=page, comment=NUL)


async def test_a_payload_is_kept_without_prior_state_comment_and_performer(session: Session) -> None:
    lane = await Written.to(session)
    await lane.apply(bad(1), values=[msgspec.json.encode(PAYLOAD)])
    payload = msgspec.json.decode(await value(session, "SELECT payload FROM dead_letter"))
    assert payload["kept"] == "this stays"
    assert not {"prior_state", "comment", "performer"} & payload.keys()
    assert await everywhere(session, SECRETS) == set()


@pytest.mark.parametrize(
    "later", [delete(2, 10), visibility(1, 10, HIDDEN), state(Kind.VISIBILITY_CHANGE, 2, 9, flags=HIDDEN)]
)
async def test_a_later_retraction_of_the_page_empties_it(session: Session, later: Change) -> None:
    lane = await Written.to(session)
    await lane.apply(bad(1), values=[msgspec.json.encode(PAYLOAD)])
    await lane.apply(bad(3, page=2), values=[msgspec.json.encode(PAYLOAD)])
    await lane.apply(later)
    kept = await rows(
        session, "SELECT page_id, payload IS NOT NULL, payload_sha256 IS NOT NULL FROM dead_letter ORDER BY 1"
    )
    assert kept == [(1, False, True), (2, True, True)]


@pytest.mark.parametrize("later", [visibility(1, 400, HIDDEN, page=2), edit(2, page=2, **hides(1))])
async def test_a_later_hiding_of_the_revision_under_another_page_empties_it(session: Session, later: Change) -> None:
    lane = await Written.to(session)
    await lane.apply(bad(1), values=[msgspec.json.encode(PAYLOAD)])
    await lane.apply(later)
    assert await rows(session, "SELECT page_id, payload FROM dead_letter") == [(1, None)]


async def test_a_payload_does_not_tell_other_pages_titles_nor_stay_where_its_wiki_cannot_be_told(
    session: Session,
) -> None:
    other = {"page_id": 78, "page_title": "Suppressed some day", "namespace_id": 0, "is_redirect": True}
    said = page_change("move", page={**PAGE, "redirect_page_link": other}, created_redirect_page=other, **BAD)
    lane = await Written.to(session)
    await lane.read(said, {**said, "wiki_id": "ünwiki"})
    kept = await rows(session, "SELECT page_id, payload IS NOT NULL FROM dead_letter ORDER BY dead_letter_id")
    assert kept == [(900, True), (900, False)]
    assert await everywhere(session, ["Suppressed some day"]) == set()


@pytest.mark.parametrize("before", [delete(1, 10), visibility(2, 10, HIDDEN)])
async def test_none_is_written_where_something_was_taken_away_before(session: Session, before: Change) -> None:
    lane = await Written.to(session)
    await lane.apply(before)
    await lane.apply(bad(2), values=[msgspec.json.encode(PAYLOAD)])
    assert await rows(session, "SELECT payload FROM dead_letter") == [(None,)]


async def test_none_is_written_when_the_retraction_comes_in_the_same_batch(session: Session) -> None:
    lane = await Written.to(session)
    await lane.apply(bad(2), delete(1, 10), values=[msgspec.json.encode(PAYLOAD)])
    assert await rows(session, "SELECT payload FROM dead_letter") == [(None,)]


async def test_a_record_whose_revision_is_not_known_keeps_coordinates_and_a_hash_alone(session: Session) -> None:
    lane = await Written.to(session)
    result = await lane.read(b"not JSON: secret", page_change("explode"))
    assert result.set_aside.total() == 2
    letters = await rows(session, 'SELECT "offset", payload, octet_length(payload_sha256) FROM dead_letter ORDER BY 1')
    assert letters == [(0, None, 32), (1, None, 32)]


async def test_the_same_record_set_aside_again_is_counted(session: Session) -> None:
    lane = await Written.to(session)
    for _ in range(3):
        lane = await Written.to(session)
        async with session.transaction():
            await session.execute("UPDATE checkpoint SET position = 0")
        lane.held = lane.held._replace(position=0)
        await lane.read(b"broken")
    assert await rows(session, "SELECT seen, last_seen >= first_seen FROM dead_letter") == [(3, True)]


async def test_a_reason_is_a_code_and_never_a_value(session: Session) -> None:
    lane = await Written.to(session)
    await lane.apply(edit(1, comment=f"secret words{NUL}"))
    assert await rows(session, "SELECT reason, sqlstate, constraint_name FROM dead_letter") == [
        ("sqlstate_22021", "22021", None)
    ]
    assert await everywhere(session, ["secret words"]) == set()
