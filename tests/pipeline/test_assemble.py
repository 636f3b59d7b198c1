"""What a batch is put together from: which dialect a topic's records are read in, and how far each lane gets."""

from __future__ import annotations

from typing import Any

from tests.wire.records import page_change, record, visibility_change
from wikimirror.merge.scope import Scope
from wikimirror.mirror.checkpoints import Held
from wikimirror.model import Advance, Coordinates, Kind, Lane, Position, Record
from wikimirror.pipeline.assemble import Assembler

PAGES = Lane("jumbo", "acme.pages", 0)
STUBS = Lane("jumbo", "acme.stubs", 1)
NOON = 1_800_000_000_000_000


def assembler(**dialects: str) -> Assembler:
    held = {PAGES: Held(4, 10), STUBS: Held(6, 20)}
    topics = {f"acme.{name}": dialect for name, dialect in dialects.items()}
    return Assembler(held, Scope(), records=500, size=10**6, dialects=topics)


def at(lane: Lane, offset: int, value: dict[str, Any] | None = None, *, again: bool = False) -> Record:
    found = record(value, Coordinates(*lane, offset))
    return Record(found.at, found.value, found.received, NOON + offset, again)


def unnamed(value: dict[str, Any]) -> dict[str, Any]:
    """The record without `$schema` and with a stream of its own."""
    told = {name: part for name, part in value.items() if name != "$schema"}
    return {**told, "meta": {**value["meta"], "stream": "acme"}}


def test_records_that_do_not_tell_their_dialect_are_read_in_that_of_their_topic() -> None:
    stub, page = unnamed(visibility_change()), unnamed(page_change("delete"))
    assembled = assembler(pages="page_change", stubs="visibility_change")
    assembled.add(at(STUBS, 20, stub))
    assembled.add(at(PAGES, 10, page))
    assembled.add(at(PAGES, 11, stub))
    batch, _, read = assembled.take()

    assert read == 3
    assert [entry.change.kind for entry in batch.entries] == [Kind.REVISION_VISIBILITY, Kind.DELETE]
    assert [unread.error.reason for unread in batch.unread] == ["missing_field"]


def test_each_lane_advances_past_its_last_record_and_not_for_one_read_again() -> None:
    assembled = assembler()
    for lane, offset in ((PAGES, 10), (STUBS, 20), (PAGES, 11)):
        assembled.add(at(lane, offset))
    assembled.add(at(STUBS, 3, again=True))

    assert assembled.take()[0].advances == (
        Advance(PAGES, 4, 10, *Position(12, NOON + 11)),
        Advance(STUBS, 6, 20, *Position(21, NOON + 20)),
    )
    assembled.add(at(PAGES, 3, again=True))
    assert assembled.take()[0].advances == (Advance(PAGES, 4, 12, 12),)
