"""The nouns of wikimirror: what a record, a change and a batch are.

Everything here is immutable and does no I/O. Times are whole microseconds since the Unix epoch, UTC;
identifiers are MediaWiki's own and may exceed 2**31.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple, Protocol

import msgspec

MICROSECONDS: Final = 1_000_000


class Clock(IntEnum):
    """The clock a change's time was read from (law L1). Times of different clocks differ by up to `skew`."""

    ACTION = 0
    """page_change `dt`: when the wiki acted, in steps of one second."""
    RECEIPT = 1
    """`meta.dt` of streams without `dt`: when the event platform received it, up to minutes later."""
    PROCESSING = 2
    """Enterprise `event.date_created`: when its pipeline fetched the page again."""


class Kind(StrEnum):
    """What a change says happened."""

    CREATE = "create"
    EDIT = "edit"
    MOVE = "move"
    UNDELETE = "undelete"
    VISIBILITY_CHANGE = "visibility_change"
    """page_change's: sent only when the current revision is affected, and carries the whole page state."""
    DELETE = "delete"
    """A real deletion, suppression included."""
    REVISION_VISIBILITY = "revision_visibility"
    """A stub about any one revision (mediawiki.revision-visibility-change): flags, nothing else."""
    UPDATE = "update"
    """A restatement of the page without visibility flags (Enterprise updates, snapshot and on-demand rows)."""
    ASSERT = "assert"
    """A confirmed re-read of the page's state (law L6)."""
    TITLE_VACATED = "title_vacated"
    """Enterprise's delete of a moved page's old title (law L7)."""
    WITHDRAWAL = "withdrawal"
    """Enterprise's delete that may be an edit to a redirect: a deletion only once proved (law L7)."""


class Field(StrEnum):
    """A part of a revision that the wiki can hide. With TEXT go sha1, size and every format of the body."""

    TEXT = "text"
    EDITOR = "editor"
    COMMENT = "comment"


class Format(StrEnum):
    """The format of a body."""

    WIKITEXT = "wikitext"
    HTML = "html"
    JSON = "json"


class PageKey(NamedTuple):
    """A page, by the wiki's database name and MediaWiki's page id. Never by title."""

    wiki_id: str
    page_id: int


class RevKey(NamedTuple):
    """A revision, by the wiki's database name and MediaWiki's revision id. Its page may change (law L5)."""

    wiki_id: str
    rev_id: int


class Coordinates(NamedTuple):
    """Where a record was read: the source's name, its topic, partition and the record's own offset."""

    source: str
    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.source} {self.topic}[{self.partition}]@{self.offset}"


class Record(msgspec.Struct, frozen=True, gc=False):
    """Bytes as received, with their coordinates. `value` is None for a null record (Kafka's tombstone)."""

    at: Coordinates
    value: bytes | None
    received: int
    published: int = 0
    """When the source's log took it in, as the transport tells (an SSE id, Kafka's timestamp). 0: it does not."""
    again: bool = False
    """Read once more on purpose (a resume's overlap): it is applied like any other, and moves no position."""


class Body(NamedTuple):
    """One text of a revision."""

    format: Format
    text: str


