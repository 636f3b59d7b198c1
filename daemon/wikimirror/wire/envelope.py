"""From a record's bytes to a change: which dialect it is in, what is ignored, and what cannot be read.

A record is read strictly first, in one typed pass. Only when that fails is it read again, leniently, so that a
retraction with a bad field still retracts; anything else that failed is refused with its reason.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from wikimirror.model import Change, Record
from wikimirror.wire import page_change, visibility_change
from wikimirror.wire.dialect import Dialect, without_datacentre
from wikimirror.wire.lenient import fit, parse
from wikimirror.wire.reasons import NOTHING_NAMED, Names, Reason, unreadable

RECORD_BYTES: Final = 20 * 2**20
"""The largest record that is looked into, unless the caller says otherwise."""


class Ignored(NamedTuple):
    """A record that says nothing about any page: 'canary' or 'null'."""

    reason: str


Decoded = Change | Ignored

NULL: Final = Ignored("null")
CANARY: Final = Ignored("canary")

_SCHEMA: Final = re.compile(r"(?P<name>/[A-Za-z0-9_./-]+)/(?P<major>[0-9]{1,6})\.[0-9]{1,6}\.[0-9]{1,6}").fullmatch
_LONGEST_NAME: Final = 256
_BY_SCHEMA: Final[dict[str, tuple[int, Dialect[Any]]]] = {
    "/mediawiki/page/change": (1, page_change.DIALECT),
    "/mediawiki/revision/visibility-change": (1, visibility_change.DIALECT),
}
_BY_STREAM: Final[dict[str, Dialect[Any]]] = {
    page_change.STREAM: page_change.DIALECT,
    page_change.STREAM_WITH_CONTENT: page_change.DIALECT,
    visibility_change.STREAM: visibility_change.DIALECT,
}
_BY_FIELDS: Final[tuple[tuple[frozenset[str], Dialect[Any]], ...]] = (
    (frozenset({"page_change_kind", "wiki_id"}), page_change.DIALECT),
    (frozenset({"visibility", "database", "rev_id"}), visibility_change.DIALECT),
)


class _HeadMeta(msgspec.Struct, gc=False):
    stream: str | None = None
    domain: str | None = None


class _Head(msgspec.Struct, gc=False):
    schema: str | None = msgspec.field(name="$schema", default=None)
    meta: _HeadMeta | None = None


_HEAD: Final = msgspec.json.Decoder(_Head)
_NO_META: Final = _HeadMeta()


def decode(record: Record, *, max_bytes: int = RECORD_BYTES) -> Decoded:
    """Read one record. Whatever its bytes, nothing but UnreadableRecord is raised.

    Errors name the wiki, page and revision where they can be known, and never quote the record.
    """
    value = record.value
    if value is None:
        return NULL
    if len(value) > max_bytes:
        raise unreadable(Reason.TOO_LARGE, f"{len(value)} bytes, the limit is {max_bytes}")
    try:
        head = _HEAD.decode(value)
        meta = head.meta or _NO_META
        if meta.domain == "canary":
            return CANARY
        dialect = _recognise(head.schema, meta.stream)
        if not isinstance(dialect, Dialect):
            return _again(record, value, None)
        statement = dialect.decoder.decode(value)
    except (ValueError, RecursionError) as failure:
        return _again(record, value, failure)
    return dialect.change(statement, record)


def _again(record: Record, value: bytes, failure: Exception | None) -> Decoded:
    """Read a record whose dialect is not named, or that the strict reading refused with `failure`."""
    fields = parse(value)
    head = fit(fields, _Head, hide=False)
    meta = head.meta or _NO_META
    if meta.domain == "canary":
        return CANARY
    found = _recognise(head.schema, meta.stream)
    dialect = _by_fields(fields) if found is None else found
    if isinstance(dialect, Reason):
        raise unreadable(dialect, "", _names(fields))
    if failure is None:
        try:
            return dialect.change(dialect.decoder.decode(value), record)
        except (ValueError, RecursionError) as refused:
            failure = refused
    statement = fit(fields, dialect.statement, hide=False)
    if not dialect.retracts(statement):
        raise unreadable(Reason.BAD_VALUE, _rule(failure), dialect.names(statement))
    return dialect.change(fit(fields, dialect.statement, hide=True), record)


def _recognise(schema: str | None, stream: str | None) -> Dialect[Any] | Reason | None:
    """The dialect by `$schema`, else by stream; a reason when it is named but not one of ours; None when unnamed."""
    if schema is not None and len(schema) <= _LONGEST_NAME:
        by_schema = _by_schema(schema)
        if by_schema is not None:
            return by_schema
    if stream is not None and len(stream) <= _LONGEST_NAME:
        return _BY_STREAM.get(without_datacentre(stream) or "")
    return None


@lru_cache(maxsize=256)
def _by_schema(schema: str) -> Dialect[Any] | Reason | None:
    form = _SCHEMA(schema)
    if form is None:
        return None
    known = _BY_SCHEMA.get(form["name"])
    if known is None:
        return Reason.UNKNOWN_DIALECT
    major, dialect = known
    return dialect if int(form["major"]) == major else Reason.UNKNOWN_MAJOR


def _by_fields(fields: dict[str, Any]) -> Dialect[Any] | Reason:
    for needed, dialect in _BY_FIELDS:
        if needed <= fields.keys():
            return dialect
    return Reason.UNKNOWN_DIALECT


def _names(fields: dict[str, Any]) -> Names:
    """What a record in no dialect of ours names, if it names it as one of ours would."""
    for dialect in _BY_STREAM.values():
        names = dialect.names(fit(fields, dialect.statement, hide=False))
        if names.wiki_id is not None:
            return Names(*names)
    return NOTHING_NAMED


def _rule(failure: Exception) -> str:
    """What the strict reading objected to: types and paths, never values; other failures speak of bytes."""
    return str(failure) if isinstance(failure, msgspec.ValidationError) else "text that is not Unicode, or too deep"
