"""Whole days of the simulated wikis, whatever their order: no difference from the wikis' own truth."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from functools import cache
from pathlib import Path

import pytest

from wikimirror.app.demo import expected_of
from wikimirror.mirror.connect import Session
from wikimirror.model import Coordinates, Lane, Record
from wikimirror.ops.compare import Expected, compare
from wikimirror.ops.play import play, play_records
from wikimirror.ops.reports import PlayReport, no_progress
from wikimirror.rehearsal import WIKIS, day_to_ndjson, simulate_day
from wikimirror.settings import ScopeSettings, Settings, load
from wikimirror.sources import Recording

ACTIONS = 2000


def settings() -> Settings:
    return load().model_copy(update={"scope": ScopeSettings(wikis=WIKIS)})


@cache
def rehearsal(seed: int) -> tuple[list[Record], Expected]:
    """A day's records, and what the mirror must be after them."""
    day = simulate_day(seed, ACTIONS, out_of_scope=True)
    records = [
        Record(Coordinates("rehearsal", each.topic, each.partition, each.offset), each.value, 0)
        for each in day.arrivals
    ]
    return records, expected_of(settings(), day.truth)


async def play_all(session: Session, records: Sequence[Record]) -> PlayReport:
    """Play them in the order given; each lane's positions run with its own reading."""
    lanes = {Lane(at.source, at.topic, at.partition) for at in (record.at for record in records)}

    async def each() -> AsyncIterator[Record]:
        for record in records:
            yield record

    report = await play_records(session, each(), sorted(lanes), settings(), no_progress)
    assert report.unaccounted == 0
    assert report.set_aside == {}
    return report


async def must_be_true(session: Session, seed: int) -> None:
    found = await compare(session, rehearsal(seed)[1])
    assert found.differences == []
    assert found.forbidden_found == 0
    assert found.compared["page"] > 100


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_day_in_order_of_arrival_then_again_shuffled_is_the_truth(session: Session, seed: int) -> None:
    records = list(rehearsal(seed)[0])
    await play_all(session, records)
    await must_be_true(session, seed)
    random.Random(seed).shuffle(records)
    assert not (await play_all(session, records)).applied
    await must_be_true(session, seed)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_day_shuffled_at_once_is_the_truth(session: Session, seed: int) -> None:
    records = list(rehearsal(seed)[0])
    random.Random(seed).shuffle(records)
    await play_all(session, records)
    await must_be_true(session, seed)


async def test_captures_played_twice_change_nothing_the_second_time(any_session: Session, tmp_path: Path) -> None:
    lines = list(day_to_ndjson(simulate_day(4, 400)))
    paths = [tmp_path / "one.ndjson", tmp_path / "other.ndjson"]
    for path, part in zip(paths, (lines[::2], lines[1::2]), strict=True):
        path.write_bytes(b"".join(part))
    for number in range(2):
        recordings = [Recording(path, lambda: 1_790_900_000_000_000) for path in paths]
        report = await play(any_session, recordings, settings(), no_progress)
        assert (report.read, report.unaccounted) == (len(lines), 0)
        assert bool(report.applied) is (number == 0)
