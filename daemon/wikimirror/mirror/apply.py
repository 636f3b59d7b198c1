"""Applying a batch: one transaction holds its rows and registers, all the books, and its positions (P1).

    advance checkpoints (compare-and-set, P5)
      → lock pages, read registers → absorb → read what closed gates touch → settle → write
      → ledger, corrections, reconcile rows → pages hidden, dead letters, gaps → COMMIT

A batch that Postgres refuses for its data is done again in halves, each under a savepoint, until the bad record stands
alone; that one is set aside, and hides its page where it would have taken something away. Two writers that created the
same row at once collide, as does a batch that took a stored revision for a new one: the later does its batch again.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import asyncpg

from wikimirror.errors import DatabaseUnavailable
from wikimirror.merge.law import Law
from wikimirror.merge.scope import bare_retraction
from wikimirror.merge.workspace import Settled, Workspace
from wikimirror.mirror.books import Verdict, write_ledger, write_reconcile
from wikimirror.mirror.breaker import Breaker
from wikimirror.mirror.checkpoints import NOW, advance
from wikimirror.mirror.codec import use_microseconds
from wikimirror.mirror.connect import Session
from wikimirror.mirror.corrections import Corrected, record_corrections
from wikimirror.mirror.dead_letters import SetAside, empty_payloads, set_aside
from wikimirror.mirror.gaps import open_gaps
from wikimirror.mirror.hiding import ask_for, hidden_before, hiding_of, marked
from wikimirror.mirror.load import complete_workspace, open_workspace, read_hints
from wikimirror.mirror.store import store
from wikimirror.model import Batch, Entry, PageKey, Unread
from wikimirror.observe.logging import get_logger

_LOG = get_logger(__name__)
_LEVEL = logging.getLogger(__name__)
"""Asked whether debug lines are wanted at all: it knows without building anything."""

COLLISIONS: Final = frozenset({"23505", "40001", "40P01"})
"""Another writer came first: the same batch done again sees its rows."""
ATTEMPTS: Final = 10
"""After that many collisions in a row the lane waits like for any fault of the environment."""


@dataclass(slots=True)
class Applied:
    """What became of a batch's changes (P4)."""

    applied: Counter[str] = field(default_factory=Counter)
    """By kind of change."""
    refused: Counter[str] = field(default_factory=Counter)
    """By reason."""
    set_aside: Counter[str] = field(default_factory=Counter)
    """By reason."""
    changed: list[Entry] = field(default_factory=list)
    """Those counted in `applied`, for measuring how fresh they are."""
    stripped: set[PageKey] = field(default_factory=set)
    """Pages of changes of which only what they take away could be written."""

    def add(self, other: Applied) -> None:
        """Count another batch's in. Its `changed` are left out: a sum over many batches must not hold their records."""
        self.applied += other.applied
        self.refused += other.refused
        self.set_aside += other.set_aside

    def join(self, other: Applied) -> None:
        """Take in another part of the same batch, `changed` and all."""
        self.add(other)
        self.changed += other.changed
        self.stripped |= other.stripped


Also: TypeAlias = Callable[[Applied], Awaitable[None]]
"""Something more to be done in a batch's transaction, at its end."""


