"""The merge law, clause by clause: each sentence held by the definition and by the registers, in every order."""

from __future__ import annotations

import pytest

from tests.merge.statements import (
    HIDDEN,
    SHOWN,
    UNSTATED,
    WIKI,
    Held,
    at,
    content,
    delete,
    edit,
    hides,
    state,
    suppress,
    undelete,
    update,
    visibility,
)
from wikimirror.merge.law import Law, PageRow
from wikimirror.model import (
    Body,
    Change,
    Clock,
    Coordinates,
    Field,
    Format,
    Kind,
    change_identity,
    coordinates_identity,
)

NONE = (False, False, False)
ALL = (True, True, True)


class TestL1Clocks:
    def test_a_showing_in_the_same_second_as_a_hiding_does_not_beat_it(self) -> None:
        hiding = visibility(1, 10.2, (False, True, True))
        assert Held(edit(1), hiding, visibility(1, 10.9, SHOWN)).fields(1) == (False, True, True)

    def test_a_showing_in_a_later_second_of_its_clock_beats_a_hiding(self) -> None:
        held = Held(edit(1), visibility(1, 10.9, (False, True, True)), visibility(1, 11.0, SHOWN))
        assert held.revision(1).content_visible
        assert held.text(1) is None, "it is visible again, but its text went and must be asked for"

    def test_a_supply_within_the_skew_after_a_hiding_of_another_clock_does_not_beat_it(self) -> None:
        hiding = visibility(1, 10, HIDDEN)
        shown = state(Kind.VISIBILITY_CHANGE, 1, 310)
        assert Held(edit(1), hiding, shown).fields(1) == NONE

    def test_a_supply_beyond_the_skew_after_a_hiding_of_another_clock_beats_it(self) -> None:
        hiding = visibility(1, 10, HIDDEN)
        shown = state(Kind.VISIBILITY_CHANGE, 1, 311)
        assert Held(edit(1), hiding, shown).fields(1) == ALL

    def test_freshness_decides_nothing(self) -> None:
        published_late = edit(1, published=at(5000))
        assert Held(published_late, delete(1, 10)).page().state == "deleted"


class TestL2Deletion:
    def test_the_page_is_the_candidate_of_the_latest_revision_whatever_came_last(self) -> None:
        row = Held(edit(2, title="New"), edit(1, 50, title="Old")).page()
        assert (row.state, row.title, row.rev_id, row.rev_dt) == ("live", "New", 2, at(2))

    def test_a_revision_imported_with_an_earlier_time_is_not_current_although_its_number_is_greater(self) -> None:
        imported = edit(9, 9, rev_dt=at(-1000))
        assert Held(edit(2), imported).page().rev_id == 2

    def test_a_deleted_page_keeps_its_tombstone(self) -> None:
        row = Held(edit(1), delete(1, 10, namespace_id=4)).page()
        assert row == PageRow("deleted", "A title", 4, is_redirect=False, deleted_at=at(10))

    def test_a_deletion_hides_every_revision_of_the_page(self) -> None:
        held = Held(edit(1), edit(2), edit(3), delete(3, 10))
        assert [held.fields(rev) for rev in (1, 2, 3)] == [NONE] * 3

    def test_a_late_edit_from_before_a_deletion_does_not_bring_the_page_back(self) -> None:
        held = Held(delete(3, 10), edit(2, 2))
        assert held.page().state == "deleted"
        assert held.fields(2) == NONE

    def test_an_edit_in_the_second_of_a_deletion_stays_deleted(self) -> None:
        assert Held(delete(1, 10), edit(2, 10)).page().state == "deleted"

    def test_an_edit_told_after_a_deletion_that_names_a_deleted_revision_does_not_count(self) -> None:
        held = Held(edit(3), delete(3, 10), edit(3, 20), edit(2, 21))
        assert held.page().state == "deleted"
        assert held.fields(3) == held.fields(2) == NONE

    def test_a_page_created_again_after_its_deletion_is_live_without_its_old_revisions(self) -> None:
        held = Held(edit(1), delete(1, 10), state(Kind.CREATE, 2, 20))
        assert (held.page().state, held.page().rev_id) == ("live", 2)
        assert (held.fields(1), held.fields(2)) == (NONE, ALL)

    def test_an_undelete_proves_the_revision_that_it_names_and_no_other(self) -> None:
        held = Held(edit(1), edit(2), delete(2, 10), undelete(2, 20))
        assert (held.page().state, held.page().rev_id) == ("live", 2)
        assert (held.fields(1), held.fields(2)) == (NONE, ALL)

    def test_an_undelete_that_does_not_beat_the_deletion_is_refused(self) -> None:
        assert Held(edit(1), undelete(1, 10), delete(1, 10)).page().state == "deleted"

    def test_every_deletion_must_be_beaten_whatever_its_clock(self) -> None:
        other = delete(1, 100, clock=Clock.PROCESSING)
        assert Held(delete(1, 10), other, undelete(1, 200)).page().state == "deleted"
        assert Held(delete(1, 10), other, undelete(1, 401)).page().state == "live"

    def test_suppression_removes_title_and_url_and_what_other_statements_said_of_them(self) -> None:
        row = Held(edit(1), delete(1, 9), suppress(1, 10)).page()
        assert row == PageRow("deleted", None, 0, None, deleted_at=at(10))

    def test_a_deletion_after_a_suppression_states_the_title_again(self) -> None:
        later = [suppress(1, 10), state(Kind.CREATE, 2, 20, title="Another"), delete(2, 30, title="Another")]
        assert Held(*later).page().title == "Another"

    def test_a_deletion_within_the_second_of_a_suppression_does_not_tell_the_title(self) -> None:
        assert Held(suppress(1, 10.1), delete(1, 10.8)).page().title is None

    def test_only_the_whole_stated_page_of_a_visibility_change_is_a_candidate(self) -> None:
        whole = state(Kind.VISIBILITY_CHANGE, 1, 10, title="Stated")
        assert Held(whole).page().title == "Stated"
        assert Held(visibility(1, 10, SHOWN)).page() == PageRow(None)


