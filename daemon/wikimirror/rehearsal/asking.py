"""What a request asks for: which topics, and from where on.

As KafkaSSE does it. `Last-Event-ID` replaces everything else: a topic that it does not name is never sent. Without it
`since` holds for all topics, and without that each starts at its live end.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec

from wikimirror.rehearsal.log import Log

_LIVE_END: Final = -1
"""The offset that stands for it in ids."""


class Start(NamedTuple):
    """From where on a topic is sent. `told` is the offset that ids name until a record of the topic is sent."""

    offset: int
    told: int


class Refused(Exception):
    """The request cannot be served as it is."""

    def __init__(self, status: int, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.body = {"type": kind, "title": kind.replace("_", " ").capitalize(), "detail": detail}


def starts(
    log: Log, streams: str, *, since: str | None = None, last_id: str | None = None, shift: int = 0
) -> dict[str, Start]:
    """The start of each topic to send, in the order of ids. `shift`: how much higher the client's cluster numbers.

    Raises Refused: 400 for a stream that is not there, a bad `since` or a bad id, 404 for a topic of no asked stream.
    """
    names = streams.split(",")
    unknown = [name for name in names if name not in log.topics_of]
    if unknown:
        raise Refused(400, "not_found", f"Invalid streams: {','.join(unknown)}")
    topics = [topic for name in dict.fromkeys(names) for topic in log.topics_of[name]]
    moment = None if not since else _milliseconds(since)
    if last_id is None:
        return {topic: _at_time(log, topic, moment, shift) for topic in topics}
    asked = list(_assignments(last_id))
    others = sorted({topic for topic, _, _ in asked} - set(topics))
    if others:
        raise Refused(404, "topic_not_available", f"Topics {', '.join(others)} are not available for consumption.")
    return {
        topic: _at_time(log, topic, timestamp, shift) if offset is None else _at_offset(log, topic, offset, shift)
        for topic, offset, timestamp in asked
    }


def _assignments(last_id: str) -> Iterator[tuple[str, int | None, int | None]]:
    """Topic, offset and timestamp of each entry of a Last-Event-ID; one of the last two is there."""
    try:
        entries = msgspec.json.decode(last_id)
    except (msgspec.DecodeError, UnicodeError):
        entries = None
    if not isinstance(entries, list) or not entries:
        raise Refused(400, "invalid_assignment", "Last-Event-ID is not a JSON array of assignments.")
    for entry in entries:
        fields: dict[str, Any] = entry if isinstance(entry, dict) else {}
        topic, offset, timestamp = fields.get("topic"), fields.get("offset"), fields.get("timestamp")
        numbers = [each for each in (offset, timestamp) if each is not None]
        if (
            not isinstance(topic, str)
            or fields.get("partition") != 0
            or not numbers
            or any(type(each) is not int for each in numbers)
        ):
            raise Refused(400, "invalid_assignment", "An assignment has topic, partition and offset or timestamp.")
        yield topic, offset, timestamp


def _milliseconds(since: str) -> int:
    """An instant given in milliseconds since the epoch, or as ISO 8601 writes it."""
    try:
        return int(float(since))
    except (ValueError, OverflowError):
        pass
    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        detail = "since timestamp is not a UTC milliseconds unix epoch and was not parseable"
        raise Refused(400, "invalid_timestamp", detail) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _at_time(log: Log, topic: str, timestamp: int | None, shift: int) -> Start:
    """The first record published then or later. Where there is none, the live end: what comes next."""
    offset = None if timestamp is None else log.offset_at(topic, timestamp)
    return _at_end(log, topic) if offset is None else Start(offset, offset + shift)


def _at_offset(log: Log, topic: str, offset: int, shift: int) -> Start:
    """The record of that offset. Where the log does not hold it, the live end, which is librdkafka's default."""
    extent = log.extent(topic)
    own = offset - shift
    if offset == _LIVE_END or not extent.start <= own <= extent.stop:
        return _at_end(log, topic)
    return Start(own, offset)


def _at_end(log: Log, topic: str) -> Start:
    return Start(log.extent(topic).stop, _LIVE_END)
