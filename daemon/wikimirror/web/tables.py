"""The details as tables of words: what each column says, a cell at a time. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from wikimirror.mirror.members import GONE, Noted
from wikimirror.mirror.operations import Operation
from wikimirror.mirror.recent import LeaseHeld, Letter, OpenGap, Recent, ReplaySeen, ToReconcile
from wikimirror.observe.runbooks import Runbook
from wikimirror.web.concerns import Level, source_level
from wikimirror.web.wording import UNKNOWN, count, duration, instant, words

_SAID: Final = 300
"""Characters of a text that are shown."""


class Cell(NamedTuple):
    """A text, and how bad it is where that is to be told."""

    text: str
    level: Level | None = None


class Table(NamedTuple):
    """A caption, columns and rows of cells; the first of a row names it. `none` is said where there are no rows."""

    caption: str
    columns: tuple[str, ...]
    rows: list[list[Cell]]
    none: str
    runbook: Runbook | None = None


def tables(recent: Recent) -> list[Table]:
    """Every table, in the order in which it matters."""
    at = recent.at
    return [
        Table(
            "Dead letters, those that retract first",
            ("Record", "Id", "Reason", "Of", "Seen", "First seen"),
            [_letter(each, at) for each in recent.letters],
            "No record is set aside.",
            Runbook.DEAD_LETTERS,
        ),
        Table(
            "Open gaps, the oldest first",
            ("Lane", "Id", "From", "To", "Reason", "Opened"),
            [_gap(each, at) for each in recent.gaps],
            "No gap is open.",
            Runbook.GAP,
        ),
        Table(
            "To be read again, the oldest first",
            ("Page", "Revision", "Reason", "Opened"),
            [_reconcile(each, at) for each in recent.reconcile],
            "Nothing is to be read again.",
            Runbook.PAGES_DIVERGENT,
        ),
        Table(
            "Processes",
            ("Process", "Source", "State", "Why", "Behind", "Lanes", "Last heard"),
            [_member(each) for each in recent.members],
            "No process tells of itself.",
            Runbook.OWNER_FROZEN,
        ),
        Table(
            "Leases",
            ("Source", "Held by", "Epoch", "Since", "Renewed"),
            [_lease(each, at) for each in recent.leases],
            "No source is read by one process at a time.",
        ),
        Table(
            "Replays",
            ("Replay", "Source", "State", "Records read", "Began", "Last heard", "Process"),
            [_replay(each, at) for each in recent.replays],
            "No range was ever read again.",
        ),
        Table(
            "Operations, the newest first",
            ("Command", "Id", "Who", "Arguments", "Result", "Started", "Took"),
            [_operation(each, at) for each in recent.operations],
            "No command has written yet.",
        ),
    ]


def _letter(letter: Letter, at: datetime) -> list[Cell]:
    why = [letter.reason, letter.constraint]
    if letter.sqlstate is not None and letter.sqlstate.lower() not in letter.reason.lower():
        why.append(f"SQLSTATE {letter.sqlstate}")
    said = "; ".join(each for each in why if each)
    level = None
    if letter.retracts:
        level = Level.TROUBLE
        said += "; retracts, its page is hidden" if letter.hidden else "; RETRACTS, and its page is not hidden"
    of = [_page(letter.wiki_id, letter.page_id), "" if letter.rev_id is None else f"revision {letter.rev_id}"]
    return [
        Cell(f"{_lane(letter.source, letter.topic, letter.partition)} {letter.offset}"),
        Cell(str(letter.dead_letter_id)),
        Cell(said, level),
        Cell(", ".join(each for each in of if each)),
        Cell(f"{count(letter.seen)} ×"),
        Cell(_ago(letter.first_seen, at)),
    ]


def _gap(gap: OpenGap, at: datetime) -> list[Cell]:
    return [
        Cell(_lane(gap.source, gap.topic, gap.partition)),
        Cell(str(gap.gap_id)),
        Cell(_end(gap.from_position, gap.from_time)),
        Cell(_end(gap.to_position, gap.to_time)),
        Cell(words(gap.reason), Level.TROUBLE),
        Cell(_ago(gap.opened_at, at)),
    ]


def _reconcile(row: ToReconcile, at: datetime) -> list[Cell]:
    revision = UNKNOWN if row.rev_id is None else str(row.rev_id)
    return [
        Cell(_page(row.wiki_id, row.page_id)), Cell(revision), Cell(words(row.reason)), Cell(_ago(row.opened_at, at)),
    ]  # fmt: skip


def _member(noted: Noted) -> list[Cell]:
    member = noted.member
    gone = noted.unseen > GONE
    state = Cell("gone", Level.TROUBLE) if gone else Cell(words(member.state), source_level(member.state))
    return [
        Cell(member.holder if member.member_id is None else f"{member.member_id} ({member.holder})"),
        Cell(member.source),
        state,
        Cell(_text(member.why)),
        Cell(duration(member.seconds_behind)),
        Cell(count(member.lanes)),
        Cell(f"{duration(noted.unseen)} ago"),
    ]


def _lease(lease: LeaseHeld, at: datetime) -> list[Cell]:
    held = Cell(lease.holder) if lease.held else Cell(f"nobody, last {lease.holder}", Level.TROUBLE)
    return [
        Cell(lease.source), held, Cell(str(lease.epoch)), Cell(_ago(lease.acquired_at, at)),
        Cell(_ago(lease.renewed_at, at)),
    ]  # fmt: skip


def _replay(replay: ReplaySeen, at: datetime) -> list[Cell]:
    silent = replay.state == "running" and (at - replay.seen_at).total_seconds() > GONE
    level = Level.TROUBLE if silent or replay.state == "failed" else None
    fills = "" if replay.gap_id is None else f", for gap {replay.gap_id}"
    return [
        Cell(f"{replay.replay_id}{fills}"),
        Cell(replay.source),
        Cell("running, not heard" if silent else replay.state, level),
        Cell(count(replay.records_read)),
        Cell(_ago(replay.began_at, at)),
        Cell(_ago(replay.seen_at, at)),
        Cell(replay.holder),
    ]


def _operation(operation: Operation, at: datetime) -> list[Cell]:
    level = Level.TROUBLE if operation.result in {"failed", "interrupted"} else None
    return [
        Cell(operation.command),
        Cell(str(operation.operation_id)),
        Cell(operation.who),
        Cell(_arguments(operation.arguments)),
        Cell(f"{operation.result}{', dry run' if operation.dry_run else ''}", level),
        Cell(_ago(operation.started_at, at)),
        Cell(duration(operation.seconds)),
    ]


def _lane(source: str, topic: str, partition: int) -> str:
    return f"{source} {topic}[{partition}]"


def _page(wiki_id: str | None, page_id: int | None) -> str:
    found: Iterable[str] = (each for each in (wiki_id, None if page_id is None else f"page {page_id}") if each)
    return " ".join(found) or UNKNOWN


def _end(position: int | None, time: datetime | None) -> str:
    return (
        ", ".join([*([] if position is None else [str(position)]), *([] if time is None else [instant(time)])])
        or UNKNOWN
    )


def _ago(when: datetime, at: datetime) -> str:
    return f"{instant(when)}, {duration(max(0.0, (at - when).total_seconds()))} ago"


def _arguments(arguments: Mapping[str, object]) -> str:
    said = (f"{name}={_value(value)}" for name, value in arguments.items() if value not in (None, [], False, ""))
    return _text(" ".join(said))


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _text(text: str | None) -> str:
    if not text:
        return UNKNOWN
    return text if len(text) <= _SAID else f"{text[:_SAID]}…"
