"""The law's parameters, clocks (L1) and the rows it speaks of."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from wikimirror.model import MICROSECONDS, Clock, Field, Kind

NEVER: Final = -(2**62)
"""Earlier than any time: the register of a removal that was never seen."""
CLOCKS: Final = (Clock.ACTION, Clock.RECEIPT, Clock.PROCESSING)

CANDIDATES: Final = frozenset(
    {
        Kind.CREATE,
        Kind.EDIT,
        Kind.MOVE,
        Kind.UNDELETE,
        Kind.VISIBILITY_CHANGE,
        Kind.UPDATE,
        Kind.ASSERT,
        Kind.WITHDRAWAL,
    }
)
"""Kinds that state what a page is (L2); a withdrawal states that it is `vacated` (L7)."""
PROOFS: Final = frozenset({Kind.UNDELETE, Kind.ASSERT})
"""Kinds that prove a page exists although its revision was deleted (L2) and set a floor (L3)."""
SILENT: Final = frozenset({Kind.DELETE, Kind.WITHDRAWAL, Kind.TITLE_VACATED})
"""Kinds whose flags never show and that supply nothing (L4)."""


class Law(NamedTuple):
    """Parameters of the law. `skew` is in microseconds; `bodies` is the setting history.bodies."""

    skew: int = 300 * MICROSECONDS
    bodies: Literal["current", "all"] = "current"


class PageRow(NamedTuple):
    """The public columns of a page. Times are microseconds since the epoch; `state` None: known by id only."""

    state: Literal["live", "deleted", "vacated"] | None
    title: str | None = None
    namespace_id: int | None = None
    is_redirect: bool | None = None
    rev_id: int | None = None
    rev_dt: int | None = None
    deleted_at: int | None = None
    url: str | None = None
    wikibase_item_id: str | None = None


class RevisionRow(NamedTuple):
    """The public columns of a revision. Times are microseconds since the epoch."""

    page_id: int
    parent_rev_id: int | None = None
    rev_dt: int | None = None
    editor_name: str | None = None
    editor_id: int | None = None
    comment: str | None = None
    is_minor: bool | None = None
    sha1: str | None = None
    size: int | None = None
    content_model: str | None = None
    content_visible: bool = False
    editor_visible: bool = False
    comment_visible: bool = False


FIELD_OF: Final = {
    "sha1": Field.TEXT,
    "size": Field.TEXT,
    "content_model": Field.TEXT,
    "wikitext": Field.TEXT,
    "html": Field.TEXT,
    "json": Field.TEXT,
    "editor": Field.EDITOR,
    "comment": Field.COMMENT,
}
"""The hideable field that each supplied column goes with; `editor` is name and id together, formats are bodies."""
FORMATS: Final = ("wikitext", "html", "json")


def second(time: int) -> int:
    """The start of the whole second that `time` lies in."""
    return time - time % MICROSECONDS


def beats(clock: int, time: int, removal_clock: int, removal_time: int, skew: int) -> bool:
    """L1: whether a supply or showing at (clock, time) beats a removal; otherwise the removal stands."""
    if clock == removal_clock:
        return second(time) > second(removal_time)
    return time > removal_time + skew


def is_before(clock: int, time: int, other_clock: int, other_time: int, skew: int) -> bool:
    """Whether the first instant provably lies before the other. The receipt clock runs late, so it proves less."""
    if clock == other_clock and clock != Clock.RECEIPT:
        return second(time) < second(other_time)
    return time + skew < other_time


def thresholds(removals: list[int] | tuple[int, ...], skew: int) -> tuple[int, int, int]:
    """For each clock the least time that beats every removal in `removals` (indexed by clock, NEVER for none)."""
    action, receipt, processing = removals
    return (
        max(_next_second(action), _past(receipt, skew), _past(processing, skew)),
        max(_past(action, skew), _next_second(receipt), _past(processing, skew)),
        max(_past(action, skew), _past(receipt, skew), _next_second(processing)),
    )


def _next_second(time: int) -> int:
    return time if time == NEVER else second(time) + MICROSECONDS


def _past(time: int, skew: int) -> int:
    return time if time == NEVER else time + skew + 1
