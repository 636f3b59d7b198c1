"""A simulated day holds every situation, arrives as real streams do, and is the same for the same seed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from wikimirror.rehearsal import OUTSIDE, WIKIS, Arrival, Day, Situation, day_to_ndjson, simulate_day
from wikimirror.rehearsal.day import DAY_LENGTH, DAY_START

DIGEST = """
import hashlib
from wikimirror.rehearsal import simulate_day
day = simulate_day(3, 400)
rows = (day.arrivals, day.situations, sorted(day.truth.pages.items()), sorted(day.truth.forbidden))
print(hashlib.sha256(repr(rows).encode()).hexdigest())
"""


def said(arrival: Arrival) -> dict[str, Any]:
    assert arrival.value is not None
    value: dict[str, Any] = json.loads(arrival.value)
    return value


def is_data(arrival: Arrival) -> bool:
    return arrival.value is not None and b'"domain":"canary"' not in arrival.value


@pytest.mark.parametrize("seed", range(1, 6))
def test_every_situation_occurs_at_any_seed(day_of: Callable[[int], Day], seed: int) -> None:
    counts = day_of(seed).situations
    assert set(counts) == set(Situation)
    assert [name for name, count in counts.items() if count < 1] == []


@pytest.mark.parametrize("seed", range(1, 6))
def test_most_actions_are_edits_and_the_number_of_actions_is_as_wished(day_of: Callable[[int], Day], seed: int) -> None:
    day = day_of(seed)
    assert day.actions == 2000
    assert 0.8 < day.situations[Situation.EDITS] / day.actions < 0.93
    assert 0.04 < day.situations[Situation.CREATIONS] / day.actions < 0.12


def test_the_same_seed_gives_the_same_day_in_another_process_with_other_hashes() -> None:
    digests = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True
        )
        digests.add(done.stdout)
    assert len(digests) == 1


def test_another_seed_gives_another_day(day_of: Callable[[int], Day]) -> None:
    first, second = ({a.value for a in day_of(seed).arrivals if is_data(a)} for seed in (1, 2))
    assert not first & second


@pytest.mark.parametrize("actions", [1, 7, 150])
def test_a_short_day_works_though_it_lacks_situations(actions: int) -> None:
    day = simulate_day(4, actions)
    assert day.actions == actions
    assert len(day.truth.revisions) >= 1


def test_a_day_without_actions_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one action"):
        simulate_day(1, 0)


def test_a_long_day_is_made_in_seconds() -> None:
    began = time.process_time()
    assert simulate_day(1, 20_000).actions == 20_000
    assert time.process_time() - began < 12


def test_offsets_of_each_topic_are_consecutive_in_reading_order(day: Day) -> None:
    offsets: dict[tuple[str, int], list[int]] = defaultdict(list)
    for arrival in day.arrivals:
        offsets[arrival.topic, arrival.partition].append(arrival.offset)
    assert len(offsets) == 6
    assert all(found == list(range(len(found))) for found in offsets.values())


def test_every_topic_has_data_and_a_canary_each_hour(day: Day) -> None:
    data = Counter(arrival.topic for arrival in day.arrivals if is_data(arrival))
    canaries = Counter(arrival.topic for arrival in day.arrivals if arrival.value is not None) - data
    assert len(data) == 6
    assert set(canaries.values()) == {24}


def test_records_reach_both_datacentres_around_the_switchover(day: Day) -> None:
    order = [a.topic.split(".")[0] for a in sorted(day.arrivals, key=lambda a: a.published) if is_data(a)]
    changes = [n for n in range(1, len(order)) if order[n] != order[n - 1]]
    assert len(changes) > 2
    assert order[0] == "eqiad"
    assert order[-1] == "codfw"


def test_a_duplicate_has_the_same_id_at_another_offset(day: Day) -> None:
    seen = Counter(said(arrival)["meta"]["id"] for arrival in day.arrivals if is_data(arrival))
    assert sum(count - 1 for count in seen.values()) == day.situations[Situation.DUPLICATES]


def test_some_duplicates_come_hours_later(day: Day) -> None:
    first: dict[bytes, int] = {}
    newest, waits = 0, []
    for arrival in filter(is_data, day.arrivals):
        assert arrival.value is not None
        newest = max(newest, arrival.published)
        if arrival.value in first:
            waits.append(newest - first[arrival.value])
        else:
            first[arrival.value] = newest
    assert max(waits) > 1800 * 1_000_000
    assert min(waits) < 60 * 1_000_000


def test_records_are_published_with_the_delays_that_were_measured(day: Day) -> None:
    delays = sorted(
        {said(a)["meta"]["id"]: a.published / 1e6 - instant(said(a)["dt"]) for a in day.arrivals if is_page(a)}.values()
    )
    assert 1.8 < delays[len(delays) // 2] < 2.9
    assert 12 < delays[len(delays) * 99 // 100] < 40
    assert delays[0] > 0
    assert delays[-1] <= 155


def test_the_time_of_publication_is_meta_dt(day: Day) -> None:
    for arrival in filter(is_data, day.arrivals[:300]):
        assert said(arrival)["meta"]["dt"].endswith(f".{arrival.published // 1000 % 1000:03d}Z")
        assert instant(said(arrival)["meta"]["dt"]) == pytest.approx(arrival.published / 1e6, abs=0.001)


def test_all_that_exists_was_announced_within_the_day(day: Day) -> None:
    begin, end = DAY_START * 1_000_000, (DAY_START + DAY_LENGTH) * 1_000_000
    assert all(begin <= revision.rev_dt < end for revision in day.truth.revisions.values())
    named = {(r["wiki_id"], r["revision"]["rev_id"]) for r in (said(a) for a in day.arrivals if is_page(a))}
    assert named == set(day.truth.revisions)


def test_popularity_is_uneven(day: Day) -> None:
    revisions = Counter((r.wiki_id, r.page_id) for r in day.truth.revisions.values())
    counts = [count for _, count in revisions.most_common()]
    assert counts[0] > 10 * counts[len(counts) // 2]


def test_a_capture_has_a_line_for_each_record_with_its_coordinates(day: Day) -> None:
    lines = [json.loads(line) for line in day_to_ndjson(day)]
    kept = [arrival for arrival in day.arrivals if arrival.value is not None]
    places = [(line["meta"]["topic"], line["meta"]["partition"], line["meta"]["offset"]) for line in lines]
    assert places == [(arrival.topic, arrival.partition, arrival.offset) for arrival in kept]
    for line, arrival in zip(lines, kept, strict=True):
        for name in ("topic", "partition", "offset"):
            del line["meta"][name]
        assert line == said(arrival)


def test_records_out_of_scope_come_only_on_request_and_change_no_truth(day: Day) -> None:
    def wikis(some: Day) -> set[str]:
        values = [said(arrival) for arrival in some.arrivals if is_data(arrival)]
        return {value["wiki_id" if "wiki_id" in value else "database"] for value in values}

    wider = simulate_day(1, 2000, out_of_scope=True)
    assert wikis(day) == set(WIKIS)
    assert wikis(wider) == {*WIKIS, OUTSIDE}
    assert wider.truth == day.truth


def test_the_day_differs_by_its_number_of_actions_too() -> None:
    digests = {hashlib.sha256(repr(simulate_day(1, n).arrivals).encode()).hexdigest() for n in (20, 21)}
    assert len(digests) == 2


def is_page(arrival: Arrival) -> bool:
    return is_data(arrival) and "page_c" in arrival.topic


def instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