class TestL3Floors:
    def test_an_undelete_proves_a_deletion_that_never_came(self) -> None:
        held = Held(edit(1), edit(2), undelete(1, 20))
        assert held.page().rev_id == 1
        assert held.fields(2) == NONE

    def test_a_partial_restore_lowers_the_current_revision(self) -> None:
        held = Held(edit(1), edit(2), edit(3), delete(3, 10), undelete(2, 20))
        assert (held.page().state, held.page().rev_id) == ("live", 2)
        assert [held.fields(rev) for rev in (1, 2, 3)] == [NONE, ALL, NONE]

    def test_an_undelete_floor_lets_pass_what_lies_in_its_own_second(self) -> None:
        assert Held(undelete(1, 20.0), edit(2, 20.0)).page().rev_id == 2

    def test_a_floor_binds_its_own_clock_alone(self) -> None:
        assert Held(update(3, 10), undelete(1, 20)).page().rev_id == 3

    def test_an_assert_is_a_floor_likewise(self) -> None:
        held = Held(edit(1), edit(2), state(Kind.ASSERT, 1, 20))
        assert held.page().rev_id == 1
        assert held.fields(2) == NONE


class TestL4Held:
    @pytest.mark.parametrize("number", range(3))
    def test_a_hidden_field_goes_and_the_others_stay(self, number: int) -> None:
        flags = tuple(n != number for n in range(3))
        held = Held(edit(1), visibility(1, 10, (flags[0], flags[1], flags[2])))
        assert held.fields(1) == flags

    def test_with_the_text_go_sha1_size_model_and_every_format(self) -> None:
        formats = tuple(Body(each, "text") for each in Format)
        held = Held(edit(1, bodies=formats), visibility(1, 10, (False, True, True)))
        row = held.revision(1)
        assert (row.sha1, row.size, row.content_model) == (None, None, None)
        assert held.mirror.bodies == {}

    def test_hidden_and_shown_again_with_a_new_supply_a_field_is_held(self) -> None:
        again = state(Kind.VISIBILITY_CHANGE, 1, 500)
        assert Held(edit(1), visibility(1, 10, HIDDEN), again).fields(1) == ALL

    def test_a_late_copy_of_the_first_supply_brings_nothing_back(self) -> None:
        held = Held(edit(1), visibility(1, 10, HIDDEN), visibility(1, 20, SHOWN), edit(1))
        assert held.text(1) is None

    def test_a_flagless_update_never_shows_what_was_hidden(self) -> None:
        assert Held(edit(1), visibility(1, 10, HIDDEN), update(1, 5000)).fields(1) == NONE

    def test_a_flagless_update_never_supplies_what_was_shown_again(self) -> None:
        held = Held(visibility(1, 10, HIDDEN), visibility(1, 20, SHOWN), update(1, 5000))
        assert (held.revision(1).content_visible, held.text(1)) == (True, None)

    def test_never_hidden_a_flagless_update_supplies(self) -> None:
        assert Held(update(1, 10)).fields(1) == ALL

    @pytest.mark.parametrize("kind", [Kind.DELETE, Kind.REVISION_VISIBILITY, Kind.WITHDRAWAL, Kind.TITLE_VACATED])
    def test_stubs_supply_nothing(self, kind: Kind) -> None:
        held = Held(state(kind, 1, 10))
        assert held.mirror.bodies == {}
        assert held.revision(1).editor_name is held.revision(1).comment is held.revision(1).sha1 is None

    def test_the_flags_of_a_deletion_hide_and_never_show(self) -> None:
        held = Held(edit(1), delete(1, 10, flags=(False, True, True)), undelete(1, 10.5, flags=UNSTATED))
        assert held.fields(1)[0] is False
        shown = Held(visibility(1, 5, HIDDEN), delete(1, 500, flags=SHOWN), undelete(1, 900, flags=UNSTATED))
        row = shown.revision(1)
        assert (row.content_visible, row.editor_visible, row.comment_visible) == NONE

    def test_what_a_change_says_of_its_neighbour_hides_and_never_shows(self) -> None:
        held = Held(edit(1), edit(2, **hides(1, Field.EDITOR)))
        assert (held.fields(1), held.fields(2)) == ((True, False, True), ALL)
        assert Held(edit(2, **hides(1, Field.EDITOR)), edit(1)).fields(1) == (True, False, True)

    def test_a_neighbour_never_seen_is_remembered_as_hidden(self) -> None:
        held = Held(edit(2, **hides(1)), edit(1))
        assert held.fields(1) == NONE

    def test_a_visible_editor_that_was_not_told_is_hidden(self) -> None:
        # The decoder says so in the change; the law then treats it like any hiding.
        redacted = edit(1, 10, flags=(True, False, True), editor_name=None, editor_id=None)
        assert Held(edit(1), redacted).fields(1) == (True, False, True)

    def test_a_supply_must_outlive_the_deletion_as_well_as_the_hiding(self) -> None:
        restored = undelete(1, 20, flags=(True, False, True), editor_name=None)
        assert Held(edit(1), delete(1, 10), restored).fields(1) == (True, False, True)


