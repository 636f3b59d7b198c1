"""What was not read: a log that begins after the position, and changes that a position was set past."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.kafka.admin import move_log_start
from tests.kafka.world import serve_kafka
from tests.live.daemon import Daemon
from tests.live.program import wikimirror
from tests.live.truth import durable
from tests.live.world import SOURCE, World, a_day
from tests.runbooks.conftest import ACTIONS, SEED
from tests.runbooks.shift import opened
from tests.runbooks.staging import RATE, changes_of, config_of, fetch, until
from wikimirror.app.demo import expected_of
from wikimirror.mirror.connect import connect
from wikimirror.ops.compare import compare
from wikimirror.rehearsal import Day, publish_canaries
from wikimirror.settings import Settings

TOPIC = "eqiad.mediawiki.page_change.v1"
CONTENT = "eqiad.mediawiki.page_content_change.v1"


async def test_records_that_kafka_deleted_before_they_were_read_are_filled_in_from_a_capture(
    kafka: str, database_url: str, tmp_path: Path
) -> None:
    day = a_day(SEED, ACTIONS)
    async with serve_kafka(day, kafka, database_url, tmp_path, partitions=1) as world:
        config = config_of(world)
        async with Daemon(config) as daemon:
            world.publish()
            world.publication.hold(0.3)
            await daemon.line("durable")
            await until(database_url, "SELECT 1 FROM checkpoint WHERE topic LIKE $1 AND position > 10", f"%{CONTENT}")
            assert await daemon.stop() == 0
        world.publication.hold()
        await world.published()
        published = datetime.now(UTC)
        topic = world.topics.name_of(CONTENT)
        ((position,),) = await fetch(database_url, "SELECT position FROM checkpoint WHERE topic = $1", topic)
        await move_log_start(kafka, topic, 0, world.ends[topic, 0] - 5)
        capture = tmp_path / "archive.ndjson"
        capture.write_bytes(b"\n".join(archived(day, CONTENT, published)))
        async with Daemon(config) as daemon:
            ((gap, since),) = await until(database_url, "SELECT gap_id, from_position FROM gap")
            assert since == position
            await world.durable()
            known = {"ID": gap, "FILE": capture, "UNTIL": datetime.now(UTC).isoformat()}
            async with opened("WikimirrorGapOpen", config, known) as shift:
                await shift.rest("Diagnosis")
                await shift.rest("Mitigation")
                await shift.rest("Verify recovery")
            assert await daemon.stop() == 0
        await must_be_as(day, database_url)


async def test_a_page_whose_changes_a_position_was_set_past_is_mended_by_reading_them_again(world: World) -> None:
    config = config_of(world)
    async with Daemon(config) as daemon:
        world.publish(RATE)
        await world.published()
        await durable(world.database_url, world.log.ends)
        assert await daemon.stop() == 0
    since = datetime.now(UTC) - timedelta(seconds=1)
    wiki, page, rev = edit_beside(world)
    canaries = publish_canaries(world.log, 0.2)
    # A new connection reads a little of what was before again: it must not reach the edit.
    while datetime.now(UTC) < since + timedelta(seconds=3):
        await asyncio.sleep(0.05)
    now = datetime.now(UTC).isoformat()
    code, _ = await wikimirror("checkpoints", "set", SOURCE, TOPIC, "--to", now, "--yes", "--config", str(config))
    assert code == 0
    known = {"SOURCE": SOURCE, "WIKI": wiki, "PAGE": page, "SINCE": since.isoformat()}
    async with Daemon(config) as daemon, opened("WikimirrorPagesDivergent", config, known) as shift:
        await daemon.line("durable")
        said = await shift.step("Diagnosis")
        assert str(rev) not in said
        await shift.rest("Diagnosis")
        await shift.rest("Mitigation")
        said = await shift.step("Verify recovery")
        assert str(rev) in said
        await shift.rest("Verify recovery")
        canaries.cancel()
        assert await daemon.stop() == 0


async def must_be_as(day: Day, database_url: str) -> None:
    """The mirror is what the day's truth says, and holds nothing that was removed."""
    async with await connect(database_url) as session:
        found = await compare(session, expected_of(Settings.model_construct(), day.truth))
    assert found.differences == [], found.differences[:5]
    assert found.forbidden_found == 0


def archived(day: Day, topic: str, published: datetime) -> Iterator[bytes]:
    """A topic's records as an archive has them, with the time at which the source took them in."""
    for each in day.arrivals:
        if each.topic == topic and each.value is not None:
            record = json.loads(each.value)
            record["meta"]["dt"] = f"{published:%Y-%m-%dT%H:%M:%S.%fZ}"
            yield json.dumps(record, separators=(",", ":")).encode()


def edit_beside(world: World) -> tuple[str, int, int]:
    """One more edit of a page, after all others. Gives its wiki, page and revision."""
    *_, (_, record) = changes_of(world.day, "edit")
    record["revision"] |= {"rev_id": record["revision"]["rev_id"] + 10**6, "rev_dt": "2026-11-21T12:00:00Z"}
    record["meta"] |= {"id": "00000000-0000-4000-8000-000000000001", "dt": "2026-11-21T12:00:01Z"}
    record["dt"] = "2026-11-21T12:00:00Z"
    world.log.append(TOPIC, json.dumps(record, separators=(",", ":")).encode())
    return record["wiki_id"], record["page"]["page_id"], record["revision"]["rev_id"]
