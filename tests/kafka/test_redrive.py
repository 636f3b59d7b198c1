"""Letters whose records are read again from Kafka, beside a daemon that goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.kafka.admin import create_topic, delete_topic, move_log_start, produce
from tests.kafka.endings import ends_of
from tests.kafka.world import KafkaWorld, serve_kafka
from tests.live.daemon import Daemon
from tests.live.program import wikimirror
from tests.live.truth import durable_places
from tests.live.world import a_day
from tests.mirror.lanes import rows, value
from tests.statements import run
from wikimirror.mirror.connect import Session

SEED, ACTIONS = 41, 1500
RULE: Final = "the_house_rule"
FORBID: Final = f"ALTER TABLE wikimirror.page ADD CONSTRAINT {RULE} CHECK (page_id % 5 <> 0) NOT VALID"
MEND: Final = f"ALTER TABLE wikimirror.page DROP CONSTRAINT {RULE}"
FORGET: Final = "UPDATE wikimirror.dead_letter SET payload = NULL"
ODD: Final = [b"{not json", b"{}"]
LARGE: Final = 64 * 2**10


@pytest.fixture
async def world(kafka: str, database_url: str, tmp_path: Path) -> AsyncIterator[KafkaWorld]:
    async with serve_kafka(a_day(SEED, ACTIONS), kafka, database_url, tmp_path) as served:
        yield served


async def redrive(world: KafkaWorld, *arguments: str, **sections: Any) -> tuple[int, Any]:
    return await wikimirror("dead-letters", "redrive", *arguments, "--config", str(world.config(**sections)))


async def test_what_a_rule_refused_is_read_again_while_the_daemon_goes_on_and_the_mirror_ends_as_the_wiki_is(
    world: KafkaWorld, session: Session
) -> None:
    await run(world.database_url, FORBID)
    async with Daemon(world.config()) as daemon:
        await daemon.line("reading")
        world.publish(rate=60)
        while await value(session, "SELECT count(*) FROM dead_letter") < 20:
            assert not world.publication.done
            await asyncio.sleep(0.02)
        # Every record comes from Kafka: also what could be had from a payload.
        await run(world.database_url, MEND, FORGET)
        first = await value(session, "SELECT count(*) FROM dead_letter")
        code, tried = await redrive(world, "--all", "--dry-run")
        assert code == 0
        assert tried["counts"].keys() <= {"applied", "stale"}
        assert not world.publication.done, "nothing went on beside"
        code, done = await redrive(world, "--all")
        assert (code, sum(done["counts"].values())) == (0, first)
        assert done["counts"].keys() <= {"applied", "stale"}
        assert done["counts"]["applied"] > 10
        await world.published()
        await world.durable()
        assert await daemon.stop() == 0
    await world.must_equal()


async def _staged(world: KafkaWorld, session: Session, values: list[bytes], **source: Any) -> str:
    """The daemon sets these aside and ends; the topic that they are in."""
    topic = world.topics.names[0]
    await produce(world.bootstrap, topic, [(0, None, each, 1_700_000_000_000) for each in values])
    async with Daemon(world.config(source=source)) as daemon:
        await durable_places(world.database_url, await ends_of(world.bootstrap, topic))
        assert await daemon.stop() == 0
    assert await value(session, "SELECT count(*) FROM dead_letter") == len(values)
    return topic


async def test_a_record_that_still_cannot_be_read_stays_with_its_reason(world: KafkaWorld, session: Session) -> None:
    await _staged(world, session, ODD)
    code, report = await redrive(world, "--all")
    assert code == 3
    assert [(each["outcome"], each["why"]) for each in report["letters"]] == [
        ("still_fails", "not_json"), ("still_fails", "unknown_dialect"),
    ]  # fmt: skip
    assert await rows(session, "SELECT seen FROM dead_letter") == [(2,), (2,)]


async def test_a_record_that_was_too_large_is_had_once_the_limit_is_raised(world: KafkaWorld, session: Session) -> None:
    await _staged(world, session, [b"{" + b" " * LARGE + b"}"], record_bytes=LARGE)
    code, report = await redrive(world, "--all", source={"record_bytes": LARGE})
    assert code == 1
    assert "record_bytes" in report["letters"][0]["why"]
    code, report = await redrive(world, "--all")
    assert code == 3
    assert report["letters"][0]["why"] == "unknown_dialect"
    assert await value(session, "SELECT reason FROM dead_letter") == "unknown_dialect"


async def test_a_record_that_kafka_has_deleted_is_told_as_such_and_its_letter_stays(
    world: KafkaWorld, session: Session
) -> None:
    topic = await _staged(world, session, ODD)
    await move_log_start(world.bootstrap, topic, 0, 1)
    code, report = await redrive(world, "--all", "--dry-run")
    assert code == 1
    assert [each["outcome"] for each in report["letters"]] == ["unavailable", "still_fails"]
    assert "does not have it any more" in report["letters"][0]["why"]
    assert await value(session, "SELECT count(*) FROM dead_letter WHERE seen = 1") == 2


async def test_another_record_at_the_same_offset_is_not_applied(world: KafkaWorld, session: Session) -> None:
    topic = await _staged(world, session, ODD)
    await delete_topic(world.bootstrap, topic)
    await create_topic(world.bootstrap, topic, 4)
    edits = [each.value for each in world.day.arrivals if each.value is not None]
    await produce(world.bootstrap, topic, [(0, None, each, 1_700_000_000_000) for each in edits[:2]])
    code, report = await redrive(world, "--all")
    assert code == 1
    assert all("another record there now" in each["why"] for each in report["letters"])
    assert await value(session, "SELECT count(*) FROM change") == 0