class TestL5RevisionsThatChangePages:
    def test_a_revision_named_by_two_pages_obeys_both(self) -> None:
        held = Held(edit(1, page=1), edit(1, 5, page=2), delete(1, 10, page=1))
        assert held.fields(1) == NONE

    def test_a_revision_belongs_to_the_page_that_the_last_change_named(self) -> None:
        assert Held(edit(1, page=1), edit(1, 5, page=2)).revision(1).page_id == 2
        assert Held(edit(1, 5, page=2), edit(1, 5, page=3)).revision(1).page_id == 3

    def test_a_deletion_of_the_former_page_that_arrives_late_takes_the_revision_too(self) -> None:
        held = Held(edit(1, page=1), edit(1, 50, page=2), delete(1, 100, page=1))
        assert (held.page(2).state, held.fields(1)) == ("live", NONE)

    def test_a_floor_of_one_page_binds_what_another_named(self) -> None:
        held = Held(edit(1, 1, page=1), undelete(2, 20, page=1), edit(1, 5, page=2))
        assert held.fields(1) == NONE


class TestL6Fetched:
    def test_an_assert_proves_that_the_page_and_its_revision_exist(self) -> None:
        held = Held(edit(1), delete(1, 10), state(Kind.ASSERT, 1, 20))
        assert (held.page().state, held.fields(1)) == ("live", ALL)

    def test_an_assert_without_flags_supplies_what_was_never_hidden(self) -> None:
        assert Held(delete(1, 10), state(Kind.ASSERT, 1, 20, flags=UNSTATED)).fields(1) == ALL
        hidden = visibility(1, 5, HIDDEN)
        assert Held(hidden, delete(1, 10), state(Kind.ASSERT, 1, 900, flags=UNSTATED)).fields(1) == NONE

    def test_a_text_fetched_for_a_change_takes_its_time_and_falls_with_it(self) -> None:
        bare = edit(1, bodies=())
        fetched = edit(1, bodies=(Body(Format.WIKITEXT, "fetched"),))
        assert Held(bare, fetched).text(1) == "fetched"
        assert Held(bare, fetched, visibility(1, 10, (False, True, True))).text(1) is None

    def test_a_snapshot_row_keeps_its_own_time_and_never_revives_a_later_deletion(self) -> None:
        assert Held(update(2, 10), delete(1, 100, clock=Clock.PROCESSING)).page().state == "deleted"


