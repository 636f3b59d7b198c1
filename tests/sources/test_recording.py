"""Capture files as a source."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import random
import tracemalloc
from collections.abc import Iterator
from contextlib import aclosing
from itertools import count
from pathlib import Path

import pytest

from wikimirror.errors import ConfigurationError, UnreadableRecord
from wikimirror.model import Coordinates, Lane, Position, Record
from wikimirror.sources import Recording, Source, lane_of, position_after
from wikimirror.wire import Reason, decode

VALUES = [json.dumps({"meta": {"topic": "eqiad.x", "offset": 900 + n}, "n": n}).encode() for n in range(1500)]
NDJSON = b"".join(value + b"\n" for value in VALUES)


def recording(path: Path, content: bytes) -> Recording:
    path.write_bytes(content)
    ticks = count(1_000)
    return Recording(path, lambda: next(ticks))


async def read_all(source: Source, positions: dict[Lane, Position] | None = None) -> list[Record]:
    return [record async for record in source.read(positions or {}) if isinstance(record, Record)]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def random_text(size: int) -> bytes:
    """Text that does not compress to nothing."""
    return random.Random(7).randbytes(size // 2).hex().encode()


async def test_coordinates_are_the_files_own(tmp_path: Path) -> None:
    records = await read_all(recording(tmp_path / "day.ndjson", NDJSON))

    assert [record.value for record in records] == VALUES
    assert [record.at for record in records] == [Coordinates("capture", "day.ndjson", 0, n) for n in range(1500)]
    assert [record.received for record in records] == list(range(1_000, 2_500))


async def test_reading_goes_on_at_the_position_it_is_given(tmp_path: Path) -> None:
    source = recording(tmp_path / "day.ndjson", NDJSON)
    last = (await read_all(source))[999]

    rest = await read_all(source, {lane_of(last.at): position_after(last)})

    assert source.partition == lane_of(last.at)
    assert [record.value for record in rest] == VALUES[1000:]


async def test_two_files_of_one_name_can_have_two_topics(tmp_path: Path) -> None:
    path = tmp_path / "day.ndjson"
    path.write_bytes(NDJSON)

    records = await read_all(Recording(path, lambda: 0, topic="monday/day.ndjson"))

    assert records[0].at == Coordinates("capture", "monday/day.ndjson", 0, 0)


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("padding", [b"", b"\x00" * 700])
async def test_a_gzipped_file_is_read_whatever_its_name(tmp_path: Path, members: int, padding: bytes) -> None:
    third = len(NDJSON) // members + 1
    packed = b"".join(gzip.compress(NDJSON[at : at + third]) for at in range(0, len(NDJSON), third))

    records = await read_all(recording(tmp_path / "day.txt", packed + padding))

    assert [record.value for record in records] == VALUES


async def test_a_truncated_gzip_gives_all_that_is_whole_and_then_a_clear_error(tmp_path: Path) -> None:
    values = [b'{"n": "%b"}' % random_text(200) for _ in range(5000)]
    packed = gzip.compress(b"\n".join(values) + b"\n", 1)
    source = recording(tmp_path / "day.gz", packed[: len(packed) // 2])
    read: list[bytes | None] = []

    async def read_on() -> None:
        async for record in source.read({}):
            read.append(record.value)  # noqa: PERF401 - what is read before the failure counts

    with pytest.raises(ConfigurationError, match="ends in the middle of its gzip data") as caught:
        await read_on()

    assert read
    assert read == values[: len(read)]
    assert f"after {len(read)} whole records" in str(caught.value)
    assert caught.value.remedy
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("cut", range(1, 30))
def test_every_truncation_of_a_small_gzip_is_noticed(tmp_path: Path, cut: int) -> None:
    packed = gzip.compress(b'{"n": 1}\n{"n": 2}\n')
    source = recording(tmp_path / "day.gz", packed[:-cut])

    with pytest.raises(ConfigurationError, match="gzip"):
        list(source.records())


@pytest.mark.parametrize("damage", ["body", "after"])
def test_a_damaged_gzip_is_told(tmp_path: Path, damage: str) -> None:
    packed = gzip.compress(NDJSON)
    middle = len(packed) // 2
    broken = packed[:middle] + b"\xff" * 40 + packed[middle + 40 :] if damage == "body" else packed + b"more"

    with pytest.raises(ConfigurationError, match="gzip"):
        list(recording(tmp_path / "day.gz", broken).records())


def test_a_missing_file_is_told_with_what_to_do(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path / "day" / "none", Path("a\x00b")):
        with pytest.raises(ConfigurationError, match="no such file") as caught:
            Recording(path, lambda: 0).require_readable()
        assert caught.value.remedy == "Check the path."


async def test_a_directory_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is a directory") as caught:
        await read_all(Recording(tmp_path, lambda: 0))

    assert caught.value.remedy == "Name the files in it."


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything: unreadable files were NOT tried")
def test_an_unreadable_file_is_told_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "day.ndjson"
    path.write_bytes(NDJSON)
    path.chmod(0)

    with pytest.raises(ConfigurationError, match="may not be read"):
        Recording(path, lambda: 0).require_readable()


def test_a_file_that_is_there_is_readable(tmp_path: Path) -> None:
    recording(tmp_path / "day.ndjson", b"").require_readable()


async def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    assert await read_all(recording(tmp_path / "day.ndjson", b"")) == []


async def test_closing_the_iterator_stops_the_reading_and_closes_the_file(tmp_path: Path) -> None:
    source = recording(tmp_path / "day.ndjson", NDJSON)
    before = open_files()

    async with aclosing(source.read({})) as records:
        async for record in records:
            assert record.at.offset == 0
            break

    assert open_files() == before


async def test_cancelling_the_reading_is_safe(tmp_path: Path) -> None:
    source = recording(tmp_path / "day.ndjson", NDJSON * 20)
    started = asyncio.Event()

    async def consume() -> None:
        async for _ in source.read({}):
            started.set()

    task = asyncio.create_task(consume())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def many_megabytes(path: Path) -> Iterator[int]:
    """Write a gzipped file of one-kilobyte records, 64 MB of them when unpacked."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(64):
            file.write((b'{"n": "' + b"x" * 1000 + b'"}\n') * 1000)
            yield 1000


def test_memory_is_bounded_whatever_the_size_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "long.gz"
    written = sum(many_megabytes(path))

    tracemalloc.start()
    try:
        read = sum(1 for _ in Recording(path, lambda: 0).records())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert read == written
    assert peak < 4 * 2**20


def test_a_record_of_twenty_megabytes_is_read_whole_and_a_larger_one_is_refused_as_too_large(tmp_path: Path) -> None:
    largest = b'{"a": "' + b"x" * (20 * 2**20 - 9) + b'"}'
    larger = b'{"a": "' + b"x" * (50 * 2**20) + b'"}'
    one, two, three = recording(tmp_path / "day.ndjson", largest + b"\n" + larger + b"\n" + VALUES[0]).records()

    assert (one.value, three.value) == (largest, VALUES[0])
    assert reason_of(one) == Reason.UNKNOWN_DIALECT
    assert reason_of(two) == Reason.TOO_LARGE


def reason_of(record: Record) -> str:
    with pytest.raises(UnreadableRecord) as caught:
        decode(record)
    return caught.value.reason
