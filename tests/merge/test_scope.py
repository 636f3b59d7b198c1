"""What is mirrored is decided by the change alone; what takes away always applies."""

from __future__ import annotations

import pytest

from tests.merge.statements import HIDDEN, SHOWN, UNSTATED, WIKI, delete, edit, hides, say, state, suppress, visibility
from wikimirror.merge.scope import Scope, admit, bare_retraction
from wikimirror.model import Change, Field, Kind

EVERYTHING = Scope()
ARTICLES = Scope(frozenset({WIKI}), frozenset({0}))
ELSEWHERE = Scope(frozenset({"zzwiki"}))
CONTENT = ("title", "url", "editor_name", "editor_id", "comment", "sha1", "size", "content_model", "bodies")


def has_content(change: Change) -> bool:
    return any(getattr(change, name) for name in CONTENT)


def test_a_scope_without_lists_is_everything() -> None:
    change = edit(1, namespace_id=7)
    assert admit(change, EVERYTHING) is change


def test_a_change_in_a_mirrored_wiki_and_namespace_is_admitted_whole() -> None:
    change = edit(1)
    assert admit(change, ARTICLES) is change


def test_a_page_whose_namespace_is_not_stated_lies_in_the_scope_of_its_wiki() -> None:
    change = edit(1, namespace_id=None)
    assert admit(change, ARTICLES) is change
    assert admit(change, ELSEWHERE) is None


@pytest.mark.parametrize("scope", [ELSEWHERE, Scope(frozenset({WIKI}), frozenset({2}))])
def test_what_lies_outside_and_takes_nothing_away_is_ignored(scope: Scope) -> None:
    assert admit(edit(1), scope) is None
    assert admit(state(Kind.UNDELETE, 1, 5), scope) is None
    assert admit(visibility(1, 5, SHOWN), Scope(frozenset({"zzwiki"}))) is None


def test_a_deletion_outside_of_the_scope_applies_without_its_title() -> None:
    for change in (delete(1, 5), suppress(1, 5)):
        admitted = admit(change, ELSEWHERE)
        assert admitted is not None
        assert (admitted.kind, admitted.time, admitted.suppresses) == (Kind.DELETE, change.time, change.suppresses)
        assert not has_content(admitted)


def test_a_hiding_outside_of_the_scope_applies_as_flags_alone() -> None:
    for change in (
        visibility(1, 5, (False, True, True)),
        edit(1, flags=(True, False, True)),
        edit(2, **hides(1, Field.COMMENT)),
    ):
        admitted = admit(change, ELSEWHERE)
        assert admitted is not None
        assert admitted.kind is Kind.REVISION_VISIBILITY
        assert (admitted.text_visible, admitted.editor_visible, admitted.comment_visible, admitted.neighbours) == (
            change.text_visible, change.editor_visible, change.comment_visible, change.neighbours,
        )  # fmt: skip
        assert not has_content(admitted)


def test_a_page_moved_out_of_the_scope_vacates_and_supplies_nothing() -> None:
    admitted = admit(state(Kind.MOVE, 2, 5, namespace_id=2, former_namespace_id=0), ARTICLES)
    assert admitted is not None
    assert admitted.vacates
    assert (admitted.kind, admitted.namespace_id, admitted.url, admitted.bodies) == (Kind.MOVE, 2, None, ())
    assert admitted.editor_name is admitted.comment is admitted.sha1 is None


def test_a_page_moved_between_namespaces_that_are_both_outside_is_ignored() -> None:
    assert admit(state(Kind.MOVE, 2, 5, namespace_id=2, former_namespace_id=3), ARTICLES) is None


def test_a_page_moved_into_the_scope_is_admitted_whole() -> None:
    change = state(Kind.MOVE, 2, 5, namespace_id=0, former_namespace_id=2)
    assert admit(change, ARTICLES) is change


def test_a_bare_retraction_keeps_identity_and_time_and_exists_only_for_what_takes_away() -> None:
    assert bare_retraction(edit(1)) is None
    assert bare_retraction(say(Kind.REVISION_VISIBILITY, 1, 5, flags=UNSTATED)) is None
    change = edit(1, flags=HIDDEN)
    bare = bare_retraction(change)
    assert bare is not None
    assert (bare.identity, bare.time, bare.published, bare.page, bare.rev_id) == (
        change.identity, change.time, change.published, change.page, change.rev_id,
    )  # fmt: skip
    assert bare_retraction(bare) == bare