class TestL7Vacated:
    def moved(self, rev_id: int, seconds: float) -> Change:
        return state(Kind.TITLE_VACATED, rev_id, seconds, clock=Clock.PROCESSING, flags=UNSTATED)

    def withdrawn(self, rev_id: int, seconds: float) -> Change:
        return state(Kind.WITHDRAWAL, rev_id, seconds, clock=Clock.PROCESSING, flags=UNSTATED)

    def test_a_move_tombstone_vacates_the_page_while_it_bears_the_old_title(self) -> None:
        held = Held(edit(1), self.moved(2, 10))
        assert held.page() == PageRow("vacated", "A title", 0, is_redirect=False)
        assert held.text(1) is None

    def test_a_move_tombstone_does_nothing_to_a_page_that_bears_the_new_title(self) -> None:
        held = Held(edit(1), edit(2, title="New title"), self.moved(2, 10))
        assert (held.page().state, held.page().title) == ("live", "New title")
        assert held.text(2) == "text 2"

    def test_a_page_that_takes_its_old_title_again_is_live(self) -> None:
        assert Held(edit(1), self.moved(2, 10), edit(3)).page().state == "live"

    def test_an_unproved_withdrawal_vacates_and_takes_the_texts_that_were_there(self) -> None:
        held = Held(edit(1), self.withdrawn(2, 10))
        assert held.page().state == "vacated"
        assert held.text(1) is None

    def test_a_withdrawal_proved_by_a_candidate_of_its_revision_is_a_deletion(self) -> None:
        held = Held(edit(1), edit(2), self.withdrawn(2, 10))
        assert (held.page().state, held.page().deleted_at) == ("deleted", at(10))
        assert held.fields(1) == held.fields(2) == NONE

    def test_a_page_edited_after_a_withdrawal_is_live_without_its_older_texts(self) -> None:
        held = Held(edit(1), self.withdrawn(2, 10), edit(3, 500))
        assert (held.page().state, held.page().rev_id) == ("live", 3)
        assert (held.text(1), held.text(3)) == (None, "text 3")

    def test_leaving_scope_vacates_and_takes_every_text(self) -> None:
        left = state(Kind.MOVE, 2, 10, namespace_id=2, vacates=True)
        held = Held(edit(1), left)
        assert held.page() == PageRow("vacated", "A title", 2, is_redirect=False)
        assert (held.text(1), held.revision(1).sha1) == (None, None)

    def test_coming_back_into_scope_makes_the_page_live_and_brings_no_old_text_back(self) -> None:
        left = state(Kind.MOVE, 2, 10, namespace_id=2, vacates=True)
        held = Held(edit(1), left, state(Kind.MOVE, 3, 20))
        assert (held.page().state, held.page().rev_id) == ("live", 3)
        assert (held.text(1), held.text(3)) == (None, "text 3")


