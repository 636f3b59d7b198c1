"""A bad field of a retraction never stops the retraction."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.records import AT, FLAGS, PAGE_CHANGES, VISIBILITY_CHANGES, page, page_change, read, revision
from wikimirror.errors import UnreadableRecord
from wikimirror.model import Change, Clock, Hidden, Kind, PageKey, coordinates_identity

MARCH_FIRST = 1_740_823_200_000_000
RETRACTIONS = {
    **{name: PAGE_CHANGES[name] for name in PAGE_CHANGES if PAGE_CHANGES[name]["page_change_kind"] == "delete"},
    **{name: PAGE_CHANGES[name] for name in PAGE_CHANGES if "visibility" in PAGE_CHANGES[name]["page_change_kind"]},
    "edit over a hidden neighbour": PAGE_CHANGES["edit over a hidden neighbour"],
    "edit with a hidden comment": page_change(revision=revision(comment=None, is_comment_visible=False)),
    **VISIBILITY_CHANGES,
}
ESSENTIAL = {
    ("$schema",),
    ("wiki_id",),
    ("page_change_kind",),
    ("dt",),
    ("page",),
    ("page", "page_id"),
    ("revision",),
    ("revision", "rev_id"),
    *(("revision", flag) for flag in FLAGS),
    ("prior_state",),
    ("prior_state", "revision"),
    ("prior_state", "revision", "rev_id"),
    *(("prior_state", "revision", flag) for flag in FLAGS),
    ("database",),
    ("page_id",),
    ("rev_id",),
    ("visibility",),
    *(("visibility", flag) for flag in ("text", "user", "comment")),
}


def essence(change: Change, *, editor: bool = True) -> tuple[object, ...]:
    return (
        change.kind,
        change.page,
        change.rev_id,
        change.clock,
        change.time,
        change.suppresses,
        change.text_visible,
        change.editor_visible if editor else None,
        change.comment_visible,
        change.neighbours,
    )


def paths(value: Any, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(value, dict):
        return []
    return [path for name in value for path in [(*above, name), *paths(value[name], (*above, name))]]


def replaced(value: dict[str, Any], path: tuple[str, ...], new: Any) -> dict[str, Any]:
    value = copy.deepcopy(value)
    holder = value
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = new
    return value


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | st.sampled_from(["", "\x00", "\ud800", "x" * 5000, "2025-03-01T10:00:00Z"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
def test_no_value_of_a_field_that_is_not_essential_stops_a_retraction(data: st.DataObject) -> None:
    value = RETRACTIONS[data.draw(st.sampled_from(sorted(RETRACTIONS)))]
    # A stub's time is that of its receipt, and its `meta` is all that tells it.
    stub = "visibility" in value
    essential = ESSENTIAL | ({("meta",), ("meta", "dt")} if stub else set())
    path = data.draw(st.sampled_from([path for path in paths(value) if path not in essential]))
    mutated = replaced(value, path, data.draw(ANYTHING, label=f"in place of {path}"))
    # An editor who is said to be visible and is not told counts as hidden (law L4).
    editor = path[:2] != ("revision", "editor")

    assert essence(read(mutated), editor=editor) == essence(read(value), editor=editor)


@given(st.data())
def test_no_missing_field_that_is_not_essential_stops_a_retraction(data: st.DataObject) -> None:
    value = copy.deepcopy(RETRACTIONS[data.draw(st.sampled_from(sorted(RETRACTIONS)))])
    expected = read(value)
    stub = "visibility" in value
    essential = ESSENTIAL | ({("meta",), ("meta", "dt")} if stub else set())
    path = data.draw(st.sampled_from([path for path in paths(value) if path not in essential]))
    holder = value
    for name in path[:-1]:
        holder = holder[name]
    del holder[path[-1]]
    editor = path[:2] != ("revision", "editor")

    assert essence(read(value), editor=editor) == essence(expected, editor=editor)


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("garbage", [None, 0, 1, "false", [], {}, float("nan"), 10**30])
@pytest.mark.parametrize("kind", ["delete", "visibility_change"])
def test_a_flag_that_is_not_a_boolean_hides(flag: str, garbage: object, kind: str) -> None:
    change = read(replaced(page_change(kind), ("revision", flag), garbage))

    shown = (change.text_visible, change.editor_visible, change.comment_visible)
    assert shown == tuple(name != flag for name in FLAGS)


def test_three_unreadable_flags_of_a_deletion_are_a_suppression() -> None:
    change = read(page_change("delete", revision=revision(5001, **dict.fromkeys(FLAGS, "?"))))

    assert change.suppresses
    assert change.title is None


def test_an_edit_that_states_one_hiding_takes_an_unreadable_flag_for_another() -> None:
    change = read(page_change(revision=revision(is_content_visible=False, is_comment_visible="?")))

    assert (change.text_visible, change.comment_visible, change.comment, change.sha1) == (False, False, None, None)


@pytest.mark.parametrize(
    "fields",
    [
        {"revision": None},
        {"revision": 5},
        {"revision": {"rev_dt": "2025-03-01T10:00:00Z"}},
        {"revision": {"rev_id": "5001"}},
        {"revision": {"rev_id": 0}},
        {"revision": {"rev_id": 2**64}},
    ],
)
def test_a_deletion_that_names_no_revision_deletes_the_page(fields: dict[str, Any]) -> None:
    change = read(page_change("delete", **fields))

    assert (change.kind, change.page, change.rev_id, change.rev_dt) == (
        Kind.DELETE,
        PageKey("xxwiki", 900),
        0,
        MARCH_FIRST,
    )


@pytest.mark.parametrize("title", [None, 7, "", "a\x00b", "half a \ud83d pair", "x" * 1025, ["Talk"], {"text": "Talk"}])
@pytest.mark.parametrize("kind", ["delete", "visibility_change"])
def test_a_title_that_cannot_be_stored_is_dropped(kind: str, title: object) -> None:
    assert read(replaced(page_change(kind), ("page", "page_title"), title)).title is None


def test_a_title_in_broken_unicode_is_dropped() -> None:
    whole = json.dumps(page_change("delete")).encode()
    broken = whole.replace(b"Talk:Old_town_hall", b"Talk:Old\xff\xfehall")

    change = read(broken)

    assert broken != whole
    assert (change.kind, change.title) == (Kind.DELETE, None)


def test_text_that_postgres_refuses_is_dropped_from_what_a_visibility_change_supplies() -> None:
    value = page_change(
        "visibility_change",
        page=page(wikibase_item_id="Q\x00"),
        revision=revision(comment="a\x00b", rev_sha1="\x00", editor={"user_text": "A\x00", "user_id": 3}),
    )
    value["meta"]["uri"] = "https://x/\x00"

    change = read(value)

    assert (change.comment, change.sha1, change.url, change.wikibase_item_id) == (None, None, None, None)
    assert (change.editor_name, change.editor_id) == (None, None)
    assert (change.title, change.size) == ("Talk:Old town hall", 420)


def test_a_retraction_without_a_readable_time_happened_when_it_was_received() -> None:
    for value in (page_change("delete", dt=None), page_change("delete", dt="soon"), page_change("delete", dt=7)):
        change = read(value)

        assert (change.clock, change.time) == (Clock.RECEIPT, MARCH_FIRST + 2_345_000)
        assert change.published == change.time


def test_a_revision_time_that_cannot_be_read_is_the_time_of_the_change() -> None:
    change = read(page_change("delete", dt="2025-03-02T00:00:00Z", revision=revision(rev_dt="soon")))

    assert change.rev_dt == change.time == MARCH_FIRST + 14 * 3_600_000_000


def test_a_retraction_without_meta_is_identified_by_where_it_was_read() -> None:
    value = page_change("delete", meta=["none"])

    change = read(value)

    assert change.identity == coordinates_identity(AT)
    assert change.published == change.time


def test_an_edit_that_hides_its_neighbour_is_read_without_its_bad_fields() -> None:
    value = replaced(PAGE_CHANGES["edit over a hidden neighbour"], ("revision", "rev_size"), "many")

    change = read(value)

    assert change.size is None
    assert [type(neighbour) for neighbour in change.neighbours] == [Hidden]


def test_values_nested_too_deep_to_read_are_dropped() -> None:
    depth = 100_000
    deep = b"[" * depth + b'"\\"]"' + b"]" * depth
    whole = json.dumps(page_change("delete", comment="DEEP", prior_state="DEEP")).encode()

    change = read(whole.replace(b'"DEEP"', deep))

    assert essence(change) == essence(read(page_change("delete")))


@pytest.mark.timeout(30)
def test_a_record_cut_off_within_a_string_after_deep_nesting_is_refused_in_the_time_it_takes_to_read_it_once() -> None:
    depth = 100_000
    cut = b'{"x":' + b"[" * depth + b"]" * depth + b',"' + b'\\"' * 1_000_000

    with pytest.raises(UnreadableRecord, match="not_json"):
        read(cut)
