"""A simulated day from a seed: what a reader of the streams gets, and what is true at the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import msgspec

from wikimirror.rehearsal.arrivals import Arrival, arrange
from wikimirror.rehearsal.day import SITES, RunningDay
from wikimirror.rehearsal.situations import Situation, count_situations
from wikimirror.rehearsal.stories import life, must_haves
from wikimirror.rehearsal.streams import publish
from wikimirror.rehearsal.truth import Truth, truth_of


@dataclass(frozen=True, slots=True)
class Day:
    """A simulated day. `arrivals` are in reading order; `actions` is how many things people did."""

    arrivals: list[Arrival]
    situations: dict[Situation, int]
    truth: Truth
    actions: int


def simulate_day(seed: int, actions: int = 2000) -> Day:
    """The day of a seed. The same seed and number of actions give the same day, byte for byte.

    From about 1,000 actions on every situation occurs.
    """
    running = run_day(seed, actions)
    rng = Random(f"streams {seed}")
    reads = arrange(publish(running.log, SITES, rng), rng)
    situations = count_situations((said for _, said in running.log), running.title_swaps, reads)
    truth = truth_of(running.wikis.values(), SITES)
    return Day([read.arrival for read in reads], situations, truth, running.actions)


def run_day(seed: int, actions: int) -> RunningDay:
    """The wikis after the day of a seed, with the log of all that they announced."""
    running = RunningDay(seed, actions)
    running.run(must_haves(running), life(running))
    return running


def day_to_ndjson(day: Day) -> Iterator[bytes]:
    """A capture of a day: a JSON object a line, with the coordinates in `meta` as the public streams give them.

    Null records are left out, since a capture cannot express them; their offsets are missing from it.
    """
    for arrival in day.arrivals:
        if arrival.value is not None:
            record = msgspec.json.decode(arrival.value)
            record["meta"] |= {"topic": arrival.topic, "partition": arrival.partition, "offset": arrival.offset}
            yield msgspec.json.encode(record) + b"\n"
