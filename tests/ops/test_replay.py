"""A replay is stopped, killed, taken over, resumed, loses stretches, fills gaps: nothing is lost or told wrong."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.ops.replaying import Ended, mirror, replaying, rows, until
from tests.wire.records import page_change, record
from wikimirror.errors import ConfigurationError, Fenced, Refused, SourceUnavailable
from wikimirror.merge.law import Law
from wikimirror.merge.scope import Scope
from wikimirror.mirror.apply import Applier
from wikimirror.mirror.connect import Session, connect
from wikimirror.mirror.gaps import open_gaps
from wikimirror.mirror.replays import ReplayState, begin_replay, resume_replay
from wikimirror.model import Coordinates, Lane, Lost, Position, Record
from wikimirror.ops.replaying import reading as range_reading
from wikimirror.ops.replaying.reading import Reading
from wikimirror.ops.replaying.work import Outcome, ranges_of, stretches_of, work_off
from wikimirror.ops.reports import no_progress
from wikimirror.pipeline.narrowing import Narrowing
from wikimirror.rehearsal import day_to_ndjson, simulate_day
from wikimirror.sources.ranges import Bound, Done, Range

LANE = Lane("jumbo", "pages", 0)
WHOLE = {LANE: Range(Position(10), 20)}
SLOW = "60"
"""Records a second: longer than a process takes to start, a day of these is under way."""
PAST_A_BATCH = "SELECT coalesce(max(records_read), 0) > 0 FROM replay"


@pytest.fixture(scope="session")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("captures") / "day.ndjson"
    path.write_bytes(b"".join(day_to_ndjson(simulate_day(5, 900))))
    return path


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """A shell's background jobs ignore SIGINT, and so would their children: a handler here gives them the default."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


async def replayed(database_url: str, *arguments: str) -> Ended:
    async with replaying(database_url, *arguments) as process:
        return await process.end()


async def test_killed_in_the_middle_it_is_resumed_from_its_own_checkpoint_and_counts_each_record_once(
    database_url: str, make_database: Callable[..., Awaitable[str]], day: Path
) -> None:
    records = len(day.read_bytes().splitlines())
    for _ in range(2):
        async with replaying(database_url, "--file", str(day), "--rate", SLOW) as process:
            await until(database_url, "SELECT coalesce(max(records_read), 0) > 100 FROM replay WHERE state = 'running'")
            process.send(signal.SIGKILL)
            killed = await process.end()
        assert killed.code == -signal.SIGKILL
        ((replay_id, state, read),) = await rows(
            database_url, "SELECT replay_id, state, records_read FROM replay ORDER BY 1 DESC LIMIT 1"
        )
        assert (state, 100 < read < records) == ("running", True)
        ((position,),) = await rows(
            database_url, f"SELECT position FROM checkpoint WHERE source = 'replay:{replay_id}'"
        )
        assert position == read, "what is counted and how far it is are one transaction"
        assert f"wikimirror replay --resume {replay_id}" in killed.err

        resumed = await replayed(database_url, "--resume", str(replay_id), "--rate", "0")
        assert resumed.code == 0, resumed.err
        assert resumed.report["read"] == records
        told = sum(sum(resumed.report[name].values()) for name in ("ignored", "applied", "refused", "set_aside"))
        assert told == records
    other = await make_database()
    assert (await replayed(other, "--file", str(day), "--rate", "0")).code == 0
    assert await mirror(database_url) == await mirror(other)


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_interrupted_it_says_so_and_how_to_go_on(
    database_url: str, day: Path, sign: signal.Signals, code: int
) -> None:
    async with replaying(database_url, "--file", str(day), "--rate", SLOW) as process:
        await until(database_url, PAST_A_BATCH)
        process.send(sign)
        ended = await process.end()
    assert (ended.code, ended.out) == (code, "")
    assert "interrupted; to go on: wikimirror replay --resume 1\n" in ended.err
    assert "Traceback" not in ended.err
    assert await rows(database_url, "SELECT state, ended_at IS NULL FROM replay") == [("interrupted", False)]
    assert await rows(database_url, "SELECT result FROM operation") == [("interrupted",)]
    assert (await replayed(database_url, "--resume", "1", "--rate", "0")).code == 0
    done = await replayed(database_url, "--resume", "1")
    assert (done.code, done.report["error"]["kind"]) == (1, "Refused")
    found = await rows(database_url, "SELECT result FROM operation ORDER BY operation_id DESC LIMIT 1")
    assert found == [("refused",)]


