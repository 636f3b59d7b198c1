"""A page's registers: what must be remembered to decide its row, absorbing one change at a time (L2, L3, L7, L9).

Absorbing is commutative, associative and idempotent. Of the candidates only the *contenders* are kept: those that
count and that no other outranks everywhere it counts. There is nearly always one; see docs/merge-law.md for the proof.
"""

from __future__ import annotations

import hashlib

import msgspec

from wikimirror.merge.contenders import Candidate, Contender, first_stated, kept_of, outdoes, rank, states_as_much
from wikimirror.merge.gate import NO_TIMES, OPEN, Gate, Times, raised
from wikimirror.merge.law import NEVER, PROOFS, Law, PageRow, is_before, second, thresholds
from wikimirror.merge.refusals import Refusal
from wikimirror.model import Change, Kind, PageKey


class Deletion(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What is kept of a deletion: enough for the tombstone's row. A suppressed title is never kept."""

    clock: int
    time: int
    identity: bytes
    rev_id: int
    title: str | None = None
    namespace_id: int | None = None
    is_redirect: bool | None = None


class PageRegisters(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The registers as stored beside the row (column `page.registers`); NULL there when one candidate is all."""

    contenders: list[Candidate] = []
    deletions: Times = NO_TIMES
    deleted_rev: int = 0
    suppressions: Times = NO_TIMES
    floors: Times = NO_TIMES
    last_deletion: Deletion | None = None
    deletion_published: int = NEVER
    vacated: Times = NO_TIMES
    moved: Times = NO_TIMES
    moved_rev: int = 0
    moved_titles: dict[str, int] = {}
    withdrawals: list[Deletion] = []
    restored: int = NEVER


class PageState:
    """One page while a batch is absorbed."""

    __slots__ = ("contenders", "dirty", "first_gate", "gate", "is_new", "key", "law", "published", "reg", "superseded")

    def __init__(
        self,
        key: PageKey,
        law: Law,
        *,
        contenders: list[Contender] | None = None,
        registers: PageRegisters | None = None,
        published: int = NEVER,
        is_new: bool = True,
    ) -> None:
        self.key = key
        self.law = law
        self.is_new = is_new
        self.dirty = is_new
        self.contenders: list[Contender] = contenders or []
        self.reg = registers
        self.published = published
        self.superseded: set[int] = set()
        """Revisions whose candidates were outranked or ceased to count: their texts may have to go."""
        self.gate = OPEN if registers is None else self._gate(registers)
        self.first_gate = self.gate
        """The gate as it was when the batch began."""

    @property
    def is_simple(self) -> bool:
        """Whether the row's own columns are all there is to remember."""
        return self.reg is None and len(self.contenders) < 2  # noqa: PLR2004  # one candidate, or none

    def offer(self, change: Change) -> Refusal | None:
        """Take a candidate in. Returns why it was refused; None when it now contends."""
        if change.published > self.published:
            self.published = change.published
            self.dirty = True
        gate = self.gate
        if gate is not OPEN and not gate.passes(change.clock, change.time, change.rev_id, proved=change.kind in PROOFS):
            return self._why_refused(change)
        kept: list[Contender] = []
        for other in self.contenders:
            if other.identity == change.identity or outdoes(other, change):
                return Refusal.STALE
            if (change.rev_dt, change.rev_id) > (other.rev_dt, other.rev_id):
                self.superseded.add(other.rev_id)
            if not outdoes(change, other):
                kept.append(other)
        kept.append(change)
        if len(kept) > 1:
            kept.sort(key=rank, reverse=True)
        self.contenders = kept
        self.dirty = True
        return None

    def succeed(self, change: Change) -> bool:
        """`offer` in the common case: a change that outdoes the only contender of a page without registers.

        Returns False, having done nothing, when it is not that.
        """
        if self.contenders:
            other = self.contenders[0]
            if len(self.contenders) > 1 or not (
                change.rev_dt >= other.rev_dt
                and change.rev_id >= other.rev_id
                and (change.rev_dt, change.rev_id) != (other.rev_dt, other.rev_id)
                and change.time >= other.time
                and change.clock == other.clock
                and states_as_much(change, other)
            ):
                return False
            self.superseded.add(other.rev_id)
        self.published = max(self.published, change.published)
        self.contenders = [change]
        self.dirty = True
        return True

    def set_floor(self, change: Change) -> bool:
        """L3: a restoration or an assert proves that what came before on its clock is gone."""
        reg = self._registers()
        floors = raised(reg.floors, change.clock, change.time)
        restored = reg.restored
        if change.kind is Kind.UNDELETE and change.parent_rev_id:
            restored = max(restored, change.time)
        if floors == reg.floors and restored == reg.restored:
            return False
        reg.floors, reg.restored = floors, restored
        self._close_gate()
        return True

    def delete(self, deletion: Deletion, published: int, *, suppresses: bool) -> bool:
        """L2: a real deletion. Returns whether anything was altered."""
        reg = self._registers()
        before = (reg.deletions, reg.deleted_rev, reg.suppressions, reg.last_deletion, reg.deletion_published)
        reg.deletions = raised(reg.deletions, deletion.clock, deletion.time)
        reg.deleted_rev = max(reg.deleted_rev, deletion.rev_id)
        if suppresses:
            reg.suppressions = raised(reg.suppressions, deletion.clock, deletion.time)
        last = reg.last_deletion
        if last is None or (deletion.time, deletion.identity) > (last.time, last.identity):
            last = deletion
        reg.last_deletion = self._without_suppressed_title(last)
        reg.withdrawals = [self._without_suppressed_title(w) for w in reg.withdrawals]
        reg.deletion_published = max(reg.deletion_published, published)
        after = (reg.deletions, reg.deleted_rev, reg.suppressions, reg.last_deletion, reg.deletion_published)
        if before == after:
            return False
        self._close_gate()
        return True

    def vacate(self, change: Change) -> bool:
        """L7: the page left the scope, or was withdrawn: texts up to then go."""
        reg = self._registers()
        vacated = raised(reg.vacated, change.clock, change.time)
        if vacated == reg.vacated:
            return False
        reg.vacated = vacated
        self._close_gate()
        return True

    def vacate_title(self, change: Change) -> bool:
        """L7: the page bears another title from this revision on."""
        reg = self._registers()
        name = title_digest(change.title)
        moved = raised(reg.moved, change.clock, change.time)
        revs = {**reg.moved_titles, name: max(reg.moved_titles.get(name, 0), change.rev_id)}
        moved_rev = max(reg.moved_rev, change.rev_id)
        if (moved, revs, moved_rev) == (reg.moved, reg.moved_titles, reg.moved_rev):
            return False
        reg.moved, reg.moved_titles, reg.moved_rev = moved, revs, moved_rev
        self._close_gate()
        return True

    def withdraw(self, deletion: Deletion) -> bool:
        """L7: remember a withdrawal until a candidate that names its revision proves it a deletion."""
        reg = self._registers()
        if any(other.identity == deletion.identity for other in reg.withdrawals):
            return False
        kept = [*reg.withdrawals, self._without_suppressed_title(deletion)]
        reg.withdrawals = sorted(kept, key=lambda d: (d.time, d.identity))
        self.dirty = True
        return True

    def prove_withdrawals(self, rev_id: int) -> bool:
        """L7: a candidate names `rev_id`: withdrawals that name it were real deletions."""
        if self.reg is None or not self.reg.withdrawals:
            return False
        proved = [d for d in self.reg.withdrawals if d.rev_id == rev_id]
        altered = False
        for deletion in proved:
            altered |= self.delete(deletion, NEVER, suppresses=False)
        return altered

    def supersedes_text(self, clock: int, time: int, rev_id: int, rev_dt: int, *, proved: bool) -> bool:
        """history.bodies = current: whether a contender supersedes a text supplied by such a change."""
        return any(
            c.clock == clock
            and second(c.time) >= second(time)
            and (c.kind in PROOFS or (not proved and c.rev_id >= rev_id))
            and (c.rev_dt, c.rev_id) > (rev_dt, rev_id)
            for c in self.contenders
        )

    def row(self) -> PageRow:
        """The public columns (L2, L7, L9)."""
        if not self.contenders:
            return self._row_without_candidate()
        winner = self.contenders[0]
        if self.is_simple:
            return PageRow("live", winner.title, winner.namespace_id, winner.is_redirect, winner.rev_id, winner.rev_dt,
                           None, winner.url, winner.wikibase_item_id)  # fmt: skip
        title = first_stated(self.contenders, "title")
        namespace_id = first_stated(self.contenders, "namespace_id")
        is_redirect = first_stated(self.contenders, "is_redirect")
        if winner.vacates or winner.kind is Kind.WITHDRAWAL or self._title_left(winner):
            return PageRow("vacated", title, namespace_id, is_redirect)
        url = first_stated(self.contenders, "url")
        item = first_stated(self.contenders, "wikibase_item_id")
        return PageRow("live", title, namespace_id, is_redirect, winner.rev_id, winner.rev_dt, None, url, item)

    def knew(self, rev_id: int) -> bool:
        """Whether a candidate of this page is known to have named the revision."""
        return rev_id in self.superseded or any(c.rev_id == rev_id for c in self.contenders)

    def reconcile_reasons(self, state: str | None) -> list[str]:
        """What the law leaves open about the page in this state (reasons of `reconcile`)."""
        if self.reg is None:
            return []
        reasons = []
        if state == "deleted" and (self.published > self.reg.deletion_published or self._may_be_restored()):
            reasons.append("refused_after_deletion")
        if state == "vacated" and not self.contenders[0].vacates:
            reasons.append("vacated")
        if state == "live" and self.reg.restored != NEVER:
            reasons.append("restored")
        return reasons

    def _may_be_restored(self) -> bool:
        """Whether a proof that the page exists lies too close to its deletions to tell which came last."""
        reg = self._registers()
        return any(
            floor != NEVER
            and not any(
                is_before(clock, floor, other, deletion, self.law.skew)
                for other, deletion in enumerate(reg.deletions)
                if deletion != NEVER
            )
            for clock, floor in enumerate(reg.floors)
        )

    def stored_registers(self) -> PageRegisters | None:
        """What goes to the column `registers`."""
        # What vacates, withdraws or proves has left its mark in the registers.
        if self.is_simple:
            return None
        reg = self._registers()
        reg.contenders = [kept_of(c) for c in self.contenders]
        return reg

    def _row_without_candidate(self) -> PageRow:
        last = None if self.reg is None else self.reg.last_deletion
        if last is None:
            return PageRow(None)
        return PageRow("deleted", last.title, last.namespace_id, last.is_redirect, deleted_at=last.time)

    def _title_left(self, winner: Contender) -> bool:
        if self.reg is None or not self.reg.moved_titles:
            return False
        return winner.rev_id <= self.reg.moved_titles.get(title_digest(winner.title), -1)

    def _without_suppressed_title(self, deletion: Deletion) -> Deletion:
        suppressions = self._registers().suppressions
        if deletion.title is None or deletion.time >= thresholds(suppressions, self.law.skew)[deletion.clock]:
            return deletion
        return msgspec.structs.replace(deletion, title=None)

    def _why_refused(self, change: Change) -> Refusal:
        reg = self._registers()
        beaten = change.time < thresholds(reg.deletions, self.law.skew)[change.clock]
        if beaten or (change.kind not in PROOFS and change.rev_id <= reg.deleted_rev):
            return Refusal.DELETED
        return Refusal.RESTORED

    def _registers(self) -> PageRegisters:
        if self.reg is None:
            self.reg = PageRegisters()
        return self.reg

    def _close_gate(self) -> None:
        self.dirty = True
        reg = self._registers()
        self.gate = gate = self._gate(reg)
        alive: list[Contender] = []
        gone: list[Contender] = []
        for c in self.contenders:
            (alive if gate.passes(c.clock, c.time, c.rev_id, proved=c.kind in PROOFS) else gone).append(c)
        self.contenders = alive
        self.superseded.update(c.rev_id for c in gone)

    def _gate(self, reg: PageRegisters) -> Gate:
        after = thresholds(reg.deletions, self.law.skew)
        floors = [t if t == NEVER else second(t) for t in reg.floors]
        return Gate(
            after=(max(after[0], floors[0]), max(after[1], floors[1]), max(after[2], floors[2])),
            beyond=reg.deleted_rev,
            text_after=thresholds(reg.vacated, self.law.skew),
            text_from=reg.moved_rev,
            text_proof_after=thresholds(reg.moved, self.law.skew),
        )


def deletion_of(change: Change) -> Deletion:
    """What is kept of a change that deletes; nothing of its title when it suppresses."""
    title = None if change.suppresses else change.title
    return Deletion(
        change.clock, change.time, change.identity, change.rev_id, title, change.namespace_id, change.is_redirect
    )


def title_digest(title: str | None) -> str:
    """A vacated title is compared, never shown: its digest is kept, so that suppressing leaves nothing."""
    return hashlib.blake2b((title or "").encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
