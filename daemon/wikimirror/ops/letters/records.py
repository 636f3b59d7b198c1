"""The record of a letter: from the payload where one is kept, else read again from its source; and what to do with it.

A payload is not the whole record (`mirror.dead_letters.scrubbed`): `prior_state` is gone, which tells of hidden
neighbours and of where a moved page comes from. So what retracts, and what would be left out by the payload alone, is
read again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from wikimirror import wire
from wikimirror.errors import ConfigurationError, SourceRefused, SourceUnavailable, UnreadableRecord
from wikimirror.merge.scope import admit
from wikimirror.mirror.letters import Held
from wikimirror.model import Batch, Entry, Record, Unread
from wikimirror.ops.play import Decoding, decoding_of, scope_of
from wikimirror.pipeline.assemble import OUT_OF_SCOPE
from wikimirror.settings import Settings
from wikimirror.sources.base import lane_of
from wikimirror.sources.ranges import RangeSource, read_one

RangeOf = Callable[[str], RangeSource]
"""Gives the source of a name, for reading again. Raises ConfigurationError where the settings have none."""


class Unavailable(NamedTuple):
    """The record cannot be had."""

    why: str


Found = Batch | wire.Ignored | Unavailable
"""A batch of the one record that moves no lane, or why there is none."""


class Records:
    """Gets the records of letters. Each source is built once, and asked no more once it is away."""

    def __init__(self, settings: Settings, range_of: RangeOf, now: Callable[[], int]) -> None:
        self._settings = settings
        self._scope = scope_of(settings)
        self._range_of = range_of
        self._now = now
        self._sources: dict[str, RangeSource] = {}
        self._away: dict[str, Unavailable] = {}

    async def find(self, held: Held) -> Found:
        """What to apply for a letter."""
        if held.payload is not None and not held.retracts:
            found = self._judge(_dated(Record(held.at, held.payload, self._now(), held.published), held))
            if isinstance(found, Batch) and found.entries:
                return found
        record = await self._read(held)
        return record if isinstance(record, Unavailable) else self._judge(_dated(record, held))

    def _judge(self, record: Record) -> Batch | wire.Ignored:
        """As a lane does it: decode, and leave out what is not for this mirror."""
        decoding = self._decoding(record)
        try:
            decoded = wire.decode(
                record, max_bytes=decoding.record_bytes, dialect=decoding.dialects.get(record.at.topic)
            )
        except UnreadableRecord as error:
            return Batch(advances=(), entries=[], unread=[Unread(record, error)])
        if isinstance(decoded, wire.Ignored):
            return decoded
        admitted = admit(decoded, self._scope)
        if admitted is None:
            return wire.Ignored(OUT_OF_SCOPE)
        return Batch(advances=(), entries=[Entry(record, admitted)])

    async def _read(self, held: Held) -> Record | Unavailable:
        name = held.at.source
        if name in self._away:
            return self._away[name]
        try:
            if name not in self._sources:
                self._sources[name] = self._range_of(name)
            record = await read_one(self._sources[name], lane_of(held.at), held.at.offset, held.published)
        except SourceUnavailable as error:
            self._away[name] = Unavailable(str(error))
            return self._away[name]
        except (SourceRefused, ConfigurationError) as error:
            return Unavailable(" ".join(filter(None, (f"{error}.", error.remedy))).replace("..", "."))
        if record is None:
            return Unavailable("the source does not have it any more")
        return self._checked(record, held)

    def _checked(self, record: Record, held: Held) -> Record | Unavailable:
        """The record, if it is the one that was set aside, and not cut."""
        value, limit = record.value, self._decoding(record).record_bytes
        if value is not None and len(value) > limit:
            return Unavailable(f"it has more bytes than sources.{held.at.source}.record_bytes allows, {limit}")
        digest = None if value is None else hashlib.sha256(value)
        if held.sha256 is not None and (digest is None or digest.digest() != held.sha256):
            now_there = "none" if digest is None else digest.hexdigest()
            return Unavailable(
                f"the source has another record there now: its sha256 is {now_there}, not {held.sha256.hex()}"
            )
        return record

    def _decoding(self, record: Record) -> Decoding:
        return decoding_of(self._settings.sources.get(record.at.source))


def _dated(record: Record, held: Held) -> Record:
    """A retraction that fails again hides its page as of when it was published, else received: then, not only now."""
    return record if record.published else msgspec.structs.replace(record, received=held.first_seen)
