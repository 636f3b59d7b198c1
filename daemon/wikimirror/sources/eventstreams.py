"""Wikimedia's EventStreams as a source: topics of Kafka over HTTP, as server-sent events.

One connection carries every topic: each stream has one in each datacentre, and each topic is a lane. Resuming is by
time, in `sources.resume`. The service ends each connection after a quarter of an hour or less: that is no failure.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Final, NoReturn

import msgspec

from wikimirror.errors import SourceRefused
from wikimirror.model import MICROSECONDS, Coordinates, Lane, Lost, Position, Record
from wikimirror.observe.vitals import Vitals
from wikimirror.settings import EventStreamsSettings
from wikimirror.sources.base import Positions
from wikimirror.sources.http import (
    NOT_ITSELF,
    Disconnected,
    Ending,
    HttpClient,
    Patience,
    Reply,
    retry_after,
    told_time,
)
from wikimirror.sources.resume import Resumption, entries_of, is_expired, last_event_id, time_of
from wikimirror.sources.sse import Frame, Frames, Lines
from wikimirror.wire.times import microseconds

_FIELD: Final = len(b"data: ")
_FIRST_DAY: Final = 86_400 * MICROSECONDS
"""That long may the first connection take to come about: meanwhile what is kept moves on."""
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
"""Kafka's own rule."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _Meta(msgspec.Struct, gc=False):
    topic: str
    partition: int
    offset: Annotated[int, msgspec.Meta(ge=0, lt=2**63 - 1)]
    dt: Any = None


class _Head(msgspec.Struct, gc=False):
    meta: _Meta


_HEAD: Final = msgspec.json.Decoder(_Head)


class EventStreams:
    """The streams of one service. One `read` at a time."""

    def __init__(
        self, name: str, settings: EventStreamsSettings, client: HttpClient, vitals: Vitals, now: Callable[[], int]
    ) -> None:
        """`now` gives microseconds since the epoch. `vitals` is told of connections."""
        self._name = name
        self._settings = settings
        self._client = client
        self._vitals = vitals
        self._now = now
        self._overlap = _in_microseconds(settings.overlap)
        self._retention = _in_microseconds(settings.retention)
        self._url = f"{settings.url.rstrip('/')}/v2/stream/{','.join(settings.streams)}"
        self._intake = _Intake(())
        self._heard = 0

    @property
    def name(self) -> str:
        """The source's name, as in settings."""
        return self._name

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """Every topic read: each stream in each datacentre."""
        settings = self._settings
        return tuple(
            Lane(self._name, f"{datacentre}.{stream}", 0)
            for stream in settings.streams
            for datacentre in settings.datacentres
        )

    async def starting_positions(self) -> Positions:
        """Where each lane starts that was never read, by the setting `start`. All lanes are named."""
        match self._settings.start:
            case "latest":
                time = self._now()
            case "earliest":
                time = self._now() - self._retention
            case instant:
                # Before a time to come there is nothing to go on from: a reader would begin at each connection anew.
                time = min(_in_microseconds(instant - _EPOCH), self._now())
        return dict.fromkeys(self.lanes, Position(0, time))

    async def read(self, positions: Positions) -> AsyncGenerator[Record | Lost]:
        """Yield what one connection brings. Lanes without a position start by the setting `start`.

        It ends when the service ends the connection in good order. Raises SourceUnavailable when it breaks off, when
        nothing comes for `idle_timeout`, or when something else than a stream answers; SourceRefused when the service
        refuses the request or sends a topic that was not asked for. What is held beyond the record yielded: a chunk of
        at most some 200 KB, the client's buffer of as much, and a record's beginning.
        """
        starts = {**await self.starting_positions(), **positions}
        intake = _Intake(Resumption(lane, starts[lane], self._overlap) for lane in self.lanes)
        ending = Ending.STOPPED
        try:
            async with self._client.get(self._url, self._headers(intake), self._patience) as reply:
                _require_stream(reply, self._now() / MICROSECONDS)
                self._vitals.joined()
                for lost in self._expired(intake, reply):
                    yield lost
                frames = _Framing(int(self._settings.record_bytes))
                while chunk := await reply.chunk():
                    received = self._heard = self._now()
                    for frame in frames.feed(chunk):
                        if frame.type == "error":
                            _failed(reply)
                        for item in intake.take(frame, received):
                            yield item
            ending = Ending.ENDED
        except Disconnected as error:
            ending = error.ending
            raise
        except SourceRefused:
            ending = Ending.REFUSED
            raise
        finally:
            self._vitals.left(ending)

    async def acknowledge(self, positions: Positions) -> None:
        """Do nothing: the service keeps no account of its readers, each says where it goes on."""

    @property
    def _patience(self) -> Patience:
        return Patience(self._settings.connect_timeout, self._settings.idle_timeout)

    def _headers(self, intake: _Intake) -> dict[str, str]:
        return {
            "Accept": "text/event-stream",
            # Compression would hold records back until a block of it is full.
            "Accept-Encoding": "identity",
            "Cache-Control": "no-store",
            "Last-Event-ID": last_event_id(intake.asked()),
        }

    def _expired(self, intake: _Intake, reply: Reply) -> Iterator[Lost]:
        """The lanes whose position is older than what the service keeps.

        Both clocks must say so: if ours has stepped ahead, the service's is right.
        """
        before, self._intake = self._intake.positions(), intake
        now, told = self._now(), told_time(reply.headers)
        oldest = min(now, now if told is None else int(told * MICROSECONDS)) - self._retention
        for lane in intake.lanes:
            position = lane.position
            # Whoever starts with the earliest asks for what there is, and that is a little older at each look.
            begins = (
                position.offset == 0
                and self._settings.start == "earliest"
                and position.time >= oldest - self._overlap - _FIRST_DAY
            )
            heard = self._heard if before.get(lane.lane) == position else 0
            if not begins and is_expired(position, heard, oldest):
                yield lane.expire(oldest)


