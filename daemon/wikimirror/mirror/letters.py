"""Letters set aside, one by one: found by what they have in common, looked at, held while they are redriven, deleted.

`dead_letters` writes them with the batches; here is what a person does with them afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from wikimirror.mirror.connect import Session
from wikimirror.model import Coordinates

_CHOSEN: Final = """
(cardinality($1::bigint[]) = 0 OR dead_letter_id = ANY($1)) AND ($2::text IS NULL OR reason = $2)
    AND ($3::text IS NULL OR source = $3) AND ($4::text IS NULL OR topic = $4)
    AND ($5::bigint IS NULL OR partition = $5) AND ($6::text IS NULL OR wiki_id = $6)
    AND ($7::bigint IS NULL OR page_id = $7) AND (NOT $8::boolean OR retracts)
"""
_COLUMNS: Final = """
dead_letter_id, source, topic, partition, "offset", reason, sqlstate, constraint_name, wiki_id, page_id, rev_id,
    published, first_seen, last_seen, seen, encode(payload_sha256, 'hex') AS payload_sha256, retracts, hidden
"""
# An auditor may read all but what was in them.
_MAY_READ: Final = "SELECT has_column_privilege('dead_letter', 'payload', 'SELECT')"
_KEPT: Final = "payload IS NOT NULL AS payload_kept"
_NOT_TOLD: Final = "NULL::boolean AS payload_kept"
_BY_COORDINATES: Final = 'ORDER BY source, topic, partition, "offset"'
# Fragments of this module alone are put together below; every value is a parameter.
_COUNT: Final = f"SELECT count(*) FROM dead_letter WHERE {_CHOSEN}"  # noqa: S608  # as said above
_NEWEST: Final = (
    f"SELECT {_COLUMNS}, %s FROM dead_letter WHERE {_CHOSEN} ORDER BY last_seen DESC, dead_letter_id DESC LIMIT $9"  # noqa: S608  # as said above
)
_ONE: Final = f"SELECT {_COLUMNS}, %s FROM dead_letter WHERE dead_letter_id = $1"  # noqa: S608  # as said above
_PAYLOAD: Final = "SELECT payload FROM dead_letter WHERE dead_letter_id = $1"
_IDS: Final = f"SELECT dead_letter_id FROM dead_letter WHERE {_CHOSEN} {_BY_COORDINATES}"  # noqa: S608  # as said above
_TO_REDRIVE: Final = """
SELECT dead_letter_id, source, topic, partition, "offset", payload, payload_sha256, retracts,
    coalesce((extract(epoch FROM published) * 1000000)::bigint, 0) AS published,
    (extract(epoch FROM first_seen) * 1000000)::bigint AS first_seen
FROM dead_letter WHERE dead_letter_id = $1
"""
# By the time a batch's transaction comes to its letter, it holds its pages: as a lane that empties payloads does. So
# neither waits for the other in a circle, and waiting here tells what became of the letter.
_DONE: Final = "DELETE FROM dead_letter WHERE dead_letter_id = $1 RETURNING dead_letter_id"
_STAYS: Final = """
UPDATE dead_letter SET payload_sha256 = coalesce($2, payload_sha256) WHERE dead_letter_id = $1
RETURNING reason, sqlstate, constraint_name
"""
_TO_DISCARD: Final = f"""
SELECT {_COLUMNS}, {_KEPT} FROM dead_letter
WHERE {_CHOSEN} AND (NOT retracts OR cardinality($1) > 0) {_BY_COORDINATES} LIMIT $9
"""  # noqa: S608  # as said above
_RETRACTING: Final = f"SELECT count(*) FROM dead_letter WHERE {_CHOSEN} AND retracts"  # noqa: S608  # as said above
# Whoever else works on a letter now decides what becomes of it: it is neither waited for nor deleted.
_DISCARD: Final = f"""
DELETE FROM dead_letter WHERE dead_letter_id IN (
    SELECT dead_letter_id FROM dead_letter WHERE dead_letter_id = ANY($1) FOR UPDATE SKIP LOCKED
) RETURNING {_COLUMNS}, {_KEPT}
"""  # noqa: S608  # as said above


class Filter(NamedTuple):
    """Which letters are meant: those that fit all that is given; with nothing given, all of them."""

    ids: tuple[int, ...] = ()
    reason: str | None = None
    source: str | None = None
    topic: str | None = None
    partition: int | None = None
    wiki: str | None = None
    page: int | None = None
    retractions: bool = False
    """Only those that take something away."""

    @property
    def is_empty(self) -> bool:
        """Whether all letters are meant."""
        return self == Filter()


@dataclass(frozen=True, slots=True)
class Letter:
    """A record that was set aside, without what was in it. Times are UTC."""

    dead_letter_id: int
    source: str
    topic: str
    partition: int
    offset: int
    reason: str
    sqlstate: str | None
    constraint_name: str | None
    wiki_id: str | None
    page_id: int | None
    rev_id: int | None
    published: datetime | None
    """When the source's log took it in; None: the source does not tell."""
    first_seen: datetime
    last_seen: datetime
    seen: int
    """How often it was set aside."""
    payload_sha256: str | None
    """Of the record's bytes, in hexadecimal."""
    retracts: bool
    """It takes something away."""
    hidden: bool
    """Its page is hidden until it is read again."""
    payload_kept: bool | None
    """None: the role of this session may not know."""

    @property
    def at(self) -> Coordinates:
        """Where it was read."""
        return Coordinates(self.source, self.topic, self.partition, self.offset)


