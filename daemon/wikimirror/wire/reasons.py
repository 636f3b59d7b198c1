"""Why a record cannot be read: the closed set behind `UnreadableRecord.reason`, and how one is made."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from wikimirror.errors import UnreadableRecord


class Reason(StrEnum):
    """Label of metrics and dead letters. Never a word of the record itself."""

    NOT_JSON = "not_json"
    """The bytes are not one JSON value."""
    NOT_AN_OBJECT = "not_an_object"
    """JSON, but a number, a list, a string or null."""
    TOO_LARGE = "too_large"
    """More bytes than the limit on records; not looked into."""
    UNKNOWN_DIALECT = "unknown_dialect"
    """Neither `$schema`, nor the stream's name, nor the fields belong to a dialect read here."""
    UNKNOWN_MAJOR = "unknown_major"
    """A known schema in a major version that was never read."""
    UNKNOWN_KIND = "unknown_kind"
    """A known schema, but a `page_change_kind` that it did not have."""
    MISSING_FIELD = "missing_field"
    """A field without which nothing can be said is absent or null."""
    BAD_VALUE = "bad_value"
    """A field has a type or a value that it cannot have."""


class Names(NamedTuple):
    """What a record names, as far as it can be known; each part can be stored and looked up."""

    wiki_id: str | None = None
    page_id: int | None = None
    rev_id: int | None = None


NOTHING_NAMED = Names()


def unreadable(reason: Reason, detail: str = "", names: Names = NOTHING_NAMED) -> UnreadableRecord:
    """Make the error for one record; `detail` is a field's path or a rule, never a value."""
    return UnreadableRecord(reason, detail, wiki_id=names.wiki_id, page_id=names.page_id, rev_id=names.rev_id)
