"""What the world hands to the daemon that it cannot use: it says so, waits or refuses, and nothing is lost."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.daemon import Daemon
from tests.live.truth import positions
from tests.live.within import DEADLINE, Following, ends_equal, following
from tests.live.world import SOURCE, World, a_day, serve
from tests.mirror.lanes import rows
from tests.sources.sse_server import Connection, serving
from wikimirror.errors import SourceRefused
from wikimirror.mirror.connect import Session
from wikimirror.observe.health import State
from wikimirror.observe.vitals import Vitals
from wikimirror.rehearsal import NO_FAULTS, Answer, Cut, Faults

SEED, ACTIONS = 14, 600
RATE = 100.0
"""Records a second, so that the day lasts longer than the trouble on a slow machine too."""


@pytest.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    async with serve(a_day(SEED, ACTIONS), database_url, tmp_path) as served:
        yield served


# Sources


@pytest.mark.parametrize(
    ("faults", "ending", "says"),
    [
        (Faults(answer=Answer.HTML, answers=10**6, cut_after=0), "not_a_stream", "answered 200 with text/html"),
        (Faults(answer=Answer.UNAVAILABLE, answers=10**6, cut_after=0), "unavailable", "answered 503"),
        (Faults(connections=0, cut_after=0), "throttled", "answered 429"),
        (Faults(error_after=0), "error_frame", "said within the stream that it failed"),
        (Faults(cut=Cut.MID_RECORD, cut_after=0), "cut", "was cut"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
async def test_a_source_that_answers_something_else_is_waited_for_from_the_start_and_under_way(
    world: World, faults: Faults, ending: str, says: str
) -> None:
    world.server.faults = faults
    async with following(world.config()) as daemon:
        vitals = daemon.vitals
        for _ in range(2):
            before = vitals.disconnects[ending]
            await daemon.until(lambda before=before: vitals.disconnects[ending] > before)  # type: ignore[misc]
            await daemon.until(lambda: says in daemon.verdict.why)
            assert daemon.verdict.state is State.WAITING
            assert not daemon.verdict.ready
            assert daemon.verdict.alive
            world.server.faults = NO_FAULTS
            if world.begun is None:
                world.publish(RATE)
            await daemon.until(lambda: daemon.verdict.ready)
            await daemon.gets_on()
            world.server.faults = faults
        world.server.faults = NO_FAULTS
        told = [line for line in daemon.said("waiting", log_level="warning") if says in line["reason"]]
        assert 1 <= len(told) <= 3
        assert all(line["remedy"] for line in told)
        if ending in {"unavailable", "throttled"}:
            assert all(line["again_in"] >= faults.retry_after for line in told)
        await ends_equal(world, daemon)


async def test_a_body_that_breaks_off_within_a_record_again_and_again_loses_nothing(world: World) -> None:
    world.server.faults = Faults(cut=Cut.MID_RECORD, cut_after=60)
    async with following(world.config(source={"overlap": "20ms"})) as daemon:
        world.publish(10 * RATE)
        await daemon.until(lambda: daemon.vitals.disconnects["cut"] >= 5)
        world.server.faults = NO_FAULTS
        await ends_equal(world, daemon)


async def test_frames_that_are_no_records_and_records_too_large_are_set_aside_with_coordinates_and_reason(
    world: World, session: Session
) -> None:
    world.server.faults = Faults(poison_every=9, oversized_every=13, oversized_bytes=600_000)
    async with following(world.config(source={"record_bytes": "500KiB"})) as daemon:
        world.publish(RATE)
        await daemon.until(lambda: daemon.vitals.accounts.set_aside["too_large"] > 10)
        assert not world.publication.done
        # One beside a topic's last record would be taken for the next.
        world.server.faults = NO_FAULTS
        await ends_equal(world, daemon, set_aside=True)
    accounts = daemon.vitals.accounts
    assert accounts.read == world.server.counts.records
    letters = await rows(
        session, 'SELECT source, topic, "offset", reason, payload, payload_sha256, seen FROM dead_letter'
    )
    assert accounts.set_aside.keys() == {"not_json", "too_large"}
    # Two that come for one record's place share a letter.
    assert 20 < sum(seen for *_, seen in letters) <= accounts.set_aside.total()
    for source, topic, offset, reason, payload, digest, _ in letters:
        assert source == SOURCE
        assert 0 <= offset <= world.log.ends[topic]
        assert reason in accounts.set_aside
        assert payload is None
        assert len(digest) == 32


async def _refuse(connection: Connection) -> None:
    await connection.head(403, Content_Type="text/html")
    await connection.end()


@pytest.mark.parametrize(
    ("source", "says", "remedy"),
    [
        ({"streams": ["mediawiki.no_such.v1"]}, "answered 400", "`streams`"),
        ({"datacentres": ["moon"]}, "answered 404", "`datacentres`"),
    ],
    ids=["400", "404"],
)
async def test_a_source_that_refuses_at_first_contact_ends_the_daemon_with_the_remedy(
    world: World, source: dict[str, Any], says: str, remedy: str
) -> None:
    async with following(world.config(source=source)) as daemon:
        with pytest.raises(SourceRefused, match=says) as refused:
            await asyncio.wait_for(daemon.task, DEADLINE)
    assert remedy in refused.value.remedy
    assert refused.value.exit_code == 1
    assert world.server.counts.requests == 1


async def test_a_source_that_forbids_itself_to_a_user_agent_ends_the_program_with_the_remedy(world: World) -> None:
    async with serving(_refuse) as forbidding, Daemon(world.config(source={"url": forbidding.url})) as daemon:
        assert await daemon.end() == 1
    error = daemon.report["error"]
    assert error["kind"] == "SourceRefused"
    assert "answered 403" in error["message"]
    assert "http.contact" in error["remedy"]


# Settings


async def test_without_a_contact_it_does_not_start_and_names_the_key(world: World) -> None:
    config = world.config()
    config.write_text(config.read_text().replace("contact", "# contact"))
    async with Daemon(config) as daemon:
        assert await daemon.end() == 2
    assert [fault["key"] for fault in daemon.report["error"]["faults"]] == ["http.contact"]
    assert world.server.counts.requests == 0


async def test_an_admin_port_in_use_is_told_before_anything_is_read(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        async with Daemon(world.config(admin={"listen": f"127.0.0.1:{port}"})) as daemon:
            assert await daemon.end() == 2
    error = daemon.report["error"]
    assert f"127.0.0.1:{port}: it is in use" in error["message"]
    assert "admin.listen" in error["remedy"]
    assert world.server.counts.requests == 0


# Positions that the source no longer has

OVERLAP = {"overlap": "20ms"}


async def _a_part(world: World) -> Vitals:
    """A daemon reads a first part of the day and ends."""
    world.publish(RATE)
    async with following(world.config(source=OVERLAP)) as daemon:
        await daemon.until(lambda: daemon.source.durable > 100)
        world.publication.pause()
        await daemon.reaches(world.log)
        await daemon.drained()
    return daemon.vitals


async def _lose_canaries(world: World) -> dict[str, int]:
    """Records without news come, and the log forgets all up to them. By topic: where it begins now."""
    log = world.log
    last = log.read(log.end - 1, 1)[1][0].timestamp
    while log.append("codfw.mediawiki.page_change.v1", b'{"meta":{"domain":"canary"}}').timestamp <= last + 50:
        await asyncio.sleep(0.005)  # what is lost was published later than what is read again
    for topics in log.topics_of.values():
        for topic in topics:
            log.append(topic, b'{"meta":{"domain":"canary"}}')
    log.expire(last + 10_000)
    return {topic: log.extent(topic).start for topic in log.ends}


async def _gaps(session: Session) -> dict[str, tuple[int, int | None, str]]:
    """By topic: where the gap begins, where it ends, and why it is there. They are closed by this."""
    async with session.transaction():
        found = await session.fetch("DELETE FROM gap RETURNING topic, from_position, to_position, reason")
    assert len({row["topic"] for row in found}) == len(found)
    return {row["topic"]: (row["from_position"], row["to_position"], row["reason"]) for row in found}


def _told(daemon: Following) -> set[str]:
    """The topics of which a gap was told as an error."""
    return {line["lane"].split()[1].partition("[")[0] for line in daemon.said("gap", log_level="error")}


async def test_a_stretch_that_the_source_no_longer_has_is_a_gap_that_is_told_and_reading_goes_on(
    world: World, session: Session
) -> None:
    before = await _a_part(world)
    held = await positions(session)
    begins = await _lose_canaries(world)
    async with following(world.config(source=OVERLAP)) as daemon:
        await world.published()
        await daemon.reaches(world.log)
        gaps = await _gaps(session)
        await ends_equal(world, daemon, before)
    assert len(gaps) >= 4
    assert gaps == {topic: (held[topic], begins[topic], "jump") for topic in gaps}
    assert _told(daemon) == set(gaps)


async def test_a_position_older_than_the_source_keeps_is_a_gap_that_is_told_and_reading_goes_on(
    world: World, session: Session
) -> None:
    before = await _a_part(world)
    held = await positions(session)
    newest = world.log.read(world.log.end - 1, 1)[1][0].timestamp
    # Dates in HTTP are in whole seconds.
    while time.time() * 1000 <= newest + 2000:
        await asyncio.sleep(0.05)
    async with following(world.config(source={**OVERLAP, "retention": "1s"})) as daemon:
        await daemon.until(lambda: len(_told(daemon)) == len(held))
        await world.published()
        await daemon.reaches(world.log)
        gaps = await _gaps(session)
        await ends_equal(world, daemon, before)
    assert gaps == {topic: (position, None, "retention") for topic, position in held.items()}
    assert _told(daemon) == set(held)


async def test_where_a_gap_must_halt_it_ends_with_the_remedy_and_the_positions_stay(
    world: World, session: Session
) -> None:
    await _a_part(world)
    held = await positions(session)
    await _lose_canaries(world)
    async with Daemon(world.config(source={**OVERLAP, "on_gap": "halt"})) as daemon:
        await daemon.line("reading")
        await world.published()
        assert await daemon.end() == 1
    error = daemon.report["error"]
    assert error["kind"] == "GapFound"
    assert 'on_gap = "continue"' in error["remedy"]
    assert await positions(session) == held
    assert await _gaps(session) == {}
