"""Letters set aside: told, redriven, discarded. Safe while the daemon runs: what is older than the mirror does nothing.

A letter is redriven in one transaction of its own that applies its record and deletes it, or counts that it failed
again. Whoever comes second to a letter finds it gone at that transaction's end, and takes back what it did.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from wikimirror import wire
from wikimirror.errors import WikimirrorError
from wikimirror.merge.law import Law
from wikimirror.mirror.apply import Applied, Applier
from wikimirror.mirror.connect import Session
from wikimirror.mirror.dead_letters import PAYLOAD_LIMIT
from wikimirror.mirror.letters import (
    Filter,
    Held,
    Letter,
    Still,
    delete_done,
    delete_letters,
    find_letters,
    keep_failed,
    letter_ids,
    letter_to_redrive,
    letters_to_discard,
    read_letter,
)
from wikimirror.mirror.shadow import shadow_of
from wikimirror.model import Batch
from wikimirror.ops.letters.records import Found, Records, Unavailable
from wikimirror.ops.letters.reports import (
    DiscardReport,
    LetterReport,
    LettersReport,
    Outcome,
    Redriven,
    RedriveReport,
)
from wikimirror.ops.reports import OnProgress, no_progress
from wikimirror.wire import CAPTURE

DISCARDED_AT_ONCE: Final = 1000
"""So that the note of what was discarded names each."""
_TOLD: Final = 10_000
"""Letters that a report names."""
_AT_ONCE: Final = 100
_BYTES_AT_ONCE: Final = 16 * 2**20
"""A dry run holds the records of so many letters: its transaction must not wait for a source."""
_SQLSTATE: Final = "sqlstate_"


class Redrive(NamedTuple):
    """How letters are redriven."""

    law: Law
    records: Records
    dry_run: bool = False
    note: Callable[[dict[str, int]], None] = lambda _counts: None
    """Told, once, of the counts by outcome: they grow as it goes on."""
    on_progress: OnProgress = no_progress


async def list_letters(session: Session, chosen: Filter, limit: int) -> LettersReport:
    """The letters seen last, newest last. The session may be read-only, of an auditor too."""
    async with session.transaction():
        return LettersReport(*await find_letters(session, chosen, limit=limit))


async def show_letter(session: Session, letter_id: int) -> LetterReport:
    """One letter with its payload. Raises WikimirrorError where there is none of that number."""
    async with session.transaction():
        found = await read_letter(session, letter_id)
    if found is None:
        raise WikimirrorError(
            f"there is no dead letter {letter_id}",
            remedy="It may have been redriven or discarded; `wikimirror dead-letters list` tells those that are there.",
        )
    letter, payload = found
    return LetterReport(letter, _parsed(payload), None if payload is not None else why_without(letter))


async def redrive(session: Session, chosen: Filter, how: Redrive) -> RedriveReport:
    """Put the letters back, in order of coordinates, each for itself.

    A dry run does the same to a shadow of the tables, to about a hundred letters one upon the other at a time. Raises
    DatabaseUnavailable, DatabaseRefused; letters done before stay done.
    """
    counts: Counter[str] = Counter()
    how.note(counts)
    told: list[Redriven] = []
    async with session.transaction():
        ids = await letter_ids(session, chosen)
    missing = sorted(set(chosen.ids).difference(ids))
    begun = time.monotonic()
    outcomes = _tried(session, ids, how) if how.dry_run else _done(session, ids, how)
    async for redriven in outcomes:
        counts[redriven.outcome.value] += 1
        if len(told) < _TOLD:
            told.append(redriven)
        done = counts.total()
        how.on_progress(done, len(ids), done / max(time.monotonic() - begun, 1e-6))
    counts.update([Outcome.GONE.value] * len(missing))
    told += [_gone(letter_id) for letter_id in missing]
    return RedriveReport(how.dry_run, dict(counts), told, counts.total() - len(told))


async def plan_discard(session: Session, chosen: Filter) -> DiscardReport:
    """What `discard` would delete. The session may be read-only."""
    async with session.transaction():
        letters, more, retracting = await letters_to_discard(session, chosen, limit=DISCARDED_AT_ONCE)
    known = {letter.dead_letter_id for letter in letters}
    missing = [] if more else sorted(set(chosen.ids) - known)
    return DiscardReport(dry_run=True, letters=letters, more=more, retracting=retracting, busy=missing)


async def discard(session: Session, plan: DiscardReport) -> DiscardReport:
    """Delete what the plan shows, in one transaction; letters that somebody works on now are left."""
    ids = [letter.dead_letter_id for letter in plan.letters]
    async with session.transaction():
        letters = await delete_letters(session, ids)
    left = set(ids) - {letter.dead_letter_id for letter in letters}
    busy = sorted(left.union(plan.busy))
    return DiscardReport(dry_run=False, letters=letters, more=plan.more, retracting=plan.retracting, busy=busy)


def traces(letters: Sequence[Letter]) -> list[dict[str, object]]:
    """What is noted of letters that are discarded: enough to read each again, and to know it when it is read."""
    return [
        {"id": each.dead_letter_id, "at": str(each.at), "reason": each.reason, "sha256": each.payload_sha256}
        for each in letters
    ]


def why_without(letter: Letter) -> str:
    """Why a letter has no payload, and how redriving gets its record."""
    if letter.payload_kept:
        return "A payload is kept, and this role may not read it: the role wikimirror_writer may."
    if letter.payload_kept is None:
        return "Whether a payload is kept this role may not know: the role wikimirror_writer may."
    if None in (letter.wiki_id, letter.page_id, letter.rev_id):
        why = "No payload: page and revision are not known, so that nothing could be taken out of it later."
    elif letter.retracts:
        why = "No payload: it takes something away, and may tell what."
    else:
        why = (
            f"No payload: something of its page or revision was taken away, or it has more than {PAYLOAD_LIMIT} bytes."
        )
    again = (
        f"name the capture {letter.topic}: redrive {letter.dead_letter_id} --file FILE"
        if letter.source == CAPTURE
        else f"redrive {letter.dead_letter_id} reads the record again from {letter.source}"
    )
    return f"{why} To try it again, {again}."


class _GoneError(Exception):
    """Somebody else ended the letter meanwhile: the transaction is rolled back."""


async def _done(session: Session, ids: Sequence[int], how: Redrive) -> AsyncIterator[Redriven]:
    applier = Applier(session, how.law)
    for letter_id in ids:
        held = await letter_to_redrive(session, letter_id)
        if held is None:
            yield _gone(letter_id)
            continue
        found = await how.records.find(held)
        yield await _apply(applier, held, found) if isinstance(found, Batch) else await _end(session, held, found)


async def _apply(applier: Applier, held: Held, batch: Batch) -> Redriven:
    """One transaction: the record's change and the letter's end, or that it failed again."""
    still: Still | None = None

    async def settle(applied: Applied) -> None:
        nonlocal still
        still = None
        if applied.set_aside:
            still = await keep_failed(applier.session, held)
            there = still is not None
        else:
            there = await delete_done(applier.session, held.letter_id)
        if not there:
            raise _GoneError

    try:
        applied = await applier.apply(batch, also=settle)
    except _GoneError:
        return _gone(held.letter_id, held)
    if still is not None:
        return Redriven(held.letter_id, str(held.at), Outcome.STILL_FAILS, *still)
    return _judged(held, applied)


async def _end(session: Session, held: Held, found: wire.Ignored | Unavailable) -> Redriven:
    if isinstance(found, wire.Ignored):
        async with session.transaction():
            if not await delete_done(session, held.letter_id):
                return _gone(held.letter_id, held)
    return _without(held, found)


async def _tried(session: Session, ids: Sequence[int], how: Redrive) -> AsyncIterator[Redriven]:
    """A dry run: first a part of the records are had, then tried on a shadow of the tables."""
    part: list[tuple[Held, Found]] = []
    size = 0
    for letter_id in ids:
        held = await letter_to_redrive(session, letter_id)
        if held is None:
            yield _gone(letter_id)
            continue
        found = await how.records.find(held)
        size += _size(found)
        part.append((held, found))
        if len(part) >= _AT_ONCE or size >= _BYTES_AT_ONCE:
            for redriven in await _shadowed(session, how.law, part):
                yield redriven
            part, size = [], 0
    for redriven in await _shadowed(session, how.law, part):
        yield redriven


async def _shadowed(session: Session, law: Law, part: Sequence[tuple[Held, Found]]) -> list[Redriven]:
    if not any(isinstance(found, Batch) for _, found in part):
        return [_without(held, found) for held, found in part if not isinstance(found, Batch)]
    async with shadow_of(session, law) as shadow:
        return [
            _judged(held, await shadow.apply(found)) if isinstance(found, Batch) else _without(held, found)
            for held, found in part
        ]


def _size(found: Found) -> int:
    if not isinstance(found, Batch):
        return 0
    records = [entry.record for entry in found.entries] + [unread.record for unread in found.unread]
    return sum(len(record.value or b"") for record in records)


def _judged(held: Held, applied: Applied) -> Redriven:
    where = str(held.at)
    for reason in applied.set_aside:
        code = reason.removeprefix(_SQLSTATE) if reason.startswith(_SQLSTATE) else None
        return Redriven(held.letter_id, where, Outcome.STILL_FAILS, reason, code)
    for refusal in applied.refused:
        return Redriven(held.letter_id, where, Outcome.STALE, refusal)
    kind = next(iter(applied.applied), None)
    return Redriven(held.letter_id, where, Outcome.APPLIED, kind)


def _without(held: Held, found: wire.Ignored | Unavailable) -> Redriven:
    if isinstance(found, wire.Ignored):
        return Redriven(held.letter_id, str(held.at), Outcome.IGNORED, found.reason)
    return Redriven(held.letter_id, str(held.at), Outcome.UNAVAILABLE, found.why)


def _gone(letter_id: int, held: Held | None = None) -> Redriven:
    return Redriven(letter_id, "" if held is None else str(held.at), Outcome.GONE, None)


def _parsed(payload: bytes | None) -> Any:
    return None if payload is None else msgspec.json.decode(payload)
