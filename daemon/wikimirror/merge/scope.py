"""What is mirrored, and what a change outside of it still does: retractions apply, a page that leaves is vacated."""

from __future__ import annotations

from typing import Final, NamedTuple

from wikimirror.model import Change, Kind

_DELETIONS: Final = frozenset({Kind.DELETE, Kind.WITHDRAWAL})


class Scope(NamedTuple):
    """The wikis and namespaces that are mirrored; an empty set is all of them."""

    wikis: frozenset[str] = frozenset()
    namespaces: frozenset[int] = frozenset()

    def has(self, wiki_id: str, namespace_id: int | None) -> bool:
        """Whether a page lies in the scope; one of an unstated namespace does."""
        return (not self.wikis or wiki_id in self.wikis) and (
            not self.namespaces or namespace_id is None or namespace_id in self.namespaces
        )


def admit(change: Change, scope: Scope) -> Change | None:
    """What of a change is to be applied: all of it in the scope, else what it takes away; None: nothing (ignored).

    Decided by the change alone, never by what is mirrored already: so order does not matter (P2).
    """
    wiki_id = change.page.wiki_id
    if scope.has(wiki_id, change.namespace_id):
        return change
    former = change.former_namespace_id
    if change.kind is Kind.MOVE and former is not None and scope.has(wiki_id, former):
        return _without_content(change, kind=Kind.MOVE, vacates=True)
    return bare_retraction(change)


def bare_retraction(change: Change) -> Change | None:
    """What a change takes away, and nothing else of it; None when it takes nothing away."""
    if change.kind in _DELETIONS:
        return _without_content(change, kind=change.kind)
    if change.hides or change.neighbours:
        return _without_content(change, kind=Kind.REVISION_VISIBILITY)
    return None


def _without_content(change: Change, *, kind: Kind, vacates: bool = False) -> Change:
    return Change(
        identity=change.identity,
        kind=kind,
        clock=change.clock,
        time=change.time,
        published=change.published,
        page=change.page,
        rev_id=change.rev_id,
        rev_dt=change.rev_dt,
        title=change.title if vacates else None,
        namespace_id=change.namespace_id if vacates else None,
        is_redirect=change.is_redirect if vacates else None,
        vacates=vacates,
        suppresses=change.suppresses,
        text_visible=change.text_visible,
        editor_visible=change.editor_visible,
        comment_visible=change.comment_visible,
        neighbours=change.neighbours,
    )
