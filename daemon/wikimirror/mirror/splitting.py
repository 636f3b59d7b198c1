"""Cutting a batch in two, where the whole of it takes Postgres longer than a statement may."""

from __future__ import annotations

from typing import Final

from wikimirror.errors import DatabaseUnavailable
from wikimirror.model import Advance, Batch

_QUERY_CANCELED: Final = "57014"


def statement_timed_out(error: BaseException) -> bool:
    """Whether Postgres ended the work for taking longer than `statement_timeout` (or a person cancelled it)."""
    return isinstance(error, DatabaseUnavailable) and getattr(error.__cause__, "sqlstate", None) == _QUERY_CANCELED


def split(batch: Batch) -> tuple[Batch, Batch] | None:
    """A batch as two, to be applied one after the other; None where there is nothing to cut.

    The first only proves who owns the lanes, the second moves them: after a crash between the two the first half is
    read again, which is harmless (promise P2).
    """
    middle = len(batch.entries) // 2
    if not middle:
        return None
    proofs = tuple(Advance(step.lane, step.epoch, step.position, step.position) for step in batch.advances)
    first = Batch(advances=proofs, entries=batch.entries[:middle])
    second = Batch(
        advances=batch.advances,
        entries=batch.entries[middle:],
        unread=batch.unread,
        lost=batch.lost,
        order=batch.order,
    )
    return first, second