class Held(NamedTuple):
    """What redriving needs of a letter."""

    letter_id: int
    at: Coordinates
    payload: bytes | None
    """The record as it was kept: without what may not be kept of it (`dead_letters.scrubbed`)."""
    sha256: bytes | None
    """Of the record as it was read."""
    retracts: bool
    published: int
    """Microseconds; 0: not known."""
    first_seen: int
    """Microseconds."""


class Still(NamedTuple):
    """Why a letter stays."""

    reason: str
    sqlstate: str | None
    constraint_name: str | None


async def find_letters(session: Session, chosen: Filter, *, limit: int) -> tuple[list[Letter], int]:
    """Within a transaction: the letters seen last, newest last, and how many more there are."""
    kept = _KEPT if await session.fetchval(_MAY_READ) else _NOT_TOLD
    rows = await session.fetch(_NEWEST % kept, *_arguments(chosen), limit)
    total = await session.fetchval(_COUNT, *_arguments(chosen))
    return [Letter(**dict(row)) for row in reversed(rows)], max(0, total - len(rows))


async def read_letter(session: Session, letter_id: int) -> tuple[Letter, bytes | None] | None:
    """Within a transaction: a letter and its payload, if one is kept and may be read; None: there is no such letter."""
    may_read = await session.fetchval(_MAY_READ)
    row = await session.fetchrow(_ONE % (_KEPT if may_read else _NOT_TOLD), letter_id)
    if row is None:
        return None
    return Letter(**dict(row)), await session.fetchval(_PAYLOAD, letter_id) if may_read else None


async def letter_ids(session: Session, chosen: Filter) -> list[int]:
    """Within a transaction: the letters meant, in order of coordinates."""
    return [row[0] for row in await session.fetch(_IDS, *_arguments(chosen))]


async def letter_to_redrive(session: Session, letter_id: int) -> Held | None:
    """A letter as it is now, in a transaction of its own; None where it is gone."""
    async with session.transaction():
        row = await session.fetchrow(_TO_REDRIVE, letter_id)
    if row is None:
        return None
    at = Coordinates(row["source"], row["topic"], row["partition"], row["offset"])
    times = row["published"], row["first_seen"]
    return Held(letter_id, at, row["payload"], row["payload_sha256"], row["retracts"], *times)


async def delete_done(session: Session, letter_id: int) -> bool:
    """At the end of the transaction that applied it: whether the letter was still there to be deleted."""
    return await session.fetchval(_DONE, letter_id) is not None


async def keep_failed(session: Session, held: Held) -> Still | None:
    """At the end of the transaction that set it aside again: why it stays; None where somebody else ended it.

    The hash stays that of the record as it was read: a payload is not the whole record.
    """
    row = await session.fetchrow(_STAYS, held.letter_id, held.sha256)
    return None if row is None else Still(*row)


async def letters_to_discard(session: Session, chosen: Filter, *, limit: int) -> tuple[list[Letter], int, int]:
    """Within a transaction: letters that may go, how many more may, and how many stay since they retract.

    One that takes something away goes only where its number is given.
    """
    rows = await session.fetch(_TO_DISCARD, *_arguments(chosen), limit)
    total = await session.fetchval(_COUNT, *_arguments(chosen))
    retracting = 0 if chosen.ids else await session.fetchval(_RETRACTING, *_arguments(chosen))
    return [Letter(**dict(row)) for row in rows], max(0, total - retracting - len(rows)), retracting


async def delete_letters(session: Session, letter_ids: Sequence[int]) -> list[Letter]:
    """Within a transaction: delete them, but for those that somebody works on now. Those deleted, by coordinates."""
    rows = await session.fetch(_DISCARD, list(letter_ids))
    return sorted((Letter(**dict(row)) for row in rows), key=lambda letter: letter.at)


def _arguments(chosen: Filter) -> tuple[object, ...]:
    return (list(chosen.ids), *chosen[1:])