async def test_of_two_processes_that_work_on_one_replay_the_former_is_fenced(database_url: str, day: Path) -> None:
    async with replaying(database_url, "--file", str(day), "--rate", SLOW) as former:
        await until(database_url, PAST_A_BATCH)
        latter = await replayed(database_url, "--resume", "1", "--rate", "0")
        fenced = await former.end()
    assert latter.code == 0, latter.err
    assert (fenced.code, fenced.report["error"]["kind"]) == (1, "Fenced")
    assert await rows(database_url, "SELECT state FROM replay") == [("done",)]
    assert await rows(database_url, "SELECT epoch FROM checkpoint WHERE source = 'replay:1'") == [(2,)]
    assert latter.report["read"] == len(day.read_bytes().splitlines())


async def test_a_gap_of_another_source_is_filled_from_a_capture_and_closed_in_the_same_transaction(
    database_url: str, session: Session, day: Path
) -> None:
    instants = sorted(json.loads(line)["meta"]["dt"] for line in day.read_text().splitlines())
    first, last = instants[len(instants) // 4], instants[len(instants) // 2]
    async with session.transaction():
        await session.execute(
            "INSERT INTO gap (source, topic, partition, from_time, to_time, reason)"
            " VALUES ('wiki', 'pages', 0, $1::text::timestamptz, $2::text::timestamptz, 'retention')",
            first,
            last,
        )
    narrowed = await replayed(database_url, "--gap", "1", "--file", str(day), "--kind", "edit")
    assert (narrowed.code, narrowed.report["error"]["kind"]) == (2, "ConfigurationError")
    rehearsed = await replayed(database_url, "--gap", "1", "--file", str(day), "--rate", "0", "--dry-run")
    assert rehearsed.report["gap_closed"] is False
    assert await rows(database_url, "SELECT closed_at FROM gap") == [(None,)]

    filled = await replayed(database_url, "--gap", "1", "--file", str(day), "--rate", "0")
    assert filled.code == 0, filled.err
    assert filled.report["gap_closed"] is True
    assert filled.report["read"] == rehearsed.report["read"] > 0
    assert await rows(database_url, "SELECT replay_id FROM gap WHERE closed_at IS NOT NULL") == [(1,)]
    again = await replayed(database_url, "--gap", "1", "--file", str(day))
    assert (again.code, again.report["error"]["kind"]) == (1, "Refused")


class Scripted:
    """A source that brings what a test says, a list for each reading; `SourceUnavailable` in it breaks off."""

    name = LANE.source

    def __init__(self, *readings: Sequence[Record | Lost | Done | Exception]) -> None:
        self._readings = iter(readings)
        self.asked: list[Mapping[Lane, Range]] = []

    async def resolve(
        self, start: Bound, end: Bound | None, *, topics: Collection[str], partitions: Collection[int]
    ) -> dict[Lane, Range]:
        raise AssertionError(start, end, topics, partitions)

    async def read(self, ranges: Mapping[Lane, Range]) -> AsyncGenerator[Record | Lost | Done]:
        self.asked.append(ranges)
        for item in next(self._readings):
            if isinstance(item, Exception):
                raise item
            yield item

    async def total(self, ranges: Mapping[Lane, Range]) -> int | None:  # noqa: ARG002  # whatever they are
        return None


class Script:
    """A replay of scripted readings."""

    def __init__(self, session: Session, database_url: str) -> None:
        self._session = session
        self._database_url = database_url

    async def begin(self, *, gap_id: int | None = None) -> int:
        replay = await begin_replay(
            self._session, LANE.source, stretches_of(WHOLE), asked={}, holder="first", gap_id=gap_id
        )
        return replay.replay_id

    async def resume(
        self, replay_id: int, source: Scripted, holder: str, *, narrowing: Narrowing | None = None
    ) -> Outcome:
        replay = await resume_replay(self._session, replay_id, holder)
        reading = Reading(
            source=source,
            ranges=ranges_of(replay),
            scope=Scope(),
            narrowing=narrowing or Narrowing(),
            rate=0,
            batch_records=3,
            batch_bytes=2**20,
        )

        async def again() -> Session:
            return await connect(self._database_url)

        return await work_off(Applier(self._session, Law()), again, replay, reading, no_progress)

    async def state(self) -> list[tuple[Any, ...]]:
        return await rows(self._database_url, "SELECT state FROM replay")


@pytest.fixture
async def script(session: Session, database_url: str) -> Script:
    return Script(session, database_url)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(range_reading, "_LONGEST_PAUSE", 0.01)


def at(offset: int, value: dict[str, Any] | bytes | None = None) -> Record:
    if isinstance(value, bytes):
        return Record(Coordinates(*LANE, offset), value, 0)
    return record(value or page_change(), Coordinates(*LANE, offset))


def broken() -> SourceUnavailable:
    return SourceUnavailable("gone for now")


async def test_it_goes_on_where_a_source_that_breaks_off_was_read_to(script: Script) -> None:
    source = Scripted([at(10), at(11), broken()], [broken()], [at(12), Done(LANE)])
    done = await script.resume(await script.begin(), source, "second")
    assert [asked[LANE].start.offset for asked in source.asked] == [10, 12, 12]
    assert (done.tally.read, done.held[LANE].position) == (3, 13)
    assert await script.state() == [("done",)]


async def test_it_fails_where_the_source_breaks_off_again_and_again_and_tells_how_to_go_on(script: Script) -> None:
    replay_id = await script.begin()
    with pytest.raises(SourceUnavailable) as caught:
        await script.resume(replay_id, Scripted([at(10), broken()], *[[broken()]] * 5), "second")
    assert f"wikimirror replay --resume {replay_id}" in caught.value.remedy
    assert await script.state() == [("failed",)]
    done = await script.resume(replay_id, source := Scripted([at(11), Done(LANE)]), "third")
    assert (done.tally.read, source.asked[0][LANE].start.offset) == (2, 11)


async def test_what_is_lost_is_told_over_all_runs_opens_no_gap_and_closes_none(
    script: Script, session: Session, database_url: str
) -> None:
    hole = Lost(LANE, Position(11), Position(15), "retention")
    async with session.transaction():
        await open_gaps(session, [Lost(LANE, Position(10), Position(20), "jump")])
    ((gap_id,),) = await rows(database_url, "SELECT gap_id FROM gap")
    replay_id = await script.begin(gap_id=gap_id)
    source = Scripted([at(10), hole, at(15), at(16), ConfigurationError("stopped here")])
    with pytest.raises(ConfigurationError):
        await script.resume(replay_id, source, "second")
    done = await script.resume(replay_id, Scripted([at(17), Done(LANE)]), "third")
    assert (done.tally.lost, done.tally.read, done.gap_closed) == ((hole,), 4, False)
    assert await rows(database_url, "SELECT closed_at, replay_id FROM gap") == [(None, None)]


async def test_a_gap_from_which_nothing_came_stays_open(script: Script, session: Session, database_url: str) -> None:
    async with session.transaction():
        await open_gaps(session, [Lost(LANE, Position(10), Position(20), "jump")])
    done = await script.resume(await script.begin(gap_id=1), Scripted([Done(LANE)]), "second")
    assert (done.gap_closed, await script.state()) == (False, [("done",)])
    assert await rows(database_url, "SELECT closed_at FROM gap") == [(None,)]


async def test_what_cannot_be_read_is_set_aside_unless_its_page_is_known_not_to_be_meant(
    script: Script, database_url: str
) -> None:
    change = page_change()
    page, wiki = change["page"]["page_id"], change["wiki_id"]
    unknown = b"{}"
    unreadable = json.dumps({**change, "dt": "never"}).encode()
    source = Scripted([at(10, unknown), at(11, unreadable), at(12), Done(LANE)])
    done = await script.resume(
        await script.begin(), source, "second", narrowing=Narrowing(frozenset({wiki}), frozenset({page + 1}))
    )
    assert dict(done.tally.ignored) == {"filtered": 2}
    assert await rows(database_url, 'SELECT "offset" FROM dead_letter') == [(10,)]
    source = Scripted([at(11, unreadable), Done(LANE)])
    await script.resume(await script.begin(), source, "third", narrowing=Narrowing(pages=frozenset({page})))
    assert await rows(database_url, 'SELECT "offset" FROM dead_letter ORDER BY 1') == [(10,), (11,)]


async def test_whoever_lost_a_replay_writes_nothing_more_and_marks_nothing(script: Script, database_url: str) -> None:
    replay_id = await script.begin()
    async with await connect(database_url) as other:

        class TakenOver(Scripted):
            async def read(self, ranges: Mapping[Lane, Range]) -> AsyncGenerator[Record | Lost | Done]:
                yield at(10)
                await resume_replay(other, replay_id, "the other")
                yield at(11)
                yield Done(next(iter(ranges)))

        with pytest.raises(Fenced):
            await script.resume(replay_id, TakenOver(), "second")
    assert await rows(database_url, "SELECT state, holder, records_read FROM replay") == [("running", "the other", 0)]
    assert await rows(database_url, "SELECT count(*) FROM change") == [(0,)]


async def test_one_that_is_done_is_not_resumed_and_one_that_never_was_is_not_there(
    script: Script, session: Session
) -> None:
    replay_id = await script.begin()
    await script.resume(replay_id, Scripted([Done(LANE)]), "second")
    with pytest.raises(Refused):
        await resume_replay(session, replay_id, "third")
    with pytest.raises(ConfigurationError):
        await resume_replay(session, replay_id + 1, "third")
    assert await script.state() == [(ReplayState.DONE,)]
