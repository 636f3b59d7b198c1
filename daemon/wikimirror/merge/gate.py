"""What statements about a page and its revisions must pass, and times by clock (L1 to L3, L7)."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from wikimirror.merge.law import CLOCKS, NEVER

Times: TypeAlias = tuple[int, int, int]
"""A time for each clock, indexed by `Clock`; NEVER where there is none."""
NO_TIMES: Final[Times] = (NEVER, NEVER, NEVER)


def raised(times: Times, clock: int, time: int) -> Times:
    """The times, that of `clock` being at least `time`."""
    if time <= times[clock]:
        return times
    changed = list(times)
    changed[clock] = time
    return (changed[0], changed[1], changed[2])


class Gate(NamedTuple):
    """What a statement about a revision of this page must pass (L2, L3, L5, L7).

    `after` is by clock the least time that beats every deletion and is not below a floor; `beyond` the greatest deleted
    revision. The `text_` ones hold for texts alone: they went when the page was vacated.
    """

    after: Times = NO_TIMES
    beyond: int = 0
    text_after: Times = NO_TIMES
    text_from: int = 0
    text_proof_after: Times = NO_TIMES

    def passes(self, clock: int, time: int, rev_id: int, *, proved: bool) -> bool:
        """Whether a statement outlives the deletions and floors."""
        return time >= self.after[clock] and (proved or rev_id > self.beyond)

    def drops_unproved(self, clock: int, time: int, rev_id: int) -> bool:
        """Whether a statement without proof is dropped for its revision alone, which a deletion named.

        By its time it came after that deletion, so the revision was restored: that is to be asked after (L2, L4).
        """
        return rev_id <= self.beyond and time >= self.after[clock]

    def passes_text(self, clock: int, time: int, rev_id: int, *, proved: bool) -> bool:
        """Whether a text was not taken by vacating the page."""
        return time >= self.text_after[clock] and (
            rev_id >= self.text_from or (proved and time >= self.text_proof_after[clock])
        )


OPEN: Final = Gate()


assert tuple(int(c) for c in CLOCKS) == (0, 1, 2)  # noqa: S101  # times are indexed by clock
