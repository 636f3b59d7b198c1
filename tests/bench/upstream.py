"""The simulated service as a process of its own, so that it takes no turn in the event loop of what is measured.

It reads orders from its standard input, one JSON object a line, and answers each with a line when it is done.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import deque
from random import Random
from typing import Final

import msgspec

from wikimirror.rehearsal import DATACENTRES, Arrival, Day, EventStreamsServer, Log, Truth, publish
from wikimirror.rehearsal.arrivals import arrange
from wikimirror.rehearsal.day import SITES
from wikimirror.rehearsal.log import milliseconds
from wikimirror.rehearsal.simulation import run_day
from wikimirror.rehearsal.streams import STREAMS
from wikimirror.rehearsal.streams import publish as streams_of

SEED: Final = 1
AHEAD: Final = 2000
"""Records that are published before they are read, when the reader sets the pace."""
_WINDOW: Final = 250
_NEVER: Final = 2**62


class Order(msgspec.Struct, kw_only=True):
    """What to publish: so many records at a `rate` a second; None: all at once, or if `by_reader` as they are read."""

    records: int
    rate: float | None = None
    by_reader: bool = False
    forget: bool = False
    """First drop what was published before. A reader asks for two minutes more than it needs, and would get it."""


class Done(msgspec.Struct):
    """An order was carried out; or, for the first line, the server is there."""

    url: str
    readers: int
    ends: int
    """The sum of all topics' ends: where the sum of a reader's positions gets to."""


class Load:
    """Records without end, each unlike all others: a day, again and again, each time in wikis of its own."""

    def __init__(self, *, texts: bool, large_bytes: int, large_every: int) -> None:
        """`texts`: as page_content_change has them. One record in `large_every` then has one of `large_bytes`."""
        self._arrivals = _a_day(texts=texts)
        self._large_every = large_every
        self._text = _large_text(large_bytes) if large_every else ""
        self._large_due = False
        self._taken = 0

    def take(self, count: int) -> list[Arrival]:
        """The next ones."""
        taken = [self._at(number) for number in range(self._taken, self._taken + count)]
        self._taken += count
        return taken

    def _at(self, number: int) -> Arrival:
        turn, index = divmod(number, len(self._arrivals))
        arrival = self._arrivals[index]
        value = arrival.value or b""
        if self._large_every and number % self._large_every == 0:
            self._large_due = True
        if self._large_due and b'"content_body":' in value:
            self._large_due = False
            value = self._enlarge(value)
        # Pages, revisions and changes are known by their wiki and id: so all are new.
        value = value.replace(b'"wiki_id":"', b'"wiki_id":"w%d' % turn, 1)
        value = value.replace(b'"database":"', b'"database":"w%d' % turn, 1)
        before, name, id_ = value.rpartition(b'"id":"')
        return arrival._replace(value=before + name + b"%08x" % turn + id_[8:])

    def _enlarge(self, value: bytes) -> bytes:
        record = msgspec.json.decode(value)
        record["revision"]["content_slots"]["main"]["content_body"] = f"{record['meta']['id']} {self._text}"
        return msgspec.json.encode(record)


def _a_day(*, texts: bool) -> list[Arrival]:
    """A simulated day: 10,000 actions come to some 10,500 records."""
    rng = Random(f"bench {SEED}")
    sites = {wiki: site._replace(has_text=site.has_text and texts) for wiki, site in SITES.items()}
    reads = arrange(streams_of(run_day(SEED, 10_000).log, sites, rng), rng)
    return [read.arrival for read in reads if read.arrival.value is not None and not read.landing.is_canary]


def _large_text(size: int) -> str:
    """So many bytes of wikitext. One character is beyond the Basic Multilingual Plane, as in many a real text."""
    rng = Random("large")
    words = ["".join(rng.choices("abcdefghijklmnop", k=7)) for _ in range(3000)]
    return "\N{OPEN BOOK} " + " ".join(rng.choices(words, k=size // 8))


async def main(*, texts: bool, large_bytes: int, large_every: int) -> None:
    """Serve until the standard input ends."""
    load = Load(texts=texts, large_bytes=large_bytes, large_every=large_every)
    log = Log(STREAMS, DATACENTRES)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    async with EventStreamsServer(log) as server:
        _say(server, log)
        while line := await orders.readline():
            order = msgspec.json.decode(line, type=Order)
            if order.forget:
                log.expire(_NEVER)
            if order.by_reader:
                await _publish_as_read(server, log, load, order.records)
            else:
                day = Day(load.take(order.records), {}, Truth({}, {}, {}, frozenset()), 0)
                await publish(day, log, rate=order.rate)
            _say(server, log)


async def _publish_as_read(server: EventStreamsServer, log: Log, load: Load, records: int) -> None:
    """As fast as they are read, with no more in memory than a reader may fetch at once, for some records are large."""
    begun, sent = log.end, server.counts.records
    windows: deque[tuple[int, int]] = deque()
    for start in range(0, records, _WINDOW):
        windows.append((start, milliseconds()))
        for arrival in load.take(min(_WINDOW, records - start)):
            log.append(arrival.topic, arrival.value)
        while log.end - begun - (done := server.counts.records - sent) > AHEAD:
            await asyncio.sleep(0.001)
        while len(windows) > 1 and windows[1][0] <= done:
            windows.popleft()
        log.expire(windows[0][1])


def _say(server: EventStreamsServer, log: Log) -> None:
    done = Done(server.url, server.counts.connections, sum(log.ends.values()))
    sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", action="store_true", help="records with the page's text, where the wiki has them")
    parser.add_argument("--large-every", type=int, default=0, help="one in so many records is large")
    parser.add_argument("--large-bytes", type=int, default=3_000_000, help="how large its text is")
    asked = parser.parse_args()
    asyncio.run(main(texts=asked.texts, large_bytes=asked.large_bytes, large_every=asked.large_every))
