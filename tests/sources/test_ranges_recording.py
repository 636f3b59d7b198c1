"""Reading stretches of captures again, and the sources that ranges are read of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path

import pytest

from tests.wire.records import page_change
from wikimirror.app.ranges import range_source, recordings
from wikimirror.errors import ConfigurationError
from wikimirror.model import Coordinates, Lane, Lost, Position, Record
from wikimirror.settings import Settings
from wikimirror.sources.base import position_after
from wikimirror.sources.eventstreams_ranges import EventStreamsRanges
from wikimirror.sources.kafka.ranges import KafkaRanges
from wikimirror.sources.ranges import Bound, Done, Range, RangeSource, read_one
from wikimirror.wire.times import microseconds

SECOND = 1_000_000
NOON = microseconds("2026-09-27T12:00:00Z")
DAY = Lane("capture", "day.ndjson", 0)


def record(second: int | None) -> bytes:
    """Published so many seconds after noon; None: it cannot be read."""
    if second is None:
        return b"{}"
    said = page_change()
    said["meta"]["dt"] = f"2026-09-27T12:00:{second:02}Z"
    return json.dumps(said).encode()


def capture(directory: Path, *seconds: int | None, name: str = "day.ndjson") -> Path:
    path = directory / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(record(each) + b"\n" for each in seconds))
    return path


def ranges_of(*files: Path) -> RangeSource:
    return range_source(Settings(), "capture", files)


def instant(second: float) -> Bound:
    return Bound(time=NOON + int(second * SECOND))


async def resolved(source: RangeSource, start: Bound, end: Bound | None = None) -> dict[Lane, Range]:
    return await source.resolve(start, end, topics=(), partitions=())


async def all_of(source: RangeSource, ranges: Mapping[Lane, Range]) -> list[Record | Lost | Done]:
    async with aclosing(source.read(ranges)) as items:
        return [item async for item in items]


async def offsets(source: RangeSource, ranges: Mapping[Lane, Range]) -> list[int]:
    """Of one file."""
    *records, done = await all_of(source, ranges)
    assert [done] == [Done(lane) for lane in ranges]
    assert all(isinstance(each, Record) and not each.again for each in records)
    found = [each.at.offset for each in records if isinstance(each, Record)]
    assert await source.total(ranges) == len(found)
    return found


async def test_a_range_by_offsets_is_read_from_its_first_to_before_its_end(tmp_path: Path) -> None:
    source = ranges_of(capture(tmp_path, *range(20)))

    assert await offsets(source, await resolved(source, Bound(offset=5), Bound(offset=9))) == [5, 6, 7, 8]
    assert await offsets(source, await resolved(source, Bound(offset=18), Bound(offset=900))) == [18, 19]
    assert await offsets(source, await resolved(source, Bound(offset=18))) == [18, 19]
    assert await offsets(source, await resolved(source, Bound(offset=5), Bound(offset=5))) == []


async def test_a_range_by_time_has_what_was_published_at_its_start_and_not_what_was_at_its_end(tmp_path: Path) -> None:
    source = ranges_of(capture(tmp_path, 10, 20, 20, 40, 30, 40, 21))

    assert await offsets(source, await resolved(source, instant(20), instant(40))) == [1, 2, 4, 6]
    assert await offsets(source, await resolved(source, instant(20.5), instant(40.5))) == [3, 4, 5, 6]
    assert await offsets(source, await resolved(source, Bound(offset=2), instant(40))) == [2, 4, 6]
    assert await offsets(source, await resolved(source, instant(50))) == []


async def test_a_record_that_tells_no_time_goes_with_the_one_before_it(tmp_path: Path) -> None:
    source = ranges_of(capture(tmp_path, None, 10, None, 20, None, None, 30, None))

    assert await offsets(source, await resolved(source, instant(20), instant(30))) == [3, 4, 5]
    assert await offsets(source, await resolved(source, Bound(offset=0), instant(20))) == [0, 1, 2]
    assert await offsets(source, {DAY: Range(Position(5, NOON + 20 * SECOND), end_time=NOON + 30 * SECOND)}) == [5]


async def test_it_goes_on_in_the_middle_from_the_position_reached(tmp_path: Path) -> None:
    source = ranges_of(capture(tmp_path, *range(20)))
    ranges = await resolved(source, instant(3), instant(15))
    async with aclosing(source.read(ranges)) as items:
        first = await anext(items)
    assert isinstance(first, Record)

    reached = {DAY: ranges[DAY]._replace(start=position_after(first))}
    assert await offsets(source, reached) == [*range(4, 15)]


async def test_files_are_lanes_that_can_be_chosen_and_are_read_in_their_order(tmp_path: Path) -> None:
    late, early = capture(tmp_path, 1, 2, name="z.ndjson"), capture(tmp_path, 3, name="a.ndjson")
    source = ranges_of(late, early)
    z, a = (Lane("capture", path.name, 0) for path in (late, early))

    ranges = await resolved(source, Bound(offset=0))
    assert [item.at if isinstance(item, Record) else item for item in await all_of(source, ranges)] == [
        Coordinates(*z, 0),
        Coordinates(*z, 1),
        Done(z),
        Coordinates(*a, 0),
        Done(a),
    ]
    assert await source.total(ranges) == 3
    assert (await source.resolve(Bound(offset=0), None, topics=["a.ndjson"], partitions=[0])).keys() == {a}
    with pytest.raises(ConfigurationError, match=r"has no topic b\.ndjson"):
        await source.resolve(Bound(offset=0), None, topics=["b.ndjson"], partitions=())
    with pytest.raises(ConfigurationError, match="has no partition 1"):
        await source.resolve(Bound(offset=0), None, topics=(), partitions=[1])


async def test_one_record_is_read_again_with_its_own_coordinates(tmp_path: Path) -> None:
    source = ranges_of(capture(tmp_path, *range(20)))

    found = await read_one(source, DAY, 7, 0)
    assert found is not None
    assert (found.at, found.value) == (Coordinates(*DAY, 7), record(7))
    assert await read_one(source, DAY, 20, 0) is None
    with pytest.raises(ConfigurationError, match=r"night\.ndjson\[0\] is in none of the captures") as wrong:
        await read_one(source, DAY._replace(topic="night.ndjson"), 7, 0)
    assert "--file" in wrong.value.remedy


async def test_a_file_that_is_gone_by_then_is_told(tmp_path: Path) -> None:
    path = capture(tmp_path, *range(20))
    source = ranges_of(path)
    ranges = await resolved(source, Bound(offset=0))
    path.unlink()

    with pytest.raises(ConfigurationError, match="no such file"):
        await all_of(source, ranges)
    with pytest.raises(ConfigurationError, match="no such file"):
        await resolved(source, Bound(offset=0))


def test_captures_need_files_and_only_they_take_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no capture is named") as wrong:
        ranges_of()
    assert "--file" in wrong.value.remedy
    with pytest.raises(ConfigurationError, match="no such file"):
        ranges_of(tmp_path / "missing")
    with pytest.raises(ConfigurationError, match="does not read files"):
        range_source(Settings(), "wiki", [capture(tmp_path, 1)])


def test_two_files_of_one_name_are_two_lanes(tmp_path: Path) -> None:
    files = [capture(tmp_path / day, 1) for day in ("monday", "tuesday")]

    assert [each.partition.topic for each in recordings(files)] == [str(path) for path in files]


def test_a_source_is_read_as_its_settings_say() -> None:
    settings = Settings.model_validate(
        {
            "http": {"contact": "ops@example.org"},
            "sources": {
                "wiki": {"type": "eventstreams"},
                "ours": {"type": "kafka", "bootstrap_servers": ["localhost:9"], "topics": ["pages"]},
            },
        }
    )

    assert isinstance(found := range_source(settings, "wiki"), EventStreamsRanges)
    assert found.name == "wiki"
    assert isinstance(found := range_source(settings, "ours"), KafkaRanges)
    assert found.name == "ours"
    with pytest.raises(ConfigurationError, match="there is no source theirs") as wrong:
        range_source(settings, "theirs")
    assert wrong.value.remedy == "Name one of these: wiki, ours, capture."
