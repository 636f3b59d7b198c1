"""mediawiki.page_change.v1 and mediawiki.page_content_change.v1, shape by shape."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.wire.records import (
    AT,
    FLAGS,
    MAIN_SLOT,
    PAGE_CHANGES,
    page,
    page_change,
    read,
    record,
    revision,
)
from wikimirror.errors import UnreadableRecord
from wikimirror.model import (
    Body,
    Change,
    Clock,
    Coordinates,
    Field,
    Format,
    Hidden,
    Kind,
    PageKey,
    change_identity,
    coordinates_identity,
)
from wikimirror.wire import decode

MARCH_FIRST = 1_740_823_200_000_000
DAY = 86_400_000_000


def refusal(value: dict[str, object]) -> UnreadableRecord:
    with pytest.raises(UnreadableRecord) as caught:
        decode(record(value))
    return caught.value


def test_an_edit_is_read_whole() -> None:
    value = PAGE_CHANGES["edit"]

    assert read(value) == Change(
        identity=change_identity("jumbo", "mediawiki.page_change.v1", value["meta"]["id"], "edit", ""),
        kind=Kind.EDIT,
        clock=Clock.ACTION,
        time=MARCH_FIRST,
        published=MARCH_FIRST + 2_345_000,
        page=PageKey("xxwiki", 900),
        rev_id=5001,
        rev_dt=MARCH_FIRST,
        title="Talk:Old town hall",
        namespace_id=1,
        is_redirect=False,
        url="https://xx.wikipedia.org/wiki/Talk:Old_town_hall",
        parent_rev_id=5000,
        is_minor=False,
        text_visible=True,
        editor_visible=True,
        comment_visible=True,
        editor_name="Ada Example",
        editor_id=77,
        comment="a summary",
        sha1="a1b2c3d4",
        size=420,
        content_model="wikitext",
    )


def test_of_the_neighbour_nothing_is_kept_but_what_is_hidden() -> None:
    change = read(PAGE_CHANGES["edit over a hidden neighbour"])

    assert change.neighbours == (Hidden(5000, (Field.EDITOR, Field.COMMENT)),)
    assert change.editor_visible is True


@pytest.mark.parametrize("kind", ["visibility_change", "delete"])
def test_a_prior_state_of_the_records_own_revision_is_no_neighbour(kind: str) -> None:
    hidden = dict.fromkeys(FLAGS, False)

    assert read(page_change(kind, prior_state={"revision": hidden})).neighbours == ()
    assert read(page_change(kind, prior_state={"revision": {"rev_id": 5001, **hidden}})).neighbours == ()


def test_a_neighbour_that_is_visible_or_says_nothing_is_not_stated() -> None:
    assert read(page_change(prior_state={"revision": revision(5000)})).neighbours == ()
    assert read(page_change(prior_state={"revision": {"rev_id": 5000}})).neighbours == ()


def test_absent_parent_is_unstated_and_zero_is_the_first_revision() -> None:
    assert read(PAGE_CHANGES["create without parent"]).parent_rev_id is None
    assert read(PAGE_CHANGES["create with parent 0"]).parent_rev_id == 0


def test_an_address_has_a_name_and_no_id() -> None:
    change = read(PAGE_CHANGES["edit by an address"])

    assert (change.editor_name, change.editor_id, change.editor_visible) == ("198.51.100.7", None, True)


@pytest.mark.parametrize("editor", [None, {}, {"user_id": 77}, {"user_text": ""}])
def test_a_visible_editor_who_is_not_told_is_hidden(editor: dict[str, object] | None) -> None:
    change = read(page_change(revision=revision(editor=editor)))

    assert (change.editor_visible, change.editor_name, change.editor_id) == (False, None, None)


def test_absent_flags_state_nothing() -> None:
    change = read(page_change(revision=revision(5001, **dict.fromkeys(FLAGS))))

    assert (change.text_visible, change.editor_visible, change.comment_visible) == (None, None, None)


def test_null_flags_of_an_edit_state_nothing() -> None:
    value = page_change()
    value["revision"].update(dict.fromkeys(FLAGS))

    change = read(value)

    assert (change.text_visible, change.editor_visible, change.comment_visible) == (None, None, None)


def test_the_body_of_the_main_slot_is_kept_and_no_other() -> None:
    assert read(PAGE_CHANGES["edit with content"]).bodies == (Body(Format.WIKITEXT, "'''Old''' town hall"),)
    assert read(PAGE_CHANGES["edit of JSON content"]).bodies == (Body(Format.JSON, "{}"),)
    assert read(PAGE_CHANGES["edit"]).bodies == ()


def test_an_empty_body_is_a_body() -> None:
    value = page_change(revision=revision(content_slots={"main": {**MAIN_SLOT, "content_body": ""}}))

    assert read(value).bodies == (Body(Format.WIKITEXT, ""),)


def test_a_revert_is_known_by_the_presence_of_its_account() -> None:
    assert read(page_change(revision=revision(revert={"method": "undo", "is_exact": True}))).is_revert
    assert not read(page_change()).is_revert


def test_a_move_tells_the_namespace_it_came_from_only_when_it_is_another() -> None:
    assert read(PAGE_CHANGES["move between namespaces"]).former_namespace_id == 0
    assert read(PAGE_CHANGES["move within a namespace"]).former_namespace_id is None
    assert read(PAGE_CHANGES["move, prior state with what changed"]).former_namespace_id is None


def test_an_undeletion_tells_the_page_id_it_had_only_when_it_is_another() -> None:
    assert read(PAGE_CHANGES["undelete with a new page id"]).former_page_id == 800
    assert read(PAGE_CHANGES["undelete"]).former_page_id is None


def test_a_deletion_states_where_the_page_was_and_supplies_nothing() -> None:
    change = read(PAGE_CHANGES["delete"])

    assert (change.kind, change.time, change.rev_dt) == (Kind.DELETE, MARCH_FIRST + DAY - 7_200_000_000, MARCH_FIRST)
    assert (change.title, change.namespace_id, change.is_redirect) == ("Talk:Old town hall", 1, False)
    assert not change.suppresses
    assert (change.editor_name, change.comment, change.sha1, change.size, change.content_model) == (None,) * 5
    assert (change.url, change.bodies) == (None, ())


def test_a_deletion_with_all_flags_false_is_a_suppression_without_title() -> None:
    change = read(PAGE_CHANGES["suppression"])

    assert change.suppresses
    assert (change.title, change.url) == (None, None)
    assert (change.text_visible, change.editor_visible, change.comment_visible) == (False, False, False)


@pytest.mark.parametrize("flag", FLAGS)
def test_a_deletion_with_one_flag_true_is_no_suppression(flag: str) -> None:
    hidden = {**dict.fromkeys(FLAGS, False), flag: True}

    assert not read(page_change("delete", revision=revision(editor=None, **hidden))).suppresses


def test_a_hidden_comment_or_editor_is_not_carried_even_if_it_was_sent() -> None:
    hidden = revision(is_editor_visible=False, is_comment_visible=False)

    change = read(page_change("visibility_change", revision=hidden))

    assert (change.editor_visible, change.editor_name, change.editor_id) == (False, None, None)
    assert (change.comment_visible, change.comment) == (False, None)
    assert change.sha1 == "a1b2c3d4"


def test_hidden_content_is_not_carried_although_its_slots_remain() -> None:
    change = read(PAGE_CHANGES["content hidden, slots remain"])

    assert change.text_visible is False
    assert (change.sha1, change.size, change.content_model, change.bodies) == (None, None, None, ())
    assert (change.editor_name, change.comment) == ("Ada Example", "a summary")


def test_a_visibility_change_states_the_page_like_an_edit() -> None:
    change = read(PAGE_CHANGES["comment hidden"])

    assert (change.kind, change.comment_visible, change.comment) == (Kind.VISIBILITY_CHANGE, False, None)
    assert (change.title, change.rev_id, change.sha1) == ("Talk:Old town hall", 5001, "a1b2c3d4")


def test_a_visibility_change_without_performer_is_read() -> None:
    change = read(PAGE_CHANGES["suppressed visibility change"])

    assert (change.text_visible, change.editor_visible, change.comment_visible) == (False, False, False)


def test_the_wikibase_item_is_kept_where_it_is_told() -> None:
    assert read(page_change(page=page(wikibase_item_id="Q42"))).wikibase_item_id == "Q42"
    assert read(page_change()).wikibase_item_id is None


def test_without_a_time_of_publication_it_is_the_time_of_the_action() -> None:
    value = page_change()
    del value["meta"]["dt"]

    assert read(value).published == MARCH_FIRST


def test_ids_may_be_as_large_as_a_bigint_and_no_larger() -> None:
    assert read(page_change(revision=revision(2**63 - 1))).rev_id == 2**63 - 1
    assert refusal(page_change(revision=revision(2**63))).reason == "bad_value"


def test_identity_is_that_of_the_source_the_stream_and_the_id() -> None:
    value = page_change()
    elsewhere = Coordinates("other", AT.topic, AT.partition, AT.offset)
    prefixed = page_change(meta={**value["meta"], "stream": "codfw.mediawiki.page_change.v1"})

    assert read(value, AT._replace(offset=99)).identity == read(value).identity
    assert read(value, elsewhere).identity != read(value).identity
    assert read(prefixed).identity == read(value).identity
    assert read(page_change("move")).identity != read(value).identity


def test_without_an_id_identity_is_where_the_record_was_read() -> None:
    value = page_change()
    del value["meta"]["id"]

    assert read(value).identity == coordinates_identity(AT)


def test_identity_of_a_capture_does_not_depend_on_the_file() -> None:
    value = page_change()
    one, two = Coordinates("capture", "one.ndjson", 0, 3), Coordinates("capture", "two.sse.gz", 0, 8)

    assert read(value, one).identity == read(value, two).identity
    assert read(value, one).identity == change_identity(
        "mediawiki", "mediawiki.page_change.v1", value["meta"]["id"], "edit", ""
    )


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (("dt",), "missing_field"),
        (("wiki_id",), "missing_field"),
        (("page_change_kind",), "missing_field"),
        (("page",), "missing_field"),
        (("page", "page_id"), "missing_field"),
        (("page", "page_title"), "missing_field"),
        (("revision",), "missing_field"),
        (("revision", "rev_id"), "missing_field"),
        (("revision", "rev_dt"), "missing_field"),
    ],
)
def test_an_edit_without_a_required_field_is_refused(path: tuple[str, ...], reason: str) -> None:
    value = page_change()
    holder = value
    for name in path[:-1]:
        holder = holder[name]
    del holder[path[-1]]

    assert refusal(value).reason == reason


@pytest.mark.parametrize(
    "fields",
    [
        {"dt": "yesterday"},
        {"dt": 1740823200},
        {"dt": "2201-01-01T00:00:00Z"},
        {"wiki_id": ""},
        {"wiki_id": "x\x00wiki"},
        {"wiki_id": 5},
        {"page": page(page_id=0)},
        {"page": page(page_id="900")},
        {"page": page(page_title="")},
        {"page": page(page_title=["Talk"])},
        {"page": page(page_title="half a \ud83d pair")},
        {"page": page(namespace_id=2**31)},
        {"revision": revision(0)},
        {"revision": revision(-1)},
        {"revision": revision(is_content_visible="no")},
        {"revision": revision(editor=["Ada"])},
        {"revision": revision(rev_dt="1969-12-31T23:59:59Z")},
        {"revision": "none"},
        {"prior_state": {"revision": {"rev_id": 5000, "is_content_visible": "no"}}},
    ],
)
def test_an_edit_with_an_impossible_value_is_refused(fields: dict[str, Any]) -> None:
    assert refusal(page_change("edit", **fields)).reason == "bad_value"


def test_a_refusal_names_page_and_revision_and_quotes_nothing() -> None:
    failure = refusal(page_change(revision=revision(comment=["a private matter"])))

    assert (failure.wiki_id, failure.page_id, failure.rev_id) == ("xxwiki", 900, 5001)
    assert "private" not in str(failure)
    assert "comment" in str(failure)


def test_an_unknown_kind_is_refused_by_name() -> None:
    failure = refusal(page_change("protect"))

    assert (failure.reason, failure.page_id) == ("unknown_kind", 900)
    assert "protect" not in str(failure)


def test_nul_bytes_of_an_edit_pass_for_postgres_to_refuse() -> None:
    change = read(page_change(revision=revision(comment="a\x00b")))

    assert change.comment == "a\x00b"


def test_unknown_fields_and_minors_are_tolerated() -> None:
    value = page_change(**{"$schema": "/mediawiki/page/change/1.99.0"}, weather={"sunny": True})
    value["revision"]["mood"] = [1, 2, 3]

    assert msgspec.structs.asdict(read(value)) == msgspec.structs.asdict(read(page_change()))
