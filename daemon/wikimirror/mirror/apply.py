"""Applying a batch: one transaction holds its rows, registers, ledger, corrections, dead letters and positions (P1).

    advance checkpoints (compare-and-set, P5)
      → lock pages, read registers → absorb → read what closed gates touch → settle → write
      → ledger, corrections, reconcile rows, dead letters → COMMIT

A batch that Postgres refuses for its data is done again in halves, each under a savepoint, until the bad record stands
alone; that one is set aside. Two writers that created the same row at once collide, as does a batch that took a stored
revision for a new one: the later does its batch again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import asyncpg

from wikimirror.errors import DatabaseUnavailable
from wikimirror.merge.law import Law
from wikimirror.merge.scope import bare_retraction
from wikimirror.merge.workspace import Settled, Workspace
from wikimirror.mirror.books import Verdict, write_ledger, write_reconcile
from wikimirror.mirror.checkpoints import advance
from wikimirror.mirror.codec import use_microseconds
from wikimirror.mirror.connect import Session
from wikimirror.mirror.corrections import Corrected, record_corrections
from wikimirror.mirror.dead_letters import SetAside, empty_payloads, set_aside
from wikimirror.mirror.load import complete_workspace, open_workspace, read_hints
from wikimirror.mirror.store import store
from wikimirror.model import Batch, Entry, PageKey, Unread

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

    def add(self, other: Applied) -> None:
        """Count another batch's in."""
        self.applied += other.applied
        self.refused += other.refused
        self.set_aside += other.set_aside


class Applier:
    """Applies batches over one session. One batch at a time."""

    def __init__(self, session: Session, law: Law) -> None:
        self.session = session
        self.law = law
        self._ready = False
        self._guess = True

    async def apply(self, batch: Batch) -> Applied:
        """Apply a batch whole, or not at all.

        Raises Fenced when a lane has another owner, DatabaseUnavailable when Postgres is not there for now (whether the
        batch was applied then is for the checkpoint to tell), DatabaseRefused when it cannot be used.
        """
        if not self._ready:
            await use_microseconds(self.session.connection)
            self._ready = True
        bisect = False
        for number in range(ATTEMPTS):
            # A guess that was wrong looks like a collision.
            self._guess = number == 0
            try:
                return await self._attempt(batch, bisect=bisect)
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

    async def _attempt(self, batch: Batch, *, bisect: bool) -> Applied:
        letters = [_letter(unread) for unread in batch.unread]
        result = Applied()
        async with self.session.transaction():
            now = await advance(self.session, batch.advances)
            if bisect:
                await self._halve(batch.entries, now, result, letters)
            elif batch.entries:
                result.add(await self._write(batch.entries, now))
            await set_aside(self.session, letters)
        result.set_aside.update(letter.reason for letter in letters)
        return result

    async def _halve(self, entries: Sequence[Entry], now: int, result: Applied, letters: list[SetAside]) -> None:
        """Apply in parts; what stands alone and is refused goes to `letters`, or is stripped to its retraction."""
        try:
            async with self.session.savepoint():
                result.add(await self._write(entries, now))
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
        applied = [v.entry.change for v in verdicts if v.refusal is None]
        await write_reconcile(session, workspace, settled, applied, hints)
        await self._correct(workspace, settled, touched, entries, now)
        return Applied(
            applied=Counter[str]([change.kind for change in applied]),
            refused=Counter([v.refusal.value for v in verdicts if v.refusal is not None]),
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
    )


def _letter(unread: Unread) -> SetAside:
    error = unread.error
    return SetAside(unread.record, error.reason, None, None, error.wiki_id, error.page_id, error.rev_id)
