"""From a record's bytes to a change: which dialect it is in, what is ignored, and what cannot be read.

A record is read strictly first, in one typed pass. Only when that fails is it read again, leniently, so that a
retraction with a bad field still retracts; anything else that failed is refused with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from wikimirror.errors import UnreadableRecord
from wikimirror.model import Change, Record
from wikimirror.wire import page_change, visibility_change
from wikimirror.wire.dialect import NO_META, Dialect, Statement, without_datacentre
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

DIALECTS: Final[Mapping[str, Dialect[Any]]] = {
    "page_change": page_change.DIALECT,
    "visibility_change": visibility_change.DIALECT,
}
"""The dialects by the names that settings give them."""

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


def decode(record: Record, *, max_bytes: int = RECORD_BYTES, dialect: str | None = None) -> Decoded:
    """Read one record. Whatever its bytes, nothing but UnreadableRecord is raised.

    `dialect`, a name of DIALECTS, is that of a record that tells none: that has no `$schema` of Wikimedia's form and no
    stream known here. A record that tells one is believed, whatever its topic is said to hold; so one whose `$schema`
    is in no dialect read here is refused. Errors name the wiki, page and revision where they can be known, and never
    quote the record.
    """
    value = record.value
    if value is None:
        return NULL
    if len(value) > max_bytes:
        raise unreadable(Reason.TOO_LARGE, f"{len(value)} bytes, the limit is {max_bytes}")
    # Only reading a record tells its dialect: so it is read in the one that its topic is expected to hold.
    expected = _expected(record.at.topic, dialect)
    try:
        statement = expected.decoder.decode(value)
        meta = statement.meta or NO_META
        if meta.domain == "canary":
            return CANARY
        found = _recognise(statement.schema, meta.stream)
        if found is None and dialect is not None:
            found = expected
        if not isinstance(found, Dialect):
            return _again(record, value, dialect)
        if found is not expected:
            statement = found.decoder.decode(value)
    except (ValueError, RecursionError):
        return _again(record, value, dialect)
    return _change(found, statement, record)


def _again(record: Record, value: bytes, default: str | None) -> Decoded:
    """Read a record that does not name a dialect read here, or that the strict reading refused."""
    fields = parse(value)
    head = fit(fields, Statement, hide=False)
    meta = head.meta or NO_META
    if meta.domain == "canary":
        return CANARY
    found = _recognise(head.schema, meta.stream)
    if found is None:
        found = _by_fields(fields) if default is None else DIALECTS[default]
    if isinstance(found, Reason):
        raise _unspoken(found, fields, head.schema)
    try:
        strict = found.decoder.decode(value)
    except (ValueError, RecursionError) as refused:
        failure = refused
    else:
        return _change(found, strict, record)
    statement = fit(fields, found.statement, hide=False)
    if not found.retracts(statement):
        raise unreadable(Reason.BAD_VALUE, _rule(failure), found.names(statement))
    return _change(found, fit(fields, found.statement, hide=True), record)


def _change(dialect: Dialect[Any], statement: Statement, record: Record) -> Change:
    """The change of a statement. What cannot be read says whether it takes something away."""
    try:
        return dialect.change(statement, record)
    except UnreadableRecord as error:
        error.retracts = dialect.retracts(statement)
        raise


def _unspoken(reason: Reason, fields: dict[str, Any], schema: str | None) -> UnreadableRecord:
    """The error of a record in no dialect of ours. One of a later version is looked at as if it were of this one."""
    error = unreadable(reason, "", _names(fields))
    form = _SCHEMA(schema) if reason is Reason.UNKNOWN_MAJOR and schema is not None else None
    if form is not None:
        _, dialect = _BY_SCHEMA[form["name"]]
        error.retracts = dialect.retracts(fit(fields, dialect.statement, hide=False))
    return error


@lru_cache(maxsize=256)
def _expected(topic: str, default: str | None) -> Dialect[Any]:
    """The dialect that a topic's records are likely in: that of the stream it is named for, or the one said."""
    if default is not None:
        return DIALECTS[default]
    return _BY_STREAM.get(without_datacentre(topic) or "", page_change.DIALECT)


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
