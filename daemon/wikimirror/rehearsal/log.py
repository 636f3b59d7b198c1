"""The served log: each stream's topics in two datacentres, as Kafka keeps them for the public service.

A record gets its offset and its time of publication (milliseconds, real time) as it is appended. Bytes are kept once:
those of a simulated day are shared with the day, and the coordinates that the service adds are put in as it sends.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from wikimirror.rehearsal.arrivals import DATACENTRES
from wikimirror.rehearsal.streams import STREAMS

_FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Entry(NamedTuple):
    """A record in the log. `timestamp` is in milliseconds since the epoch; `value` None is a null record.

    `joint` is the place in `value` where more of `meta` can be put in; 0: it is no JSON object, and is sent as it is.
    """

    topic: str
    offset: int
    timestamp: int
    value: bytes | None
    joint: int


class Log:
    """Topics of one partition each, and the order in which their records came. For one asyncio loop."""

    def __init__(self, streams: Iterable[str] = STREAMS, datacentres: Iterable[str] = DATACENTRES) -> None:
        datacentres = tuple(datacentres)
        self.topics_of = {stream: tuple(f"{each}.{stream}" for each in datacentres) for stream in streams}
        """The topics of each stream, by the stream's name."""
        self._topics = {topic: _Topic() for topics in self.topics_of.values() for topic in topics}
        self._stream_of = {topic: stream for stream, topics in self.topics_of.items() for topic in topics}
        self._entries: list[Entry] = []
        self._dropped = 0
        self._ends: dict[str, int] = {}
        self._readers: list[asyncio.Future[None]] = []

    @property
    def end(self) -> int:
        """The place after the last record: how many were ever appended."""
        return self._dropped + len(self._entries)

    @property
    def ends(self) -> dict[str, int]:
        """By topic: the offset after the last record that can be sent. Topics without one are left out."""
        return dict(self._ends)

    def append(self, topic: str, value: bytes | None, timestamp: int | None = None) -> Entry:
        """Take in a record, published now unless said otherwise, and wake the readers.

        Raises KeyError for a topic that is not there, and ValueError for a value of more than one line.
        """
        place = self._topics[topic]
        timestamp = milliseconds() if timestamp is None else timestamp
        joint = 0
        if value is not None:
            value, joint = with_meta_last(value, self._stream_of[topic])
        entry = Entry(topic, place.next_offset, timestamp, value, joint)
        place.add(self.end, timestamp)
        self._entries.append(entry)
        if value is not None:
            self._ends[topic] = entry.offset + 1
        self.wake()
        return entry

    def expire(self, before: int) -> int:
        """Move the start of the log past the records published before that time; how many they were.

        It stops at the first one that is not older, as retention drops the oldest segments only.
        """
        older = next((n for n, each in enumerate(self._entries) if each.timestamp >= before), len(self._entries))
        for entry in self._entries[:older]:
            self._topics[entry.topic].first += 1
        for topic in self._topics.values():
            topic.shorten()
        del self._entries[:older]
        self._dropped += older
        return older

    def extent(self, topic: str) -> range:
        """The offsets that a topic holds now; `stop` is the next one, also where it holds none."""
        place = self._topics[topic]
        return range(place.first, place.next_offset)

    def offset_at(self, topic: str, timestamp: int) -> int | None:
        """The first offset whose record was published at that time or later; None: there is none."""
        place = self._topics[topic]
        index = bisect_left(place.peaks, timestamp)
        return place.first + index if index < len(place.peaks) else None

    def place_of(self, topic: str, offset: int) -> int:
        """Where in the order of all records this one is; the end for an offset that is still to come."""
        place = self._topics[topic]
        return place.places[offset - place.first] if offset < place.next_offset else self.end

    def read(self, place: int, most: int) -> tuple[int, list[Entry]]:
        """Up to `most` records from a place on, of all topics, and the place of the first: later if it has expired."""
        place = max(place, self._dropped)
        index = place - self._dropped
        return place, self._entries[index : index + most]

    async def changed(self) -> None:
        """Wait for the next record, or for `wake`."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._readers.append(waiting)
        try:
            await waiting
        finally:
            if waiting in self._readers:
                self._readers.remove(waiting)

    def wake(self) -> None:
        """Wake the readers, to look around again."""
        if self._readers:
            readers, self._readers = self._readers, []
            for waiting in readers:
                if not waiting.done():
                    waiting.set_result(None)


class _Topic:
    """One topic's offsets: for each record kept, where it is among all, and the latest time up to it.

    Times of Kafka's records do not always rise. The first at or after an instant is where the latest time gets there.
    """

    def __init__(self) -> None:
        self.first = 0
        self.next_offset = 0
        self.places = array("q")
        self.peaks = array("q")
        self._peak = 0

    def add(self, place: int, timestamp: int) -> None:
        self._peak = max(self._peak, timestamp)
        self.places.append(place)
        self.peaks.append(self._peak)
        self.next_offset += 1

    def shorten(self) -> None:
        gone = len(self.places) - (self.next_offset - self.first)
        del self.places[:gone]
        del self.peaks[:gone]


def with_meta_last(value: bytes, stream: str) -> tuple[bytes, int]:
    """A record with a `meta` as its last field, and the place where more of it can be put in.

    Simulated records are like that already and come back as they are. What is no JSON object comes back too, with 0.
    Raises ValueError for a line break: frames of a stream are made of lines.
    """
    if b"\n" in value or b"\r" in value:
        raise ValueError("a record is one line")
    try:
        fields = _FIELDS.decode(value)
        meta = fields.pop("meta", None)
        if meta is not None and len(meta) > len("{}") and value.endswith(bytes(meta) + b"}"):
            return value, len(value) - 2
        stated = {} if meta is None else _FIELDS.decode(meta)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return value, 0
    value = msgspec.json.encode({**fields, "meta": {"stream": stream, **stated}})
    return value, len(value) - 2


def milliseconds() -> int:
    """The time of day, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
