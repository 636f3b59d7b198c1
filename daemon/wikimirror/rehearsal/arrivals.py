"""How published records reach a reader: late, out of order, twice, among canaries and null records.

Each stream has a topic in each of two datacentres. Records go to the primary one, which changes in mid-day; around the
switchover both receive. Within a topic order is roughly that of publication; between topics there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import Final, NamedTuple

from wikimirror.rehearsal.day import DAY_LENGTH, DAY_START
from wikimirror.rehearsal.streams import STREAMS, VISIBILITY, Published, canary

DATACENTRES: Final = ("eqiad", "codfw")
_SECOND: Final = 1_000_000
_HOUR: Final = 3600 * _SECOND
_BEGIN: Final = DAY_START * _SECOND
_SWITCHOVER: Final = _BEGIN + 13 * _HOUR
_MINGLING: Final = 240 * _SECOND
"""Half the time around the switchover in which either datacentre may receive."""


class Arrival(NamedTuple):
    """A record as read. Offsets of a topic are consecutive from 0.

    `published` is its meta.dt in microseconds; a null record has the time its topic received it.
    """

    topic: str
    partition: int
    offset: int
    value: bytes | None
    published: int


class Landing(NamedTuple):
    """A record on its way into a topic. `record` None: a canary or a null record."""

    topic: str
    landed: int
    published: int
    value: bytes | None
    record: Published | None
    is_copy: bool = False
    is_canary: bool = False


class Read(NamedTuple):
    """An arrival with where it came from."""

    arrival: Arrival
    landing: Landing


def arrange(records: Iterable[Published], rng: Random) -> list[Read]:
    """The order in which one reader of all topics reads the records."""
    landings = list(_landings(list(records), rng))
    landings.extend(_canaries(rng))
    landings.extend(_null_records(rng, len(landings)))
    return _read(landings, rng)


def _landings(records: Sequence[Published], rng: Random) -> Iterable[Landing]:
    late = _chosen(len(records), 0.01, rng)
    very_late = _chosen(len(records), 0.002, rng)
    doubled = _chosen(len(records), 0.01, rng)
    redelivered = _chosen(len(records), 0.003, rng)
    sent_to_both = _chosen(len(records), 0.001, rng)
    for index, record in enumerate(records):
        landed = record.published + int(abs(rng.gauss(0.0, 0.4)) * _SECOND)
        if index in late:
            landed += int((5.0 + rng.expovariate(1 / 60.0)) * _SECOND)
        if index in very_late:
            landed += int(rng.uniform(600.0, 5400.0) * _SECOND)
        datacentre = _datacentre(record, rng)
        first = Landing(_topic(datacentre, record.stream), landed, record.published, record.value, record)
        yield first
        if index in doubled:
            yield first._replace(landed=landed + int(rng.uniform(0.1, 30.0) * _SECOND), is_copy=True)
        if index in redelivered:
            yield first._replace(landed=landed + int(rng.uniform(0.5, 6.0) * _HOUR), is_copy=True)
        if index in sent_to_both:
            other = DATACENTRES[1 - DATACENTRES.index(datacentre)]
            yield first._replace(topic=_topic(other, record.stream), landed=landed + _SECOND, is_copy=True)


def _datacentre(record: Published, rng: Random) -> str:
    from_switchover = record.published - _SWITCHOVER
    if abs(from_switchover) < _MINGLING:
        return rng.choice(DATACENTRES)
    return DATACENTRES[from_switchover > 0]


def _canaries(rng: Random) -> Iterable[Landing]:
    for hour in range(DAY_LENGTH // 3600):
        for datacentre in DATACENTRES:
            for stream in STREAMS:
                published = _BEGIN + hour * _HOUR + rng.randrange(60_000) * 1000
                value = canary(stream, published, rng)
                yield Landing(_topic(datacentre, stream), published, published, value, None, is_canary=True)


def _null_records(rng: Random, count: int) -> Iterable[Landing]:
    for _ in range(max(4, count // 2000)):
        topic = _topic(rng.choice(DATACENTRES), rng.choice(STREAMS))
        landed = _BEGIN + rng.randrange(DAY_LENGTH * 1000) * 1000
        yield Landing(topic, landed, landed, None, None)


def _read(landings: Iterable[Landing], rng: Random) -> list[Read]:
    """Merge the topics: each is read in its own order, a little after landing, and sometimes stands still a while."""
    topics: dict[str, list[Landing]] = {}
    for landing in sorted(landings, key=lambda each: each.landed):
        topics.setdefault(landing.topic, []).append(landing)
    reads: list[tuple[int, str, Read]] = []
    for topic in sorted(topics):
        halts = [(start, start + rng.randrange(60, 900) * _SECOND) for start in _starts(topic, rng)]
        behind = rng.randrange(50_000, 2_000_000)
        when = 0
        for offset, landing in enumerate(topics[topic]):
            when = max(when, landing.landed + behind)
            when = next((end for start, end in halts if start <= when < end), when)
            arrival = Arrival(topic, 0, offset, landing.value, landing.published)
            reads.append((when, topic, Read(arrival, landing)))
    reads.sort(key=lambda each: each[:2])
    return [read for _, _, read in reads]


def _starts(topic: str, rng: Random) -> list[int]:
    count = 6 if topic.endswith(VISIBILITY) else 3
    return [_BEGIN + rng.randrange(DAY_LENGTH) * _SECOND for _ in range(count)]


def _chosen(count: int, share: float, rng: Random) -> frozenset[int]:
    """A random share of the numbers below `count`, but some even of a few."""
    return frozenset(rng.sample(range(count), min(count, max(3, int(count * share)))))


def _topic(datacentre: str, stream: str) -> str:
    return f"{datacentre}.{stream}"
