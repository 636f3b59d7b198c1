"""The situations a day contains, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

from wikimirror.rehearsal.arrivals import DATACENTRES, Read
from wikimirror.rehearsal.streams import CONTENT, PLAIN, VISIBILITY
from wikimirror.rehearsal.wiki import Announcement, Bits, PageChanged

_LATE: Final = 60_000_000


class Situation(StrEnum):
    """Something that a mirror must get right."""

    EDITS = "edits"
    CREATIONS = "creations"
    MOVES = "moves"
    TITLE_SWAPS = "title_swaps"
    DELETIONS = "deletions"
    UNDELETIONS = "undeletions"
    """All, partial ones included."""
    PARTIAL_RESTORES = "partial_restores"
    SUPPRESSIONS = "suppressions"
    HIDDEN_REVISIONS = "hidden_revisions"
    SHOWN_REVISIONS = "shown_revisions"
    OLD_REVISION_HIDINGS = "old_revision_hidings"
    """Hidden revisions that are not their page's current one: only the visibility stream tells them."""
    DUPLICATES = "duplicates"
    LATE_ARRIVALS = "late_arrivals"
    """Records read more than a minute of published time behind the newest one read before."""
    REORDERED_ARRIVALS = "reordered_arrivals"
    """Records read after one that states a later action on the same page."""
    SAME_SECOND_PAIRS = "same_second_pairs"
    """Deletions undone, and hidings lifted, within the same second: the stream cannot prove their order."""
    REDIRECTS = "redirects"
    """Redirects left by moves or made by edits."""
    CANARIES = "canaries"
    NULL_RECORDS = "null_records"
    CONTENT_STREAM = "content_stream"
    PLAIN_STREAM = "plain_stream"
    VISIBILITY_STREAM = "visibility_stream"
    SWITCHOVER = "switchover"
    """Records read from the datacentre that is primary after the switchover."""
    REVERTS = "reverts"


_KINDS: Final = {"edit": Situation.EDITS, "create": Situation.CREATIONS, "move": Situation.MOVES}
_STREAMS: Final = {
    CONTENT: Situation.CONTENT_STREAM,
    PLAIN: Situation.PLAIN_STREAM,
    VISIBILITY: Situation.VISIBILITY_STREAM,
}


def count_situations(said: Iterable[Announcement], title_swaps: int, reads: Sequence[Read]) -> dict[Situation, int]:
    """How often each situation occurs; all of them are keys."""
    counts: Counter[Situation] = Counter(dict.fromkeys(Situation, 0))
    counts[Situation.TITLE_SWAPS] = title_swaps
    removed_at: dict[tuple[str, int, bool], int] = {}
    archived: dict[tuple[str, int], int] = {}
    for each in said:
        if isinstance(each, PageChanged):
            _count_page(each, counts, removed_at, archived)
        else:
            _count_visibility(each.seen.hidden, each.before, counts)
            key = (each.wiki_id, each.seen.revision.rev_id, True)
            if each.seen.hidden & ~each.before:
                removed_at[key] = each.at
            elif removed_at.get(key) == each.at:
                counts[Situation.SAME_SECOND_PAIRS] += 1
            if each.seen.hidden & ~each.before and not each.is_current:
                counts[Situation.OLD_REVISION_HIDINGS] += 1
    _count_reads(reads, counts)
    return dict(counts)


def _count_page(
    said: PageChanged,
    counts: Counter[Situation],
    removed_at: dict[tuple[str, int, bool], int],
    archived: dict[tuple[str, int], int],
) -> None:
    page = (said.wiki_id, said.page.page_id)
    if said.kind in _KINDS:
        counts[_KINDS[said.kind]] += 1
        made_redirect = said.prior is None or said.prior.revision.content.redirect_to is None
        if said.page.is_redirect and made_redirect and said.kind != "move":
            counts[Situation.REDIRECTS] += 1
        counts[Situation.REVERTS] += said.reverted_to is not None
    elif said.kind == "delete":
        counts[Situation.SUPPRESSIONS if said.suppressed else Situation.DELETIONS] += 1
        removed_at[(*page, False)] = said.at
        archived[page] = archived.get(page, 0) + (said.revision_count or 0)
    elif said.kind == "undelete":
        counts[Situation.UNDELETIONS] += 1
        archived[page] -= len(said.restored)
        counts[Situation.PARTIAL_RESTORES] += archived[page] > 0
        counts[Situation.SAME_SECOND_PAIRS] += removed_at.get((*page, False)) == said.at


def _count_visibility(hidden: Bits, before: Bits, counts: Counter[Situation]) -> None:
    counts[Situation.HIDDEN_REVISIONS] += bool(hidden & ~before)
    counts[Situation.SHOWN_REVISIONS] += bool(before & ~hidden)


def _count_reads(reads: Sequence[Read], counts: Counter[Situation]) -> None:
    newest = 0
    furthest: dict[tuple[str, int], int] = {}
    for arrival, landing in reads:
        record = landing.record
        if record is None:
            counts[Situation.CANARIES if landing.is_canary else Situation.NULL_RECORDS] += 1
            continue
        counts[_STREAMS[record.stream]] += 1
        counts[Situation.SWITCHOVER] += arrival.topic.startswith(DATACENTRES[1])
        if landing.is_copy:
            counts[Situation.DUPLICATES] += 1
            continue
        counts[Situation.LATE_ARRIVALS] += arrival.published < newest - _LATE
        counts[Situation.REORDERED_ARRIVALS] += record.order < furthest.get(record.page, -1)
        newest = max(newest, arrival.published)
        furthest[record.page] = max(furthest.get(record.page, -1), record.order)
