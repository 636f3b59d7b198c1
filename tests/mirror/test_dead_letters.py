"""What is set aside keeps its payload only while nothing forbids it (P3), and is counted when it comes again."""

from __future__ import annotations

import msgspec
import pytest

from tests.merge.statements import HIDDEN, delete, edit, state, visibility
from tests.mirror.lanes import Written, everywhere, rows, value
from tests.wire.records import page_change
from wikimirror.mirror.connect import Session
from wikimirror.model import Change, Kind

NUL = "\x00"
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
