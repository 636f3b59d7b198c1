"""Announcements as the records that Wikimedia's event platform publishes.

Shapes: page_change 1.3.0 (both streams; the content stream adds `content_body`), revision/visibility-change 1.0.1, as
their schemas say and recorded records show. What is hidden is absent as EventBus leaves it out; see `_revision`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec

from wikimirror.rehearsal.wiki import Announcement, Bits, PageChanged, PageView, Seen, User, VisibilityChanged

PLAIN: Final = "mediawiki.page_change.v1"
CONTENT: Final = "mediawiki.page_content_change.v1"
VISIBILITY: Final = "mediawiki.revision-visibility-change"
STREAMS: Final = (PLAIN, CONTENT, VISIBILITY)

_PAGE_CHANGE_SCHEMA: Final = "/mediawiki/page/change/1.3.0"
_VISIBILITY_SCHEMA: Final = "/mediawiki/revision/visibility-change/1.0.1"
_CHANGELOG: Final = {"create": "insert", "undelete": "insert", "delete": "delete"}
_MEDIAN, _SIGMA, _MOST = math.log(2.3), 0.967, 155.0
"""Seconds from action to publication: log-normal with 1 % above 22 s; never more than the greatest ever seen."""
_SLOW_SHARE, _SLOW_MOST = 0.12, 280.0
"""The visibility stream is sometimes minutes late."""

Json = dict[str, Any]


class Site(NamedTuple):
    """What the streams know of a wiki: its domain, and whether its records carry text."""

    domain: str
    has_text: bool


class Published(NamedTuple):
    """A record as published. `published` is its meta.dt in microseconds, `order` counts announcements from 0."""

    stream: str
    published: int
    order: int
    at: int
    page: tuple[str, int]
    value: bytes


def url(domain: str, title: str) -> str:
    """The address of a page: MediaWiki's own encoding, which leaves some punctuation as it is."""
    return f"https://{domain}/wiki/{quote(title.replace(' ', '_'), safe=';@$!*(),/~:-_.')}"


def instant(seconds: int) -> str:
    """A time as records write it, in whole seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def instant_ms(microseconds: int) -> str:
    """A time as `meta.dt` writes it, in milliseconds."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{instant(seconds)[:-1]}.{rest // 1000:03d}Z"


def uuid(rng: Random) -> str:
    """A version 4 UUID drawn with the given generator."""
    h = f"{rng.getrandbits(128):032x}"
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-a{h[17:20]}-{h[20:]}"


def publish(
    announcements: Iterable[tuple[int, Announcement]], sites: dict[str, Site], rng: Random
) -> Iterator[Published]:
    """The record of each announcement, in the order given, each after a delay of its own.

    Announcements come with the number of their action; those of one action share its request id.
    """
    request, last = "", -1
    for order, (action, said) in enumerate(announcements):
        if action != last:
            request, last = uuid(rng), action
        site = sites[said.wiki_id]
        if isinstance(said, VisibilityChanged):
            stream, body = VISIBILITY, visibility_change(said)
        else:
            stream, body = CONTENT if site.has_text else PLAIN, page_change(said, site)
        published = said.at * 1_000_000 + int(_delay(rng, stream) * 1000) * 1000
        body["meta"] = {
            "stream": stream,
            "uri": url(site.domain, said.page.title),
            "id": uuid(rng),
            "domain": site.domain,
            "request_id": request,
            "dt": instant_ms(published),
        }
        page = (said.wiki_id, said.page.page_id)
        yield Published(stream, published, order, said.at, page, msgspec.json.encode(body))


def page_change(said: PageChanged, site: Site) -> Json:
    """A page_change 1.3.0 record without `meta`."""
    body: Json = {
        "changelog_kind": _CHANGELOG.get(said.kind, "update"),
        "page_change_kind": said.kind,
        "dt": instant(said.at),
        "wiki_id": said.wiki_id,
        "page": _page(said.page),
    }
    if said.revision_count is not None:
        body["page"]["revision_count"] = said.revision_count
    if said.performer is not None:
        body["performer"] = _user(said.performer)
    if said.reason is not None:
        body["comment"] = said.reason
    body["revision"] = _revision(
        said.seen, is_suppressed=said.suppressed, with_body=site.has_text and said.kind != "delete"
    )
    if said.created_redirect is not None:
        redirect = said.created_redirect
        body["created_redirect_page"] = _page(redirect._replace(redirect_to=None))
    prior = _prior_state(said)
    if prior:
        body["prior_state"] = prior
    body["$schema"] = _PAGE_CHANGE_SCHEMA
    return body


def visibility_change(said: VisibilityChanged) -> Json:
    """A revision/visibility-change 1.0.1 record without `meta`."""
    revision = said.seen.revision
    body: Json = {
        "$schema": _VISIBILITY_SCHEMA,
        "database": said.wiki_id,
        "page_id": said.page.page_id,
        "page_title": _underscored(said.page.title),
        "page_namespace": said.page.namespace_id,
        "page_is_redirect": said.page.is_redirect,
        "rev_id": revision.rev_id,
        "rev_parent_id": revision.parent_id,
        "rev_timestamp": instant(revision.at),
        "rev_sha1": revision.content.sha1,
        "rev_len": revision.content.size,
        "rev_minor_edit": revision.is_minor,
        "rev_content_model": revision.content.model,
        "rev_content_format": revision.content.format,
        "comment": said.reason,
        "visibility": _legacy_flags(said.seen.hidden),
        "prior_state": {"visibility": _legacy_flags(said.before)},
    }
    if said.performer is not None:
        user = said.performer
        body["performer"] = {"user_text": user.name, "user_groups": list(user.groups), "user_is_bot": _is_bot(user)}
        if user.user_id is not None:
            body["performer"]["user_id"] = user.user_id
    return body