class TestL8Identity:
    def test_a_change_told_twice_is_one(self) -> None:
        change = edit(1)
        assert Held(change, change).mirror == Held(change).mirror

    def test_copies_from_two_sources_are_two_changes(self) -> None:
        names = [change_identity(source, "stream", "id", "edit", "") for source in ("kafka", "eventstreams")]
        assert len({*names, change_identity("kafka", "stream", "id", "edit", "")}) == 2

    def test_parts_of_an_identity_do_not_run_into_each_other(self) -> None:
        assert change_identity("a", "bc", "", "", "") != change_identity("ab", "c", "", "", "")
        assert coordinates_identity(Coordinates("a", "b", 1, 11)) != coordinates_identity(Coordinates("a", "b", 11, 1))


class TestL9Attributes:
    def test_of_equal_supplies_the_latest_stands_and_at_one_time_the_greater_identity(self) -> None:
        assert Held(edit(1, 5, comment="early"), edit(1, 6, comment="late")).revision(1).comment == "late"
        assert Held(edit(1, 5, comment="less"), edit(1, 5, comment="greater")).revision(1).comment == "greater"

    def test_what_the_winner_does_not_state_comes_from_the_greatest_candidate_that_does(self) -> None:
        held = Held(
            edit(1, wikibase_item_id="Q1", url="https://xx.example/1"),
            edit(2, wikibase_item_id="Q2", url=None),
            edit(3, wikibase_item_id=None, url=None, is_redirect=None),
        )
        row = held.page()
        assert (row.rev_id, row.wikibase_item_id, row.url, row.is_redirect) == (3, "Q2", "https://xx.example/1", False)

    def test_what_a_revision_does_not_state_comes_from_its_latest_change_that_does(self) -> None:
        held = Held(
            edit(5, 5, parent_rev_id=4, is_minor=True),
            edit(5, 6, parent_rev_id=3, is_minor=None),
            edit(5, 7, parent_rev_id=None, is_minor=None, comment=None),
        )
        row = held.revision(5)
        assert (row.parent_rev_id, row.is_minor, row.comment) == (3, True, "comment 5")

    def test_a_refused_candidate_states_nothing(self) -> None:
        held = Held(edit(1, wikibase_item_id="Q1"), delete(1, 10), state(Kind.CREATE, 2, 20))
        assert held.page().wikibase_item_id is None

    def test_editor_name_and_id_go_together(self) -> None:
        held = Held(edit(1, 5, editor_name="Ada", editor_id=7), edit(1, 6, editor_name="198.51.100.7", editor_id=None))
        assert (held.revision(1).editor_name, held.revision(1).editor_id) == ("198.51.100.7", None)


class TestKeptTexts:
    CURRENT = Law(bodies="current")

    def test_with_current_bodies_the_text_of_a_superseded_revision_goes_and_its_row_stays(self) -> None:
        held = Held(edit(1), edit(2), law=self.CURRENT)
        assert (held.text(1), held.text(2)) == (None, "text 2")
        assert held.revision(1).sha1 == "sha1 1"

    def test_a_late_older_text_is_not_kept(self) -> None:
        assert Held(edit(3), edit(2), edit(1), law=self.CURRENT).text(1) is None

    def test_what_a_partial_restore_makes_current_is_supplied_by_the_restore_itself(self) -> None:
        held = Held(edit(1), edit(2), delete(2, 10), undelete(1, 20), law=self.CURRENT)
        assert (held.text(1), held.text(2)) == ("text 1", None)

    def test_with_all_bodies_every_permitted_text_is_kept(self) -> None:
        held = Held(edit(1), edit(2))
        assert (held.text(1), held.text(2)) == ("text 1", "text 2")


def test_ids_and_titles_of_two_wikis_do_not_meet() -> None:
    other = edit(1, title="Theirs")
    held = Held(edit(1, title="Ours"), Change(**{**{f: getattr(other, f) for f in other.__struct_fields__},
                                                  "page": other.page._replace(wiki_id="zzwiki")}))  # fmt: skip
    assert {key.wiki_id: row.title for key, row in held.mirror.pages.items()} == {WIKI: "Ours", "zzwiki": "Theirs"}
    assert content(1)["comment"] == held.revision(1).comment
