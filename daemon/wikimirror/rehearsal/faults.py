"""How the served wiki misbehaves, and what it counts. All of it was seen of the public service or of the way to it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

Page = tuple[str, int]
"""A page: wiki_id and page_id."""


class Cut(Enum):
    """How a connection ends."""

    CLEAN = "clean"
    """The body ends in good order, after a whole record."""
    MID_RECORD = "mid_record"
    """Half of the next record is sent, then the connection is closed; the body never ends."""


class Answer(Enum):
    """What a request gets instead of a stream."""

    HTML = "html"
    """200, and a page for people: what a portal or a proxy on the way says."""
    ERROR = "error"
    """500."""
    UNAVAILABLE = "unavailable"
    """503, with Retry-After."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Which misbehaviours there are. The defaults are the public service on a good day. Times are in seconds.

    `…_after` counts the records of one connection: 0 is at once. `…_every` is each so manieth record of a connection.
    """

    cut: Cut = Cut.CLEAN
    cut_after: int | None = None
    cut_seconds: float | None = None
    """From the answer on. The public service cuts at 900."""
    connections: int | None = 2
    """How many streams a client may have at once; one more is answered with 429. None: any number."""
    contact: bool = True
    """Whether a User-Agent has to name an address or a page, and is answered with 403 otherwise."""
    records_a_second: float | None = None
    bytes_a_second: float | None = None
    answer_delay: float = 0.0
    answer: Answer | None = None
    answers: int = 1
    """How many requests get `answer`, from the moment these faults are set."""
    retry_after: int = 1
    """What 429 and 503 ask for."""
    error_after: int | None = None
    """Then comes a frame `event: error`, and the body ends in good order."""
    freeze_after: int | None = None
    """Then nothing more comes, and the connection stays open."""
    renumbered_by: int = 0
    """Every second connection reads another cluster, which numbers the same records so much higher."""
    redacted: frozenset[Page] = frozenset()
    """Pages whose editors the edge leaves out."""
    duplicate_every: int | None = None
    """The same frame comes twice."""
    poison_every: int | None = None
    """A frame comes beside whose data is not JSON."""
    oversized_every: int | None = None
    """A canary of `oversized_bytes` comes beside, with the coordinates of the record before it."""
    oversized_bytes: int = 21 * 2**20


NO_FAULTS: Final = Faults()


@dataclass(slots=True)
class Counts:
    """What a server did."""

    requests: int = 0
    """For streams: also those refused or answered otherwise."""
    refused: Counter[int] = field(default_factory=Counter)
    """By HTTP status."""
    connections: int = 0
    """Requests for streams that are open now, those about to be refused among them."""
    most_connections: int = 0
    """The most that were open at once, since a refused one would be too many as well."""
    records: int = 0
    """Frames sent, those of faults too."""
    redacted: int = 0
    """Records sent without their editors."""
    cuts: int = 0
    throttled: int = 0
    """Times that sending waited although there was more to send."""
