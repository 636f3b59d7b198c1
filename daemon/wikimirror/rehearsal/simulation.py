"""A simulated day from a seed: what a reader of the streams gets, and what is true at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

import msgspec

from wikimirror.rehearsal.arrivals import Arrival, arrange
from wikimirror.rehearsal.day import OUTSIDE, SITES, RunningDay
from wikimirror.rehearsal.situations import Situation, count_situations
from wikimirror.rehearsal.stories import life, must_haves
from wikimirror.rehearsal.streams import Site, publish
from wikimirror.rehearsal.truth import Truth, truth_of
from wikimirror.rehearsal.wiki import Announcement, PageChanged


@dataclass(frozen=True, slots=True)
class Day:
    """A simulated day. `arrivals` are in reading order; `actions` is how many things people did."""

    arrivals: list[Arrival]
    situations: dict[Situation, int]
    truth: Truth
    actions: int


_OUTSIDE_EVERY: Final = 50
_ALL_SITES: Final = {**SITES, OUTSIDE: Site("test.wikipedia.org", has_text=False)}


def simulate_day(seed: int, actions: int = 2000, *, out_of_scope: bool = False) -> Day:
    """The day of a seed. The same arguments give the same day, byte for byte.

    From about 1,000 actions on every situation occurs. With `out_of_scope` some records come from the wiki `OUTSIDE`,
    of which the truth knows nothing: a mirror must then have the scope `WIKIS`.
    """
    running = run_day(seed, actions)
    rng = Random(f"streams {seed}")
    said = _with_outside(running.log) if out_of_scope else running.log
    reads = arrange(publish(said, _ALL_SITES, rng), rng)
    situations = count_situations((said for _, said in running.log), running.title_swaps, reads)
    truth = truth_of(running.wikis.values(), SITES)
    return Day([read.arrival for read in reads], situations, truth, running.actions)


def run_day(seed: int, actions: int) -> RunningDay:
    """The wikis after the day of a seed, with the log of all that they announced."""
    running = RunningDay(seed, actions)
    running.run(must_haves(running), life(running))
    return running


def _with_outside(log: Iterable[tuple[int, Announcement]]) -> Iterator[tuple[int, Announcement]]:
    """The log, and now and then an edit or creation told again as if another wiki had seen it."""
    for number, (action, said) in enumerate(log):
        yield action, said
        # A hiding applies whatever the scope, so records that tell of one stay inside.
        hides = isinstance(said, PageChanged) and bool(said.seen.hidden or (said.prior and said.prior.hidden))
        if (
            number % _OUTSIDE_EVERY == 0
            and isinstance(said, PageChanged)
            and said.kind in {"create", "edit"}
            and not hides
        ):
            yield action, said._replace(wiki_id=OUTSIDE)


def day_to_ndjson(day: Day) -> Iterator[bytes]:
    """A capture of a day: a JSON object a line, with the coordinates in `meta` as the public streams give them.

    Null records are left out, since a capture cannot express them; their offsets are missing from it.
    """
    for arrival in day.arrivals:
        if arrival.value is not None:
            record = msgspec.json.decode(arrival.value)
            record["meta"] |= {"topic": arrival.topic, "partition": arrival.partition, "offset": arrival.offset}
            yield msgspec.json.encode(record) + b"\n"
