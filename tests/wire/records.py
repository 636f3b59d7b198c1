"""Records written by hand for these tests: every shape that page_change and visibility-change take."""

from __future__ import annotations

import copy
import json
from typing import Any

from wikimirror.model import Change, Coordinates, Record
from wikimirror.wire import decode

Json = dict[str, Any]

AT = Coordinates("jumbo", "eqiad.mediawiki.page_change.v1", 0, 41)
EDITOR = {"user_text": "Ada Example", "user_id": 77, "groups": ["*", "user"], "is_bot": False, "is_temp": False}
MAIN_SLOT = {
    "slot_role": "main",
    "content_model": "wikitext",
    "content_format": "text/x-wiki",
    "content_sha1": "q1w2e3r4",
    "content_size": 420,
    "origin_rev_id": 5001,
}
FLAGS = ("is_content_visible", "is_editor_visible", "is_comment_visible")


def record(value: Json | bytes | None, at: Coordinates = AT) -> Record:
    """A record with this value; an object is written as JSON."""
    return Record(at, json.dumps(value).encode() if isinstance(value, dict) else value, 1_800_000_000_000_000)


def read(value: Json | bytes, at: Coordinates = AT) -> Change:
    """Decode to a change, and fail on anything else."""
    decoded = decode(record(value, at))
    assert isinstance(decoded, Change)
    return decoded


def revision(rev_id: int = 5001, **fields: Any) -> Json:
    """A revision with everything visible; a field given as None is left out."""
    whole = {
        "rev_id": rev_id,
        "rev_dt": "2025-03-01T10:00:00Z",
        "rev_parent_id": rev_id - 1,
        "rev_sha1": "a1b2c3d4",
        "rev_size": 420,
        "comment": "a summary",
        "editor": EDITOR,
        "is_minor_edit": False,
        "is_content_visible": True,
        "is_editor_visible": True,
        "is_comment_visible": True,
        "content_slots": {"main": MAIN_SLOT},
        **fields,
    }
    return copy.deepcopy({name: value for name, value in whole.items() if value is not None})


def page(**fields: Any) -> Json:
    """A page; a field given as None is left out."""
    whole = {"page_id": 900, "page_title": "Talk:Old_town_hall", "namespace_id": 1, "is_redirect": False, **fields}
    return {name: value for name, value in whole.items() if value is not None}


CHANGELOG = {"create": "insert", "undelete": "insert", "delete": "delete"}


def page_change(kind: str = "edit", **fields: Any) -> Json:
    """A page_change record; a field given as None is left out."""
    whole = {
        "$schema": "/mediawiki/page/change/1.3.0",
        "meta": {
            "stream": "mediawiki.page_change.v1",
            "domain": "xx.wikipedia.org",
            "id": "0f9d2c1e-0000-4000-8000-000000000001",
            "dt": "2025-03-01T10:00:02.345Z",
            "uri": "https://xx.wikipedia.org/wiki/Talk:Old_town_hall",
        },
        "dt": "2025-03-01T10:00:00Z",
        "wiki_id": "xxwiki",
        "changelog_kind": CHANGELOG.get(kind, "update"),
        "page_change_kind": kind,
        "performer": {"user_text": "Ada Example", "user_id": 77},
        "page": page(),
        "revision": revision(),
        **fields,
    }
    return copy.deepcopy({name: value for name, value in whole.items() if value is not None})


def visibility_change(**fields: Any) -> Json:
    """A record of mediawiki.revision-visibility-change; a field given as None is left out."""
    whole = {
        "$schema": "/mediawiki/revision/visibility-change/1.0.1",
        "meta": {
            "stream": "mediawiki.revision-visibility-change",
            "domain": "xx.wikipedia.org",
            "id": "0f9d2c1e-0000-4000-8000-000000000002",
            "dt": "2025-03-01T10:05:06.789Z",
            "uri": "https://xx.wikipedia.org/wiki/Talk:Old_town_hall",
        },
        "database": "xxwiki",
        "page_id": 900,
        "page_title": "Talk:Old_town_hall",
        "page_namespace": 1,
        "page_is_redirect": False,
        "rev_id": 4990,
        "rev_timestamp": "2024-12-24T18:00:00Z",
        "rev_parent_id": 4980,
        "rev_minor_edit": True,
        "rev_sha1": "e5f6a7b8",
        "performer": {"user_text": "Bo Oversight", "user_groups": ["suppress"], "user_is_bot": False},
        "comment": "privacy",
        "visibility": {"text": False, "user": True, "comment": True},
        "prior_state": {"visibility": {"text": True, "user": True, "comment": True}},
        **fields,
    }
    return copy.deepcopy({name: value for name, value in whole.items() if value is not None})


