"""Candidates for what a page is, and which of them can be forgotten (L2, L9)."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from wikimirror.merge.law import PROOFS, second
from wikimirror.model import Change, Kind


class Candidate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What is kept of a change that states what a page is; the same attributes as `Change`."""

    kind: Kind
    clock: int
    time: int
    identity: bytes
    rev_id: int
    rev_dt: int
    title: str | None = None
    namespace_id: int | None = None
    is_redirect: bool | None = None
    url: str | None = None
    wikibase_item_id: str | None = None
    vacates: bool = False


Contender: TypeAlias = Change | Candidate
"""A counting candidate that no other outdoes: fresh from the batch, or stored."""


def outdoes(newer: Contender, older: Contender) -> bool:
    """Whether `newer` outranks `older`, counts wherever it counts and states all that it states."""
    return (
        newer.rev_dt >= older.rev_dt
        and newer.clock == older.clock
        and rank(newer) > rank(older)
        and (newer.time >= older.time or second(newer.time) >= second(older.time))
        and (newer.kind in PROOFS or (older.kind not in PROOFS and newer.rev_id >= older.rev_id))
        and states_as_much(newer, older)
    )


def states_as_much(newer: Contender, older: Contender) -> bool:
    """L9: whether `newer` states every attribute that `older` does."""
    return (
        (newer.title is not None or older.title is None)
        and (newer.namespace_id is not None or older.namespace_id is None)
        and (newer.is_redirect is not None or older.is_redirect is None)
        and (newer.url is not None or older.url is None)
        and (newer.wikibase_item_id is not None or older.wikibase_item_id is None)
    )


def rank(candidate: Contender) -> tuple[int, int, int, bytes]:
    """L2: of counting candidates the greatest by this is the page."""
    return (candidate.rev_dt, candidate.rev_id, candidate.time, candidate.identity)


def first_stated(contenders: list[Contender], attribute: str) -> Any:
    """L9: the value of the greatest contender that states the attribute."""
    return next((value for c in contenders if (value := getattr(c, attribute)) is not None), None)


def kept_of(contender: Contender) -> Candidate:
    """What is stored of a contender."""
    if isinstance(contender, Candidate):
        return contender
    return Candidate(
        kind=contender.kind,
        clock=int(contender.clock),
        time=contender.time,
        identity=contender.identity,
        rev_id=contender.rev_id,
        rev_dt=contender.rev_dt,
        title=contender.title,
        namespace_id=contender.namespace_id,
        is_redirect=contender.is_redirect,
        url=contender.url,
        wikibase_item_id=contender.wikibase_item_id,
        vacates=contender.vacates,
    )
