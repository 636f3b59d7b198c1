"""What a running daemon makes of the bytes that a broker holds: every codec, records that are too large, damage."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.kafka.admin import produce
from tests.kafka.endings import QUICK, ends_equal, ends_of, send_to
from tests.kafka.world import KafkaWorld, serve_kafka
from tests.live.daemon import Daemon
from tests.live.probes import until_answers
from tests.live.truth import durable_places, places
from tests.live.world import SOURCE, a_day
from tests.statements import run
from wikimirror.mirror.connect import connect
from wikimirror.rehearsal.broker import KafkaBroker

SEED, ACTIONS = 36, 400
CODECS: Final = ("gzip", "snappy", "lz4", "zstd", None)
LARGE: Final = 512 * 2**10
"""Bytes: more than any record of a day has."""
_BATCH: Final = struct.Struct(">qi")
"""How a batch in a segment file begins: its first offset, and how many bytes follow this."""
_LAST_OFFSET: Final = struct.Struct(">i")
_LAST_OFFSET_AT: Final = 23


class Batch(NamedTuple):
    """A record batch in a segment file, by the offsets of its records and its place in bytes."""

    begin: int
    end: int
    start: int
    stop: int


@pytest.fixture
async def world(frail_broker: KafkaBroker, database_url: str, tmp_path: Path) -> AsyncIterator[KafkaWorld]:
    day = a_day(SEED, ACTIONS)
    async with serve_kafka(day, frail_broker.bootstrap, database_url, tmp_path, partitions=1) as served:
        yield served


async def test_a_topic_in_which_batches_of_every_codec_lie_is_applied(world: KafkaWorld) -> None:
    (topic, *_), part = world.topics.names, len(world.day.arrivals) // len(CODECS) + 1
    for number, codec in enumerate(CODECS):
        records = world.day.arrivals[number * part : (number + 1) * part]
        await send_to(world.bootstrap, topic, records, compression_type=codec)
    async with Daemon(world.config(source=QUICK)) as daemon:
        await ends_equal(world, daemon, ends=await ends_of(world.bootstrap, topic))


async def test_a_record_that_is_larger_than_record_bytes_is_set_aside_with_its_coordinates_and_the_rest_is_applied(
    world: KafkaWorld,
) -> None:
    assert max(len(each.value or b"") for each in world.day.arrivals) < LARGE
    topic, half = world.topics.names[0], len(world.day.arrivals) // 2
    await world.topics.send(world.day.arrivals[:half])
    await produce(world.bootstrap, topic, [(0, b"large", b"{" + b" " * LARGE + b"}", 1)])
    offset = (await ends_of(world.bootstrap, topic))[topic, 0] - 1
    await world.topics.send(world.day.arrivals[half:])
    async with Daemon(world.config(source={**QUICK, "record_bytes": LARGE})) as daemon:
        await ends_equal(world, daemon, set_aside=True, ends={**world.ends, **await ends_of(world.bootstrap, topic)})
    async with await connect(world.database_url) as session, session.transaction():
        rows = await session.fetch('SELECT topic, partition, "offset", payload IS NULL FROM dead_letter')
    assert [tuple(row) for row in rows] == [(topic, 0, offset, True)]


async def test_a_damaged_batch_is_told_with_its_place_and_reading_goes_on_after_a_position_was_set_past_it(
    frail_broker: KafkaBroker, world: KafkaWorld
) -> None:
    topic = world.topics.names[0]
    sent = world.day.arrivals
    for number in range(3):
        await send_to(world.bootstrap, topic, sent[number::3], compression_type="lz4")
    await frail_broker.stop()
    damaged = damage(frail_broker, topic)
    await frail_broker.start()
    async with Daemon(world.config(source=QUICK)) as daemon:
        line = await daemon.line("waiting", waiting_for="source", level="warning")
        assert f"{SOURCE} {topic}[0]@{damaged.begin}" in line["reason"]
        assert line["remedy"]
        await until_answers(daemon, "/readyz", 503, "waits for source")
        await durable_places(world.database_url, {(topic, 0): damaged.begin})
        await world.topics.send(sent)
        others = {place: end for place, end in world.ends.items() if place[0] != topic}
        await durable_places(world.database_url, others)
        assert await daemon.stop() == 0
    async with await connect(world.database_url) as session:
        assert (await places(session))[topic, 0] == damaged.begin
    await run(
        world.database_url,
        f"UPDATE wikimirror.checkpoint SET position = {damaged.end} WHERE topic = '{topic}' AND partition = 0",
    )
    async with Daemon(world.config(source=QUICK)) as daemon:
        await ends_equal(world, daemon, ends=await ends_of(world.bootstrap, *world.topics.names))


def damage(broker: KafkaBroker, topic: str) -> Batch:
    """Flip a bit in the midst of a topic's only partition. The broker must have been stopped in good order: after a
    crash it would look for damage, and cut the log off there."""
    (segment,) = (broker.directory / "data" / f"{topic}-0").glob("*.log")
    content = bytearray(segment.read_bytes())
    batches = list[Batch]()
    while (start := batches[-1].stop if batches else 0) < len(content):
        begin, size = _BATCH.unpack_from(content, start)
        (last,) = _LAST_OFFSET.unpack_from(content, start + _LAST_OFFSET_AT)
        batches.append(Batch(begin, begin + last + 1, start, start + _BATCH.size + size))
    found = batches[len(batches) // 2]
    assert found.begin > 0, "there is no batch before it"
    content[found.stop - 1] ^= 1
    segment.write_bytes(content)
    return found