def canary(stream: str, published: int, rng: Random) -> bytes:
    """A record that only shows that the topic works: the schema's example under the domain "canary"."""
    meta = {"stream": stream, "domain": "canary", "id": uuid(rng), "dt": instant_ms(published)}
    moment = "2021-01-01T00:00:00.0Z"
    visible = {"text": True, "user": True, "comment": True}
    if stream == VISIBILITY:
        body: Json = {
            "$schema": _VISIBILITY_SCHEMA, "database": "examplewiki", "page_id": 123, "page_title": "TestPage10",
            "page_namespace": 0, "page_is_redirect": False, "rev_id": 123, "rev_timestamp": moment,
            "visibility": {**visible, "text": False}, "prior_state": {"visibility": visible}, "meta": meta,
        }  # fmt: skip
    else:
        body = {
            "$schema": _PAGE_CHANGE_SCHEMA, "changelog_kind": "update", "page_change_kind": "edit", "dt": moment,
            "wiki_id": "example", "page": {"page_id": 1, "page_title": "example", "namespace_id": 1},
            "revision": {"rev_id": 2, "rev_dt": moment, "comment": "changed a thing"}, "meta": meta,
        }  # fmt: skip
    return msgspec.json.encode(body)


def _delay(rng: Random, stream: str) -> float:
    if stream == VISIBILITY and rng.random() < _SLOW_SHARE:
        return rng.uniform(60.0, _SLOW_MOST)
    return min(rng.lognormvariate(_MEDIAN, _SIGMA), _MOST)


def _page(page: PageView) -> Json:
    body: Json = {
        "page_id": page.page_id,
        "page_title": _underscored(page.title),
        "namespace_id": page.namespace_id,
        "is_redirect": page.is_redirect,
    }
    if page.redirect_to is not None:
        body["redirect_page_link"] = {"page_title": _underscored(page.redirect_to), "is_redirect": False}
    return body


def _revision(seen: Seen, *, is_suppressed: bool = False, with_body: bool = False) -> Json:
    """A revision as a record tells it.

    A hidden editor or comment is absent. A hidden text leaves sha1, size and slots but no body. A suppression leaves
    identifiers, times and flags only.
    """
    revision, hidden = seen
    body: Json = {
        "rev_id": revision.rev_id,
        "rev_dt": instant(revision.at),
        "is_minor_edit": revision.is_minor,
        "rev_parent_id": revision.parent_id,
    }
    if not is_suppressed:
        text = revision.content
        body["rev_sha1"] = text.sha1
        body["rev_size"] = text.size
        if not hidden & Bits.COMMENT:
            body["comment"] = revision.comment
        if not hidden & Bits.EDITOR:
            body["editor"] = _user(revision.editor)
    body.update(_flags(hidden))
    if not is_suppressed:
        slot = {
            "slot_role": "main",
            "content_model": text.model,
            "content_sha1": text.sha1,
            "content_size": text.size,
            "content_format": text.format,
            "origin_rev_id": revision.origin_rev_id,
        }
        if with_body and not hidden & Bits.TEXT:
            slot["content_body"] = text.text
        body["content_slots"] = {"main": slot}
    return body


def _prior_state(said: PageChanged) -> Json:
    """What was before: of the page only what changed; of another revision all, of the same one only the flags."""
    state: Json = {}
    if said.prior_page is not None:
        page: Json = {"page_title": _underscored(said.prior_page.title)}
        if said.prior_page.namespace_id != said.page.namespace_id:
            page["namespace_id"] = said.prior_page.namespace_id
        state["page"] = page
    if said.prior is not None:
        if said.prior.revision.rev_id != said.seen.revision.rev_id:
            state["revision"] = _revision(said.prior)
        else:
            before, after = _flags(said.prior.hidden), _flags(said.seen.hidden)
            state["revision"] = {
                name: value for name, value in before.items() if said.suppressed or value != after[name]
            }
    return state


def _flags(hidden: Bits) -> dict[str, bool]:
    return {
        "is_content_visible": not hidden & Bits.TEXT,
        "is_editor_visible": not hidden & Bits.EDITOR,
        "is_comment_visible": not hidden & Bits.COMMENT,
    }


def _legacy_flags(hidden: Bits) -> dict[str, bool]:
    return {
        "text": not hidden & Bits.TEXT,
        "user": not hidden & Bits.EDITOR,
        "comment": not hidden & Bits.COMMENT,
    }


def _user(user: User) -> Json:
    body: Json = {
        "user_text": user.name,
        "groups": user.groups,
        "is_bot": _is_bot(user),
        "is_system": False,
        "is_temp": user.is_temp,
    }
    if user.user_id is not None:
        body["user_id"] = user.user_id
        body["user_central_id"] = user.central_id
        body["edit_count"] = user.edit_count
        if user.registered is not None:
            body["registration_dt"] = instant(user.registered)
    return body


def _is_bot(user: User) -> bool:
    return "bot" in user.groups


def _underscored(title: str) -> str:
    return title.replace(" ", "_")