class _Framing:
    """Bytes to frames; of a record that is too large, a byte more than `limit`."""

    def __init__(self, limit: int) -> None:
        self._lines = Lines(limit + _FIELD)
        self._frames = Frames(limit)

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        line_of = self._frames.line
        for line in self._lines.feed(chunk):
            frame = line_of(line)
            if frame is not None:
                yield frame


class _Intake:
    """Frames of one connection to records with their coordinates."""

    def __init__(self, lanes: Iterable[Resumption]) -> None:
        self.lanes = tuple(lanes)
        self._by_topic = {lane.lane.topic: lane for lane in self.lanes}
        self._last_id: str | None = None

    def asked(self) -> dict[Lane, int]:
        """The time that each lane is asked for from."""
        return {lane.lane: lane.asked for lane in self.lanes}

    def positions(self) -> dict[Lane, Position]:
        """The next record of each lane to read."""
        return {lane.lane: lane.position for lane in self.lanes}

    def take(self, frame: Frame, received: int) -> Iterator[Record | Lost]:
        """The record of a frame, and before it the loss that it shows. Raises SourceRefused."""
        try:
            meta = _HEAD.decode(frame.data).meta
        except (ValueError, RecursionError):
            # Its coordinates are a guess, which proves nothing of what came before.
            lane, certain = self._lane_by_id(frame.id)
            offset, lost = lane.next_offset, None
            published = time_of(frame.id, lane.lane.topic) or lane.position.time
            if not certain:
                # Not even the lane is known: none is moved, so it may be read again.
                self._last_id = frame.id
                yield Record(Coordinates(*lane.lane, offset), frame.data, received, published, again=True)
                return
        else:
            if meta.topic not in self._by_topic or meta.partition != 0:
                _refuse_topic(meta.topic, meta.partition)
            lane = self._by_topic[meta.topic]
            offset = meta.offset
            published = time_of(frame.id, meta.topic) or _received_by_platform(meta.dt) or lane.position.time
            lost = lane.lost(offset, published)
        self._last_id = frame.id
        if lost is not None:
            yield lost
        again = lane.again(offset, published)
        yield Record(Coordinates(*lane.lane, offset), frame.data, received, published, again)

    def _lane_by_id(self, event_id: str | None) -> tuple[Resumption, bool]:
        """The lane of a record that does not name it, and whether that is certain.

        It is the one whose entry in the id changed with it, if that is just one; else the first that did, or the first.
        """
        before = set(entries_of(self._last_id))
        changed = [entry.topic for entry in entries_of(event_id) if entry not in before]
        lanes = [self._by_topic[topic] for topic in changed if topic in self._by_topic]
        return (lanes or self.lanes)[0], bool(before) and len(changed) == len(lanes) == 1


def _received_by_platform(dt: object) -> int:
    """`meta.dt` in microseconds; 0: it is not legible."""
    try:
        return microseconds(dt) if isinstance(dt, str) else 0
    except ValueError:
        return 0


def _require_stream(reply: Reply, now: float) -> None:
    """Raise what an answer that is no stream means. `now`: seconds since the epoch."""
    host, status = reply.host, reply.status
    if status == HTTPStatus.OK and reply.content_type == "text/event-stream":
        return
    asked = retry_after(reply.headers, now)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        raise Disconnected(
            Ending.THROTTLED,
            f"{host} answered 429: too many connections or requests from this address",
            remedy="Look whether other programs behind this address read it too: two connections are allowed to all.",
            retry_after=asked,
        )
    if status == HTTPStatus.REQUEST_TIMEOUT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Disconnected(Ending.UNAVAILABLE, f"{host} answered {status}", retry_after=asked)
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        raise SourceRefused(f"{host} answered {status}: it refuses the request", remedy=_REMEDIES.get(status, _REMEDY))
    raise Disconnected(
        Ending.NOT_A_STREAM,
        f"{host} answered {status} with {reply.content_type}, not with an event stream",
        remedy=NOT_ITSELF,
        retry_after=asked,
    )


_REMEDY: Final = "Look at the source's url and streams in the settings, and at what a proxy on the way allows."
_REMEDIES: Final = {
    400: "Look at `streams`: each must be one that the service publishes (its list: https://stream.wikimedia.org/?doc).",
    401: "The service asks for credentials, which EventStreams does not: look at the source's url.",
    403: "Look at http.contact: Wikimedia turns programs away whose User-Agent names nobody who can be reached.",
    404: "Look at the source's url, `streams` and `datacentres`: there is no such stream or topic.",
    407: "The proxy on the way asks for a name and a password: they go into the URL in HTTPS_PROXY.",
}


def _failed(reply: Reply) -> NoReturn:
    raise Disconnected(Ending.ERROR_FRAME, f"{reply.host} said within the stream that it failed")


def _refuse_topic(topic: str, partition: int) -> NoReturn:
    """Refuse a record of a topic that is no lane of ours: no writer holds it, so that it could not be kept.

    The service was told every topic to send. One that sends others did not heed where to go on either.
    """
    name = topic if _TOPIC.fullmatch(topic) else "(no topic's name)"
    raise SourceRefused(
        f"the service sent a record of {name}[{partition}], which was not asked for",
        remedy="Look at `datacentres`: a datacentre that the streams have topics in may be missing from it.",
    )


def _in_microseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)
