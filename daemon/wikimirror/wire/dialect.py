"""What every dialect module gives to the envelope, and the parts that several dialects share.

A dialect is a *statement* (a msgspec struct holding just the fields that are read, each of them optional, so that
the same struct serves the strict and the lenient reading) and three functions over it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, Generic, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from wikimirror.model import Change, Record, change_identity, coordinates_identity
from wikimirror.wire.reasons import Names
from wikimirror.wire.times import microseconds

CAPTURE: Final = "capture"
"""Source name of recorded captures (`sources.recording`). Their changes are MediaWiki's, wherever the file lies."""

WIKI_ID_BYTES: Final = 255
TITLE_BYTES: Final = 1024
"""MediaWiki's titles have at most 255 bytes and a namespace before them. A longer one might not fit an index, and a
retraction must not fail on that."""

_LARGEST: Final = 2**63 - 1

Id = Annotated[int, msgspec.Meta(ge=0, le=_LARGEST)]
"""An identifier or a size. Postgres stores it as bigint."""
NamespaceId = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
"""A namespace's number. Postgres stores it as integer."""
Flag = bool | None | UnsetType
"""A visibility flag of the record's own revision. Absent (UNSET) states nothing; in a retraction whatever is
present and not a boolean, null included, counts as false."""


class Meta(msgspec.Struct, gc=False):
    """`meta` of every record that went through the event platform."""

    stream: str | None = None
    domain: str | None = None
    id: str | None = None
    dt: str | None = None
    uri: str | None = None


NO_META: Final = Meta()


class Statement(msgspec.Struct, gc=False):
    """What a statement of any dialect has: the words by which a record tells its dialect."""

    schema: str | None = msgspec.field(name="$schema", default=None)
    meta: Meta | None = None


S = TypeVar("S", bound=Statement)


class Dialect(msgspec.Struct, Generic[S], frozen=True):
    """One dialect: how its statements are typed, and what they mean."""

    statement: type[S]
    decoder: msgspec.json.Decoder[S]
    change: Callable[[S, Record], Change]
    """The change that a statement makes; raises UnreadableRecord when an essential part is missing."""
    retracts: Callable[[S], bool]
    """Whether the statement takes anything away; then no field but the essential ones may stop it."""
    names: Callable[[S], Names]
    """The wiki, page and revision that the statement names, as far as it does."""


def identity(meta: Meta, record: Record, *, stream: str, event_type: str) -> bytes:
    """Law L8, with `stream` for a record that does not name its own.

    A capture's source is what it holds, so one record played from two files is one change.
    """
    if not meta.id:
        return coordinates_identity(record.at)
    source = "mediawiki" if record.at.source == CAPTURE else record.at.source
    return change_identity(source, without_datacentre(meta.stream) or stream, meta.id, event_type, "")


def without_datacentre(stream: str | None) -> str | None:
    """Strip the datacentre that Kafka topics, but not streams, are prefixed with."""
    if stream is not None and stream.startswith(("eqiad.", "codfw.")):
        return stream[6:]
    return stream


def flag(value: Flag, *, retraction: bool) -> bool | None:
    """Read one visibility flag; None when it states nothing."""
    if value is UNSET:
        return None
    if value is None:
        return False if retraction else None
    return value is True


def storable(text: str | None, limit: int | None = None) -> str | None:
    """`text` if Postgres can hold it (no NUL, no lone surrogate, at most `limit` bytes), else None."""
    if text is None or "\x00" in text:
        return None
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        return None
    return text if limit is None or size <= limit else None


def moment(text: str | None) -> int | None:
    """A timestamp in microseconds, or None when it is absent or unreadable."""
    if text is None:
        return None
    try:
        return microseconds(text)
    except ValueError:
        return None


def names_of(wiki_id: str | None, page_id: int | None, rev_id: int | None) -> Names:
    """Keep of these names what can be stored and looked up."""
    return Names(storable(wiki_id, WIKI_ID_BYTES) or None, page_id or None, rev_id or None)