class Applier:
    """Applies batches over one session. One batch at a time."""

    def __init__(self, session: Session, law: Law, breaker: Breaker | None = None) -> None:
        """`breaker` keeps a batch from becoming durable with which too much would be set aside."""
        self.session = session
        self.law = law
        self._breaker = breaker
        self.unconfirmed: Applied | None = None
        """What became of the batch whose COMMIT was begun and not confirmed, if the last one ended so: it counts once
        `checkpoints.took_place` says that the batch is durable."""
        self._ready = False
        self._guess = True
        self._trial = False
        """Nothing of it stays, so the log does not say that anything is done."""

    async def apply(self, batch: Batch, *, also: Also | None = None) -> Applied:
        """Apply a batch whole, or not at all. `also` is done in its transaction, each time that it is attempted.

        Raises TooManySetAside where the breaker opens, Fenced when a lane has another owner, DatabaseUnavailable when
        Postgres is not there for now (where `unconfirmed` is set then, the checkpoint tells whether the batch was
        applied), DatabaseRefused when it cannot be used.
        """
        await self._prepare()
        bisect = False
        for number in range(ATTEMPTS):
            # A guess that was wrong looks like a collision.
            self._guess = number == 0
            try:
                return await self._attempt(batch, bisect=bisect, also=also)
            except DatabaseUnavailable as error:
                # A deadlock leaves the transaction as a fault of the environment.
                if getattr(error.__cause__, "sqlstate", None) not in COLLISIONS:
                    raise
            except asyncpg.PostgresError as error:
                if error.sqlstate in COLLISIONS:
                    continue
                if bisect or not is_about_data(error):
                    raise
                bisect = True
            except _NOT_ENCODABLE:
                if bisect:
                    raise
                bisect = True
        raise DatabaseUnavailable(
            f"{ATTEMPTS} attempts at one batch collided with other writers", remedy="It is tried again."
        )

    async def apply_within(self, batch: Batch) -> Applied:
        """Apply a batch within the caller's transaction, moving no lane: for a copy that nobody else writes."""
        await self._prepare()
        self._guess, self._trial = False, True
        result = Applied()
        await self._fill(batch, int(await self.session.fetchval(NOW)), result, bisect=True)
        return result

    async def _attempt(self, batch: Batch, *, bisect: bool, also: Also | None) -> Applied:
        result = Applied()
        self.unconfirmed = None
        async with self.session.transaction():
            now = await advance(self.session, batch.advances)
            _tell("first write", batch)
            await self._fill(batch, now, result, bisect=bisect)
            await open_gaps(self.session, batch.lost)
            if also is not None:
                await also(result)
            self.unconfirmed = result
        self.unconfirmed = None
        if self._breaker is not None:
            self._breaker.settle()
        _tell("durable", batch)
        return result

    async def _fill(self, batch: Batch, now: int, result: Applied, *, bisect: bool) -> None:
        """Write the batch's rows, and set aside what cannot be written or read."""
        letters = [_letter(unread) for unread in batch.unread]
        if bisect:
            await self._halve(batch.entries, now, result, letters)
        elif batch.entries:
            result.join(await self._write(batch.entries, now))
        await ask_for(self.session, result.stripped)
        if self._breaker is not None:
            self._breaker.judge(batch.order, [letter.record.at for letter in letters])
        if letters:
            await set_aside(self.session, marked(letters, await self._hide(letters, now)))
            result.set_aside.update(letter.reason for letter in letters)

    async def _hide(self, letters: Sequence[SetAside], now: int) -> set[PageKey]:
        """Hide the pages of retractions that are set aside; those that were."""
        hidden = set()
        before = await hidden_before(self.session, letters)
        for entry in [each for each in map(hiding_of, letters) if each is not None and each.record.at not in before]:
            try:
                async with self.session.savepoint():
                    await self._write([entry], now)
            except (asyncpg.PostgresError, *_NOT_ENCODABLE) as error:
                if not is_about_data(error):
                    raise
                if not self._trial:
                    _LOG.error("a page could not be hidden, and its text may still be served", **_where(entry))
            else:
                hidden.add(entry.change.page)
                if not self._trial:
                    _LOG.warning("a retraction was set aside, and its page is hidden", **_where(entry))
        await ask_for(self.session, hidden)
        return hidden

    async def _prepare(self) -> None:
        if not self._ready:
            await use_microseconds(self.session.connection)
            self._ready = True

    async def _halve(self, entries: Sequence[Entry], now: int, result: Applied, letters: list[SetAside]) -> None:
        """Apply in parts; what stands alone and is refused goes to `letters`, or is stripped to its retraction."""
        try:
            async with self.session.savepoint():
                result.join(await self._write(entries, now))
        except (asyncpg.PostgresError, *_NOT_ENCODABLE) as error:
            if not is_about_data(error):
                raise
            if len(entries) > 1:
                middle = len(entries) // 2
                await self._halve(entries[:middle], now, result, letters)
                await self._halve(entries[middle:], now, result, letters)
                return
            entry = entries[0]
            bare = bare_retraction(entry.change)
            if bare is not None and bare != entry.change:
                # What it takes away must not wait; the rest of it is asked for.
                result.stripped.add(entry.change.page)
                await self._halve([Entry(entry.record, bare)], now, result, letters)
            else:
                letters.append(_refused_by_postgres(entry, error))

    async def _write(self, entries: Sequence[Entry], now: int) -> Applied:
        session = self.session
        workspace = await open_workspace(session, [e.change for e in entries], self.law, guess=self._guess)
        hints = await read_hints(session)
        verdicts = [Verdict(entry, workspace.absorb(entry.change)) for entry in entries]
        await complete_workspace(session, workspace, hints)
        settled = workspace.settle()
        touched = await store(session, settled)
        verdicts = await write_ledger(session, verdicts, now)
        changed = [v.entry for v in verdicts if v.refusal is None]
        await write_reconcile(session, workspace, settled, [entry.change for entry in changed], hints)
        await self._correct(workspace, settled, touched, entries, now)
        return Applied(
            applied=Counter[str]([entry.change.kind for entry in changed]),
            refused=Counter([v.refusal.value for v in verdicts if v.refusal is not None]),
            changed=changed,
        )

    async def _correct(
        self, workspace: Workspace, settled: Settled, touched: dict[PageKey, int], entries: Sequence[Entry], now: int
    ) -> None:
        if not workspace.retractions:
            return
        records = {entry.change.identity: entry.record for entry in entries}
        taken = {r.key for r in settled.revisions if r.took_something and not r.is_new}
        corrected = []
        for retraction in workspace.retractions:
            change = retraction.change
            if retraction.kind in {"deletion", "suppression", "vacation"}:
                # The first of several in one batch has them all.
                count = touched.pop(change.page, 0)
            else:
                count = int(change.rev in taken)
            corrected.append(Corrected(retraction, records[change.identity], count))
        await empty_payloads(self.session, [r.change for r in workspace.retractions if r.removed])
        await record_corrections(self.session, corrected, now)


