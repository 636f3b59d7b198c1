"""What waits for a person is counted by reason, without holding anything up."""

from __future__ import annotations

import pytest

from tests.merge.statements import edit
from tests.mirror.lanes import Written
from wikimirror.errors import DatabaseUnavailable
from wikimirror.mirror import backlog
from wikimirror.mirror.backlog import read_backlog
from wikimirror.mirror.connect import Limits, Session, connect
from wikimirror.mirror.replays import Stretch, begin_replay, finish_replay, see_replay
from wikimirror.model import Lost, Position
from wikimirror.observe.backlog import Backlog


async def test_nothing_waits_in_a_new_mirror(any_session: Session) -> None:
    assert await read_backlog(any_session) == Backlog({}, 0, {})


async def test_dead_letters_gaps_and_doubts_are_counted_by_reason(any_session: Session) -> None:
    lane = await Written.to(any_session)
    await lane.read(b"broken", b"{}")
    await lane.apply(edit(1), edit(9, page=2, comment="\x00"))
    await lane.apply(edit(5, parent_rev_id=4), edit(7, parent_rev_id=6))
    await lane.applier.apply(lane.batch(lost=[Lost(lane.lane, Position(1), Position(2), "jump")]))
    found = await read_backlog(any_session)
    assert (found.gaps_open, found.reconcile_open) == (1, {"unknown_parent": 2})
    assert found.dead_letters["sqlstate_22021"] == 1
    assert sum(found.dead_letters.values()) == 3


async def test_counting_only_reads(session: Session) -> None:
    said: list[str] = []
    session.connection.add_query_logger(lambda told: said.append(told.query))
    await read_backlog(session)
    assert said[1] == "SET TRANSACTION READ ONLY"


async def test_counting_gives_up_soon_and_says_so(
    session: Session, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "_SHORT", Limits(lock=0.05))
    async with await connect(database_url) as other, other.transaction():
        await other.execute("LOCK TABLE reconcile")
        with pytest.raises(DatabaseUnavailable):
            await read_backlog(session)
    assert await read_backlog(session) == Backlog({}, 0, {})


async def test_replays_count_while_they_are_at_work_and_tell_so(session: Session) -> None:
    replay = await begin_replay(session, "wiki", [Stretch("a", 0, 0, 0, 5, None)], asked={}, holder="me", gap_id=None)
    assert (await read_backlog(session)).replays == {"wiki": 1}
    async with session.transaction():
        await session.execute("UPDATE replay SET seen_at = seen_at - interval '61 seconds'")
    assert (await read_backlog(session)).replays == {}
    await see_replay(session, replay)
    assert (await read_backlog(session)).replays == {"wiki": 1}
    await finish_replay(session, replay, close=False)
    assert (await read_backlog(session)).replays == {}
