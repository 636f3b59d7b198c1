"""`checkpoints list`, `set` and `rewind` beside real daemons that follow EventStreams."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.live import audit
from tests.live.daemon import Daemon
from tests.live.freezing import BETWEEN, freeze
from tests.live.program import PROGRAM, wikimirror
from tests.live.truth import durable, must_equal
from tests.live.world import SOURCE, World, a_day, serve
from wikimirror.errors import ConfigurationError, Refused
from wikimirror.mirror.checkpoints import advance, take_over
from wikimirror.mirror.connect import Session, connect
from wikimirror.mirror.leases import acquire, release
from wikimirror.mirror.members import Member, note_members
from wikimirror.mirror.positions_set import Setting, set_positions
from wikimirror.model import Advance, Lane, Position
from wikimirror.ops.checkpoints.listing import checkpoints
from wikimirror.ops.checkpoints.moving import Reach, Target, Wanted, move, plan

SEED, ACTIONS = 71, 1200
TOPIC = "eqiad.mediawiki.page_change.v1"
LANE = Lane("wiki", "topic", 0)
HOUR = 3600 * 10**6
NOON = 1_795_262_400_000_000
SECOND = 10**6


async def unasked(_times: Mapping[Lane, int]) -> Mapping[Lane, Position]:
    raise AssertionError


KAFKA = Reach(unasked)


async def follow(world: World, config: Path | str) -> None:
    """Run a daemon until it has read all that there is, and drain it."""
    async with Daemon(Path(config)) as daemon:
        await daemon.line("reading")
        await durable(world.database_url, world.log.ends)
        assert await daemon.stop() == 0


async def rows(database_url: str, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
    async with await connect(database_url) as session, session.transaction():
        return [tuple(row) for row in await session.fetch(query, *arguments)]


async def positions_of(database_url: str) -> list[tuple[Any, ...]]:
    return await rows(
        database_url, "SELECT topic, partition, position, position_time, epoch FROM checkpoint ORDER BY 1, 2"
    )


async def test_while_a_daemon_owns_the_lanes_it_is_refused_and_once_it_has_ended_they_are_read_again_to_the_same_truth(
    database_url: str, tmp_path: Path
) -> None:
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as world:
        config = world.config()
        rewind = ("checkpoints", "rewind", SOURCE, "--by", "30m", "--yes", "--config", str(config))
        world.publish(5000.0)
        await world.published()
        async with Daemon(config) as daemon:
            await daemon.line("reading")
            await durable(database_url, world.log.ends)
            before = await positions_of(database_url)
            code, refused = await wikimirror(*rewind)
            assert await positions_of(database_url) == before
            assert await daemon.stop() == 0
        assert (code, refused["error"]["kind"]) == (1, "Refused")
        assert f"/{daemon.pid}/" in refused["error"]["message"]
        assert "SIGTERM" in refused["error"]["remedy"]
        assert "wikimirror replay" in refused["error"]["remedy"]

        code, done = await wikimirror(*rewind)
        assert (code, done["moved"]) == (0, True)
        after = await positions_of(database_url)
        await follow(world, config)
        await must_equal(database_url, world.day, world.log)
    # A topic that never had a record stands where the source begins, and stays there.
    moved = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    assert {was[0] for was, _ in moved} == set(world.log.ends)
    for (_, _, _, was, epoch), (_, _, offset, time_, raised) in moved:
        assert (offset, raised, was - time_) == (0, epoch + 1, timedelta(minutes=30))
    noted = await rows(database_url, "SELECT command, result FROM operation WHERE command <> 'run' ORDER BY 2 DESC")
    assert noted == [("checkpoints rewind", "refused"), ("checkpoints rewind", "done")]


LEDGER = """
INSERT INTO change SELECT int8send(n), 'testwiki', n, n, 'edit', 0, at, at, at, at, 'wiki', $1, 0, n, 'applied'
FROM (SELECT n, to_timestamp(n) AS at FROM generate_series($2::bigint, $3::bigint) AS n) AS made
"""


@pytest.mark.parametrize(
    ("reach", "target"),
    [(Reach(None), Target(time=1100 * SECOND)), (Reach(None), Target(back=100 * SECOND)), (KAFKA, Target(offset=1100))],
)
async def test_what_will_be_read_again_is_counted_in_the_ledger_with_the_time_it_spans(
    session: Session, reach: Reach, target: Target
) -> None:
    async with session.transaction():
        for topic in ("topic", "other"):
            await session.execute(LEDGER, topic, 1000, 1300)
    await take_over(session, LANE, "writer", start=Position(1200, 1200 * SECOND))
    planned = await plan(session, Wanted("wiki", "topic", None, target, only_back=True), reach)
    (lane,) = planned.report.lanes
    # By time it is to and with the newest that was read.
    last = 1199 if reach.resolve else 1200
    assert (lane.direction, lane.records) == ("back", last - 1099)
    assert (lane.oldest, lane.newest) == tuple(datetime.fromtimestamp(at, tz=UTC) for at in (1100, last))


async def test_lanes_that_are_not_after_the_target_stay_where_they_are(session: Session) -> None:
    for partition, seconds in enumerate((1000, 2000)):
        await take_over(session, Lane("wiki", "topic", partition), "writer", start=Position(7, seconds * SECOND))
    wanted = Wanted("wiki", None, None, Target(time=1500 * SECOND), only_back=True)
    planned = await plan(session, wanted, Reach(None))
    assert [lane.direction for lane in planned.report.lanes] == ["stays", "back"]
    assert [step.lane.partition for step in planned.settings] == [1]
    await move(session, planned)
    async with session.transaction():
        assert await session.fetchval("SELECT count(*) FROM gap") == 0


async def test_set_forward_it_opens_a_gap_in_the_same_breath_and_the_daemon_goes_on_after_it(
    database_url: str, tmp_path: Path
) -> None:
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as world:
        config = world.config()
        async with Daemon(config) as daemon:
            world.publish(500.0)
            await daemon.line("durable")
            await daemon.line("durable")
            assert await daemon.stop() == 0
        await world.published()
        ((before, began),) = await rows(
            database_url, "SELECT position, position_time FROM checkpoint WHERE topic = $1", TOPIC
        )
        instant = datetime.now(tz=UTC).isoformat()
        arguments = ("checkpoints", "set", SOURCE, TOPIC, "0", "--to", instant, "--config", str(config))
        code, report = await wikimirror(*arguments, "--dry-run")
        assert (code, report["lanes"][0]["direction"], report["moved"]) == (0, "forward", False)
        assert await rows(database_url, "SELECT * FROM gap") == []
        assert (await wikimirror(*arguments, "--yes"))[0] == 0
        found = await rows(
            database_url, "SELECT topic, from_position, to_position, from_time, to_time, reason, closed_at FROM gap"
        )
        assert found == [(TOPIC, before, None, began, datetime.fromisoformat(instant), "skipped", None)]
        _, listed = await wikimirror("gaps", "--config", str(config))
        async with Daemon(config) as daemon:
            reading = await daemon.line("reading")
            assert await daemon.stop() == 0
    assert [(gap["topic"], gap["reason"]) for gap in listed["gaps"]] == [(TOPIC, "skipped")]
    assert reading["lanes"][f"{TOPIC}[0]"] == before


async def test_a_lane_does_not_go_on_where_the_source_keeps_nothing(session: Session) -> None:
    now = await recently(session)
    await take_over(session, LANE, "writer", start=Position(10, now - 72 * HOUR))
    wanted = Wanted("wiki", None, None, Target(time=now - 48 * HOUR), only_back=False)
    with pytest.raises(ConfigurationError, match="keeps nothing from so long ago"):
        await plan(session, wanted, Reach(None, HOUR))
    assert (await plan(session, wanted, Reach(None, 72 * HOUR))).settings


async def test_a_lane_goes_back_no_further_than_the_source_keeps_its_records(session: Session) -> None:
    now = await recently(session)
    for partition, ago in enumerate((10 * 60 * SECOND, 3 * HOUR)):
        await take_over(session, Lane("wiki", "topic", partition), "writer", start=Position(10, now - ago))
    wanted = Wanted("wiki", None, None, Target(back=2 * HOUR), only_back=True)
    planned = await plan(session, wanted, Reach(None, HOUR))
    assert [lane.direction for lane in planned.report.lanes] == ["back", "stays"]
    (step,) = planned.settings
    assert now - HOUR < step.after.time < now - 50 * 60 * SECOND


async def test_an_offset_of_a_lane_that_is_resumed_by_time_must_be_known_to_the_ledger(session: Session) -> None:
    async with session.transaction():
        await session.execute(LEDGER, "topic", 1000, 1300)
    await take_over(session, LANE, "writer", start=Position(1301, 1300 * SECOND))
    wanted = Wanted("wiki", "topic", 0, Target(offset=1100), only_back=False)
    (step,) = (await plan(session, wanted, Reach(None))).settings
    assert (step.after, step.lost) == (Position(1100, 1100 * SECOND), None)
    with pytest.raises(ConfigurationError, match="the ledger knows no record") as refused:
        await plan(session, wanted._replace(target=Target(offset=999)), Reach(None))
    assert "Name an instant" in refused.value.remedy


async def test_away_from_a_terminal_and_without_yes_it_shows_what_it_would_do_and_does_nothing(
    session: Session, config: str, database_url: str
) -> None:
    await take_over(session, LANE, "writer", start=Position(10, await recently(session)))
    before = await positions_of(database_url)
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "checkpoints", "rewind", "wiki", "topic", "--by", "1h", "--config", config,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert await positions_of(database_url) == before
    told = err.decode()
    assert (process.returncode, out) == (1, b"")
    assert "1 lane would be moved back. Will be read again: about" in told
    assert "reading them again changes nothing (promise P2)" in told
    assert "say --yes" in told
    assert await rows(database_url, "SELECT * FROM operation") == []


async def test_a_dry_run_shows_who_owns_the_lanes_and_is_noted_as_one(
    session: Session, config: str, database_url: str
) -> None:
    await take_over(session, LANE, "host/1/aa", start=Position(10, await recently(session)))
    await acquire(session, "wiki", "host/1/aa", 60.0)
    code, report = await wikimirror("checkpoints", "rewind", "wiki", "--by", "1h", "--dry-run", "--config", config)
    assert (code, report["moved"], [owner["holder"] for owner in report["owners"]]) == (0, False, ["host/1/aa"])
    assert await rows(database_url, "SELECT dry_run, result FROM operation") == [(True, "done")]
    assert await rows(database_url, "SELECT position, epoch FROM checkpoint") == [(10, 1)]


async def recently(session: Session) -> int:
    """A minute ago, in microseconds."""
    async with session.transaction():
        return int(await session.fetchval("SELECT (extract(epoch FROM now()) * 1000000)::bigint")) - 60 * SECOND


@pytest.fixture
def config(database_url: str, tmp_path: Path) -> str:
    """Settings of a source that nobody reads."""
    path = tmp_path / "settings.toml"
    path.write_text(f'[postgres]\nurl = "{database_url}"\n[sources.wiki]\ntype = "eventstreams"\n')
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("set", SOURCE, "no.such.topic", "--to", "5"), "no lane of wiki no.such.topic has a position yet"),
        (("rewind", "another", "--by", "1h"), "there is no source another; the settings have wiki"),
        (("rewind", "replay:1", "--by", "1h"), "replay:1 is a replay"),
        (("rewind", SOURCE, "--to", "5"), "an offset belongs to one"),
        (("rewind", SOURCE), "say one of --by and --to"),
        (("rewind", SOURCE, "--by", "1h", "--to", "5"), "say one of --by and --to"),
        (("rewind", SOURCE, "--by", "yesterday"), "must be a number with a unit"),
        (("set", SOURCE, TOPIC), "say where to"),
        (("set", SOURCE, TOPIC, "--to", "latest"), "neither an offset, nor an instant"),
    ],
)
async def test_what_cannot_be_meant_is_said_in_words(
    session: Session, config: str, arguments: tuple[str, ...], message: str
) -> None:
    for topic in (TOPIC, "codfw.mediawiki.page_change.v1"):
        await take_over(session, Lane(SOURCE, topic, 0), "writer", start=Position(10, NOON))
    code, report = await wikimirror("checkpoints", *arguments, "--yes", "--config", config)
    assert code in {1, 2}
    assert message in report["error"]["message"]


async def test_a_frozen_owner_that_wakes_up_after_a_set_is_fenced_and_writes_not_one_row(
    database_url: str, tmp_path: Path
) -> None:
    async with serve(a_day(SEED, 3000), database_url, tmp_path) as world:
        await audit.begin(database_url)
        config = world.config(postgres={"url": audit.url_of(database_url, "former")})
        plain = str(world.config())
        async with Daemon(config) as former:
            await former.line("reading")
            while await rows(database_url, "SELECT role FROM member") != [("active",)]:
                await asyncio.sleep(0.05)
            world.publish(300.0)
            await freeze(database_url, former, BETWEEN)
            rewind = ("checkpoints", "rewind", SOURCE, "--by", "30m", "--yes", "--config", plain)
            assert (await wikimirror(*rewind))[0] == 1
            # Its lease runs out, and then it has told nothing of itself for a minute.
            async with await connect(database_url) as session:
                async with session.transaction():
                    await session.execute("UPDATE lease SET expires_at = clock_timestamp()")
                assert (await wikimirror(*rewind))[0] == 1
                async with session.transaction():
                    await session.execute("UPDATE member SET seen_at = clock_timestamp() - interval '61 seconds'")
                code, report = await wikimirror(*rewind)
                assert (code, report["moved"]) == (0, True)
                held = await acquire(session, SOURCE, "nobody", 600.0)
                assert held.held
            written = await audit.written(database_url)
            positions = await positions_of(database_url)
            former.wake()
            lost = await former.line("another process has taken over; this one stands by")
            await former.line("standing by")
            assert await positions_of(database_url) == positions
            assert await audit.written(database_url) == written
            assert "with epoch" in lost["reason"] or "lease" in lost["reason"]

            async with await connect(database_url) as session:
                await release(session, SOURCE, "nobody")
            reading = await former.line("reading")
            assert set(reading["lanes"].values()) == {0}
            await world.published()
            await durable(database_url, world.log.ends)
            assert await former.stop() == 0
        await must_equal(database_url, world.day, world.log)


async def test_a_writer_whose_lane_was_set_is_fenced_by_the_epoch_even_where_the_position_is_the_same(
    session: Session,
) -> None:
    held = await take_over(session, LANE, "frozen", start=Position(10, NOON))
    step = Setting(LANE, held.epoch, Position(10, NOON), Position(10, NOON - HOUR))
    await set_positions(session, [step])
    with pytest.raises(Exception, match="another writer has it"):
        async with session.transaction():
            await advance(session, [Advance(LANE, held.epoch, 10, 11)])


async def test_a_lane_that_moved_since_it_was_looked_at_is_left_alone_and_so_are_the_others(session: Session) -> None:
    other = Lane("wiki", "topic", 1)
    held = {lane: await take_over(session, lane, "writer", start=Position(10, NOON)) for lane in (LANE, other)}
    async with session.transaction():
        await advance(session, [Advance(other, held[other].epoch, 10, 11)])
    steps = [Setting(lane, each.epoch, Position(10, NOON), Position(0, NOON)) for lane, each in held.items()]
    with pytest.raises(Refused, match=r"topic\[1\]: the position was moved"):
        await set_positions(session, steps)
    report = await checkpoints(session, None)
    assert [lane.position for lane in report.lanes] == [10, 11]


@pytest.mark.parametrize(
    ("role", "lanes", "unseen", "owns"),
    [
        ("active", 0, 0, True),
        ("draining", 0, 59, True),
        ("standby", 2, 0, True),
        ("standby", 0, 0, False),
        ("starting", 0, 0, True),
        ("stopped", 0, 0, False),
        ("active", 2, 61, False),
    ],
)
async def test_who_owns_lanes_is_told_by_what_a_process_last_said_of_itself(
    session: Session, role: str, lanes: int, unseen: int, *, owns: bool
) -> None:
    held = await take_over(session, LANE, "host/1/aa/3", start=Position(10, NOON))
    await note_members(session, [Member("wiki", "host/1/aa", None, role, "current", lanes, None, None, 0, "1")])
    async with session.transaction():
        await session.execute("UPDATE member SET seen_at = seen_at - $1 * interval '1 second'", unseen)
    step = Setting(LANE, held.epoch, Position(10, NOON), Position(5, NOON))
    report = await checkpoints(session, "wiki")
    assert [lane.owner is not None for lane in report.lanes] == [owns]
    if owns:
        with pytest.raises(Refused, match=rf"host/1/aa \({role}, last seen"):
            await set_positions(session, [step])
    else:
        await set_positions(session, [step])
    (lane,) = (await checkpoints(session, "wiki")).lanes
    assert lane.position == (10 if owns else 5)


async def test_a_lease_that_was_given_back_or_has_run_out_owns_nothing(session: Session) -> None:
    held = await take_over(session, LANE, "host/1/aa", start=Position(10, NOON))
    await acquire(session, "wiki", "host/1/aa", 60.0)
    step = Setting(LANE, held.epoch, Position(10, NOON), Position(5, NOON))
    with pytest.raises(Refused, match="holds the lease"):
        await set_positions(session, [step])
    await release(session, "wiki", "host/1/aa")
    await set_positions(session, [step])


async def test_positions_of_replays_are_told_apart_and_last(session: Session) -> None:
    await take_over(session, LANE, "writer", start=Position(10, NOON))
    async with session.transaction():
        number = await session.fetchval(
            "INSERT INTO replay (source, asked, state, holder, began_at, seen_at)"
            " VALUES ('wiki', '{}', 'running', 'h', now(), now()) RETURNING replay_id"
        )
    await take_over(session, Lane(f"replay:{number}", "topic", 0), "h", start=Position(3, NOON))
    for source in (None, "wiki"):
        report = await checkpoints(session, source)
        assert [lane.source for lane in report.lanes] == ["wiki"]
        assert [(each.replay_id, each.of, each.position) for each in report.replays] == [(number, "wiki", 3)]
    assert (await checkpoints(session, "other")).replays == []


async def test_looking_takes_a_moment_whatever_the_number_of_lanes(session: Session) -> None:
    for partition in range(50):
        await take_over(session, Lane("kafka", "topic", partition), "writer", start=Position(1, NOON))
    began = time.monotonic()
    assert len((await checkpoints(session, "kafka")).lanes) == 50
    assert time.monotonic() - began < 5


async def test_what_is_still_to_come_is_not_skipped(session: Session) -> None:
    now = await recently(session)
    await take_over(session, LANE, "writer", start=Position(10, now - HOUR))
    planned = await plan(
        session, Wanted("wiki", None, None, Target(time=now + 9000 * HOUR), only_back=False), Reach(None)
    )
    (step,) = planned.settings
    assert now - HOUR < step.after.time <= await recently(session) + 60 * SECOND
    assert step.lost is not None
    assert step.lost.until.time == step.after.time
