"""Records to batches: decode, leave out what is not for this mirror, and note how far each lane gets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from sys import getsizeof
from typing import Final

from wikimirror import wire
from wikimirror.errors import UnreadableRecord
from wikimirror.merge.scope import Scope, admit
from wikimirror.mirror.checkpoints import Held
from wikimirror.model import Advance, Batch, Change, Coordinates, Entry, Lane, Lost, Position, Record, Unread
from wikimirror.pipeline.narrowing import FILTERED, Narrowing
from wikimirror.sources import position_after

OUT_OF_SCOPE: Final = "out_of_scope"
_NO_DIALECTS: Final[Mapping[str, str]] = {}


def _size_of_texts(change: Change) -> int:
    """Bytes that a change's texts take of memory: one wide character makes all of a text two or four times as large."""
    return sum(getsizeof(body.text) for body in change.bodies)


class Assembler:
    """The batch being put together for lanes that this writer holds. Not for use by two tasks at a time."""

    def __init__(
        self,
        held: Mapping[Lane, Held],
        scope: Scope,
        *,
        records: int,
        size: int,
        record_bytes: int = wire.RECORD_BYTES,
        dialects: Mapping[str, str] = _NO_DIALECTS,
        narrowing: Narrowing | None = None,
    ) -> None:
        """A batch is full at so many `records`, or at `size`: bytes of records or of their texts, whichever is more.

        A record of more than `record_bytes` is set aside. `dialects`: by topic the name of the dialect
        (`wire.DIALECTS`) of records that do not tell their own. What `narrowing` does not let through is ignored.
        """
        self._lanes = dict(held)
        self._scope = scope
        self._records = records
        self._size = size
        self._record_bytes = record_bytes
        self._dialects = dict(dialects)
        self._narrowing = narrowing or None
        self._reset()

    def _reset(self) -> None:
        self._entries: list[Entry] = []
        self._unread: list[Unread] = []
        self._lost: list[Lost] = []
        self._next: dict[tuple[str, str, int], Record | Position | None] = {}
        self._bytes = 0
        self._order: list[Coordinates] = []
        self.ignored: Counter[str] = Counter()
        self.read = 0

    @property
    def is_full(self) -> bool:
        """Whether the batch should be applied before more is read."""
        return self.read >= self._records or self._bytes >= self._size

    def add(self, record: Record) -> None:
        """Take the next record of a lane in. Whatever it holds is accounted for (P4)."""
        at, value, narrowing = record.at, record.value, self._narrowing
        lane = at[:3]
        if record.again:
            self._next.setdefault(lane, None)
        else:
            self._next[lane] = record
        self.read += 1
        self._order.append(at)
        size = 0 if value is None else len(value)
        self._bytes += size
        try:
            decoded = wire.decode(record, max_bytes=self._record_bytes, dialect=self._dialects.get(at.topic))
        except UnreadableRecord as error:
            if narrowing is None or narrowing.may_concern(error):
                self._unread.append(Unread(record, error))
            else:
                self.ignored[FILTERED] += 1
            return
        if isinstance(decoded, wire.Ignored):
            self.ignored[decoded.reason] += 1
            return
        if narrowing is not None and not narrowing.admits(decoded):
            self.ignored[FILTERED] += 1
            return
        admitted = admit(decoded, self._scope)
        if admitted is None:
            self.ignored[OUT_OF_SCOPE] += 1
        else:
            self._entries.append(Entry(record, admitted))
            if admitted.bodies:
                self._bytes += max(0, _size_of_texts(admitted) - size)

    def lose(self, lost: Lost) -> None:
        """Take in that a stretch of a lane is lost: it becomes a gap with this batch, and its lane goes on after it."""
        self._lost.append(lost)
        offset = self._lanes[lost.lane].position if lost.until.offset < 0 else lost.until.offset
        self._next[lost.lane] = Position(offset, lost.until.time)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to apply yet."""
        return not (self.read or self._lost)

    def take(self) -> tuple[Batch, Counter[str], int]:
        """The batch so far, what was ignored by reason, and how many records were read; a new batch begins."""
        advances = []
        for coordinates, reached in self._next.items():
            lane = Lane(*coordinates)
            held = self._lanes[lane]
            if reached is None:
                step = Position(held.position)
            else:
                step = position_after(reached) if isinstance(reached, Record) else reached
            advances.append(Advance(lane, held.epoch, held.position, step.offset, step.time))
            self._lanes[lane] = Held(held.epoch, step.offset, step.time or held.time)
        batch = Batch(
            advances=tuple(advances),
            entries=self._entries,
            unread=self._unread,
            lost=tuple(self._lost),
            order=self._order,
        )
        taken = batch, self.ignored, self.read
        self._reset()
        return taken