class Hidden(NamedTuple):
    """What a change says of a revision other than its own: these fields of it are hidden (law L4)."""

    rev_id: int
    fields: tuple[Field, ...]


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One decoded statement of the source about one page and one of its revisions.

    None means "not stated" everywhere; an absent value never clears a known one (law L9).
    """

    identity: bytes
    """16 bytes; see `change_identity`."""
    kind: Kind
    clock: Clock
    time: int
    """When it happened, on `clock`."""
    published: int
    """When the source published it; freshness and latency are measured from here, never from `time`."""
    page: PageKey
    rev_id: int
    rev_dt: int
    """The revision's own timestamp."""

    title: str | None = None
    """Prefixed, with spaces."""
    namespace_id: int | None = None
    is_redirect: bool | None = None
    url: str | None = None
    wikibase_item_id: str | None = None
    vacates: bool = False
    """The page left the mirrored scope with this change (law L7); it then supplies nothing."""
    former_namespace_id: int | None = None
    """Set by a move between namespaces."""
    former_page_id: int | None = None
    """Set by an undeletion that gave the page a new id."""
    suppresses: bool = False
    """A deletion that hides the page's title too."""

    parent_rev_id: int | None = None
    """0: the first revision of its page."""
    is_minor: bool | None = None
    is_revert: bool = False
    text_visible: bool | None = None
    editor_visible: bool | None = None
    comment_visible: bool | None = None
    editor_name: str | None = None
    editor_id: int | None = None
    comment: str | None = None
    sha1: str | None = None
    size: int | None = None
    content_model: str | None = None
    bodies: tuple[Body, ...] = ()
    neighbours: tuple[Hidden, ...] = ()

    @property
    def rev(self) -> RevKey:
        """The revision this change names."""
        return RevKey(self.page.wiki_id, self.rev_id)

    @property
    def hides(self) -> bool:
        """Whether it states a field of its own revision hidden."""
        return self.text_visible is False or self.editor_visible is False or self.comment_visible is False

    @property
    def shows_all(self) -> bool:
        """Whether it states every field of its own revision visible."""
        return self.text_visible is True and self.editor_visible is True and self.comment_visible is True


def change_identity(source: str, stream: str, event_id: str, event_type: str, name: str) -> bytes:
    """Law L8: the identity of a change that has an id, as 16 bytes. Copies from two sources are two changes."""
    return _digest("id", source, stream, event_id, event_type, name)


def coordinates_identity(at: Coordinates) -> bytes:
    """Law L8: the identity of a change without an id: where it was read."""
    return _digest("at", at.source, at.topic, str(at.partition), str(at.offset))


def hiding_identity(at: Coordinates) -> bytes:
    """The identity of the deletion that stands for a retraction which was set aside: where that was read."""
    return _digest("hiding", at.source, at.topic, str(at.partition), str(at.offset))


def _digest(*parts: str) -> bytes:
    return hashlib.blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Lane(NamedTuple):
    """One partition of one source: what one writer owns (promise P5)."""

    source: str
    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.source} {self.topic}[{self.partition}]"


class Position(NamedTuple):
    """The next record of a lane to read."""

    offset: int
    time: int = 0
    """`published` of the newest record read, for sources that resume by time. 0: not known, or of no use."""


class Advance(NamedTuple):
    """The step of one lane's checkpoint that a batch makes: from the position it was read at to the next to read.

    Both are the same where a batch only holds records read again: the step then proves who owns the lane.
    """

    lane: Lane
    epoch: int
    position: int
    next_position: int
    next_time: int = 0
    """`Position.time`, kept with the position. 0 leaves what is kept as it is."""


class Lost(NamedTuple):
    """A stretch of a lane that the source no longer gives: told by the source, kept as a gap (promise P4)."""

    lane: Lane
    after: Position
    """What was read last before it."""
    until: Position
    """Where reading goes on; an offset of -1 is not known yet."""
    reason: str
    """One of a closed set: `retention`, `jump`, `truncated`; `skipped` where a person moved the position over it."""


class Entry(NamedTuple):
    """A decoded record of a batch."""

    record: Record
    change: Change


class Unread(NamedTuple):
    """A record of a batch that could not be decoded; it is set aside with the batch."""

    record: Record
    error: UnreadableRecordLike


class UnreadableRecordLike(Protocol):
    """What is needed of an error to set its record aside (errors.UnreadableRecord)."""

    reason: str
    wiki_id: str | None
    page_id: int | None
    rev_id: int | None
    retracts: bool


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What one transaction applies: changes in reading order, records set aside, and how far its lanes get."""

    advances: tuple[Advance, ...]
    entries: list[Entry]
    unread: list[Unread] = []
    lost: tuple[Lost, ...] = ()
    order: list[Coordinates] = []
    """Of all records read for it, those ignored included, in reading order: what the breaker counts by."""