def _tell(what: str, batch: Batch) -> None:
    """Say at debug level how far a batch is: between the two lines lies its transaction."""
    if _LEVEL.isEnabledFor(logging.DEBUG):
        positions = {str(step.lane): step.next_position for step in batch.advances}
        _LOG.debug(what, positions=positions, records=len(batch.entries) + len(batch.unread))


_NOT_ENCODABLE: Final = (UnicodeEncodeError, OverflowError)
"""asyncpg's own refusals of a value, before Postgres sees it."""


def is_about_data(error: BaseException) -> bool:
    """Whether Postgres refused a value, not the work: data exceptions, constraints, limits of a row or an index."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state[:2] in {"22", "23", "54"} and state not in COLLISIONS
    return isinstance(error, (asyncpg.DataError, *_NOT_ENCODABLE))


def _refused_by_postgres(entry: Entry, error: BaseException) -> SetAside:
    change = entry.change
    sqlstate = getattr(error, "sqlstate", None) or "22000"
    return SetAside(
        entry.record,
        f"sqlstate_{sqlstate}",
        sqlstate,
        getattr(error, "constraint_name", None),
        change.page.wiki_id,
        change.page.page_id,
        change.rev_id or None,
        keeps_payload=not change.hides,
        retracts=bare_retraction(change) is not None,
    )


def _letter(unread: Unread) -> SetAside:
    error = unread.error
    names = error.wiki_id, error.page_id, error.rev_id
    return SetAside(unread.record, error.reason, None, None, *names, retracts=error.retracts)


def _where(entry: Entry) -> dict[str, object]:
    return {"at": str(entry.record.at), "wiki": entry.change.page.wiki_id, "page": entry.change.page.page_id}
