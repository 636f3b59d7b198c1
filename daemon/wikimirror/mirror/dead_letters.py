"""Dead letters: records set aside, with the reason and, where promise P3 allows it, what was in them.

A payload is kept only when page and revision are known, without `prior_state`, top-level `comment` and `performer` and
without other pages' titles, and only while the page and the revision have nothing to remember but edits. Any retraction
of the page, or of the revision under whatever page, empties it again; redriving then reads the source. A reason is a
SQLSTATE and a constraint's name, or one of wire's; never Postgres's DETAIL line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import msgspec

from wikimirror.mirror.connect import Session
from wikimirror.model import Change, Record

PAYLOAD_LIMIT: Final = 1024 * 1024
"""Bytes. A larger record is read again from its source when it is redriven."""

_SET_ASIDE: Final = """
INSERT INTO dead_letter AS d (source, topic, partition, "offset", reason, sqlstate, constraint_name,
    wiki_id, page_id, rev_id, payload, payload_sha256, published, retracts, hidden)
SELECT u.source, u.topic, u.partition, u."offset", u.reason, u.sqlstate, u.constraint_name, u.wiki_id, u.page_id,
    u.rev_id,
    CASE WHEN EXISTS (
        SELECT FROM page p WHERE p.wiki_id = u.wiki_id AND p.page_id = u.page_id AND p.registers IS NOT NULL
    ) OR EXISTS (
        SELECT FROM revision r WHERE r.wiki_id = u.wiki_id AND r.rev_id = u.rev_id
            AND (r.registers IS NOT NULL OR NOT r.content_visible)
    ) THEN NULL ELSE u.payload END,
    u.payload_sha256, timestamptz 'epoch' + nullif(u.published, 0) * interval '1 microsecond', u.retracts, u.hidden
FROM unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::bigint[], $10::bigint[], $11::bytea[], $12::bytea[], $13::bigint[], $14::boolean[], $15::boolean[])
    AS u (source, topic, partition, "offset", reason, sqlstate, constraint_name, wiki_id, page_id, rev_id, payload,
        payload_sha256, published, retracts, hidden)
ON CONFLICT (source, topic, partition, "offset") DO UPDATE SET
    reason = excluded.reason, sqlstate = excluded.sqlstate, constraint_name = excluded.constraint_name,
    payload = excluded.payload, payload_sha256 = excluded.payload_sha256, last_seen = now(), seen = d.seen + 1,
    published = coalesce(excluded.published, d.published), retracts = d.retracts OR excluded.retracts,
    hidden = d.hidden OR excluded.hidden
"""
# Held to the transaction's end: a payload is kept before a retraction elsewhere looks for it, or after it is seen.
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('wikimirror dead letter ' || current_schema(), 0))"
_EMPTY: Final = """
UPDATE dead_letter d SET payload = NULL
FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS k (wiki_id, page_id, rev_id)
WHERE d.wiki_id = k.wiki_id AND (d.page_id = k.page_id OR d.rev_id = k.rev_id) AND d.payload IS NOT NULL
"""


_NOT_KEPT: Final = frozenset({"prior_state", "comment", "performer", "created_redirect_page"})


class SetAside(NamedTuple):
    """A record to be set aside and why. Page and revision as far as they are known."""

    record: Record
    reason: str
    sqlstate: str | None = None
    constraint: str | None = None
    wiki_id: str | None = None
    page_id: int | None = None
    rev_id: int | None = None
    keeps_payload: bool = False
    """Whether the record states nothing hidden: its payload may be kept if nothing else forbids it."""
    retracts: bool = False
    """Whether it takes something away."""
    hidden: bool = False
    """Whether its page was hidden for it."""


async def set_aside(session: Session, letters: Sequence[SetAside]) -> None:
    """Write them within the batch's transaction; the same coordinates again count in `seen`."""
    # Of records read twice in one batch the last stands: one statement must not touch a row twice. One that cannot be
    # read may bear the coordinates of its neighbour; it must not stand for a retraction.
    rows = {letter.record.at: _row(letter) for letter in sorted(letters, key=lambda letter: letter.retracts)}
    if any(letter.keeps_payload for letter in letters):
        await session.execute(_LOCK)
    if rows:
        await session.execute(_SET_ASIDE, *(list(column) for column in zip(*rows.values(), strict=True)))


async def empty_payloads(session: Session, retractions: Collection[Change]) -> None:
    """They took something of their page or revisions away: no dead letter of either may still hold it (P3)."""
    keys = {(*c.page, rev_id) for c in retractions for rev_id in (c.rev_id, *(n.rev_id for n in c.neighbours))}
    if keys:
        await session.execute(_LOCK)
        await session.execute(_EMPTY, *(list(column) for column in zip(*keys, strict=True)))


def scrubbed(value: bytes | None) -> bytes | None:
    """A record's payload without what may be another revision's, or no one's to keep; None when it cannot be told."""
    if value is None or len(value) > PAYLOAD_LIMIT:
        return None
    try:
        payload = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(payload, dict):
        return None
    kept = {key: part for key, part in payload.items() if key not in _NOT_KEPT}
    if isinstance(page := kept.get("page"), dict):
        kept["page"] = {key: part for key, part in page.items() if key != "redirect_page_link"}
    return msgspec.json.encode(kept)


def _row(letter: SetAside) -> tuple[object, ...]:
    value = letter.record.value
    wiki_id = _text(letter.wiki_id)
    known = wiki_id is not None and letter.page_id is not None and letter.rev_id is not None
    payload = scrubbed(value) if known and letter.keeps_payload else None
    digest = None if value is None else hashlib.sha256(value).digest()
    return (
        *letter.record.at, letter.reason, letter.sqlstate, letter.constraint, wiki_id, letter.page_id,
        letter.rev_id, payload, digest, letter.record.published, letter.retracts, letter.hidden,
    )  # fmt: skip


def _text(value: str | None) -> str | None:
    """A wiki's name that Postgres cannot hold is not told."""
    if value is None or "\x00" in value or not value.isascii():
        return None
    return value