NOTHING_VISIBLE = dict.fromkeys(FLAGS, False)
EVERYTHING_VISIBLE = dict.fromkeys(FLAGS, True)

PAGE_CHANGES: dict[str, Json] = {
    "create without parent": page_change("create", revision=revision(rev_parent_id=None)),
    "create with parent 0": page_change("create", revision=revision(rev_parent_id=0)),
    "edit": page_change(
        prior_state={"revision": revision(5000, comment="an older summary", editor={"user_text": "Cy Older"})}
    ),
    "edit over a hidden neighbour": page_change(
        prior_state={
            "revision": revision(5000, editor=None, comment=None, is_editor_visible=False, is_comment_visible=False)
        }
    ),
    "edit redacted at the edge": page_change(performer={}, revision=revision(editor=None)),
    "edit by an address": page_change(revision=revision(editor={"user_text": "198.51.100.7"})),
    "edit with content": page_change(
        meta={**page_change()["meta"], "stream": "mediawiki.page_content_change.v1"},
        revision=revision(
            content_slots={
                "main": {**MAIN_SLOT, "content_body": "'''Old''' town hall"},
                "mediainfo": {**MAIN_SLOT, "slot_role": "mediainfo", "content_body": "{}"},
            }
        ),
    ),
    "edit of JSON content": page_change(
        revision=revision(
            content_slots={"main": {**MAIN_SLOT, "content_format": "application/json", "content_body": "{}"}}
        )
    ),
    "move, prior state with what changed": page_change("move", prior_state={"page": {"page_title": "Old_hall"}}),
    "move between namespaces": page_change(
        "move",
        prior_state={"page": {"page_title": "Old_hall", "namespace_id": 0}, "revision": revision(5000)},
        created_redirect_page={"page_id": 901, "page_title": "Old_hall", "namespace_id": 0, "is_redirect": True},
    ),
    "move within a namespace": page_change(
        "move", prior_state={"page": {"page_title": "Talk:Old_hall", "namespace_id": 1}}
    ),
    "delete": page_change("delete", dt="2025-03-02T08:00:00Z", comment="spam", page=page(revision_count=3)),
    "suppression": page_change(
        "delete",
        dt="2025-03-02T08:00:00Z",
        performer=None,
        comment='content was: "secret"',
        revision=revision(
            rev_size=None, rev_sha1=None, comment=None, editor=None, content_slots=None, **NOTHING_VISIBLE
        ),
        prior_state={"revision": EVERYTHING_VISIBLE},
    ),
    "undelete": page_change("undelete", dt="2025-03-03T08:00:00Z"),
    "undelete with a new page id": page_change(
        "undelete", dt="2025-03-03T08:00:00Z", prior_state={"page": {"page_id": 800}}
    ),
    "comment hidden": page_change(
        "visibility_change",
        dt="2025-03-04T08:00:00Z",
        revision=revision(comment=None, is_comment_visible=False),
        prior_state={"revision": {"is_comment_visible": True}},
    ),
    "editor hidden": page_change(
        "visibility_change",
        dt="2025-03-04T08:00:00Z",
        revision=revision(editor=None, is_editor_visible=False),
        prior_state={"revision": {"is_editor_visible": True}},
    ),
    "content hidden, slots remain": page_change(
        "visibility_change",
        dt="2025-03-04T08:00:00Z",
        revision=revision(
            is_content_visible=False, content_slots={"main": {**MAIN_SLOT, "content_body": "hidden now"}}
        ),
        prior_state={"revision": {"is_content_visible": True}},
    ),
    "suppressed visibility change": page_change(
        "visibility_change",
        dt="2025-03-04T08:00:00Z",
        performer=None,
        revision=revision(comment=None, editor=None, **NOTHING_VISIBLE),
        prior_state={"revision": EVERYTHING_VISIBLE},
    ),
    "everything shown again": page_change(
        "visibility_change",
        dt="2025-03-05T08:00:00Z",
        prior_state={"revision": NOTHING_VISIBLE},
    ),
}
VISIBILITY_CHANGES: dict[str, Json] = {
    "text hidden": visibility_change(),
    "all hidden, performer suppressed": visibility_change(
        performer=None, comment=None, visibility={"text": False, "user": False, "comment": False}
    ),
    "all shown": visibility_change(visibility={"text": True, "user": True, "comment": True}),
    "legacy, without id": visibility_change(
        **{"$schema": "/mediawiki/revision/visibility-change/1.0.0"},
        meta={"stream": "mediawiki.revision-visibility-change", "dt": "2020-06-10T18:57:16Z"},
    ),
}
