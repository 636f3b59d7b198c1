"""Reports of `dead-letters` as a person reads them: in 80 columns, a letter in a few lines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

from wikimirror.cli.output import clean, counts, grid, plural, shown, stderr

if TYPE_CHECKING:
    from wikimirror.mirror.letters import Letter
    from wikimirror.ops.letters.reports import DiscardReport, LetterReport, LettersReport, Redriven, RedriveReport

_SHOWN: Final = 1000
_PLANNED: Final = 20
_WORDS: Final = {
    "applied": ("applied", "would apply"),
    "stale": ("stale", "is stale"),
    "ignored": ("ignored", "is ignored"),
    "still_fails": ("still fails", "still fails"),
    "unavailable": ("not to be had", "not to be had"),
    "gone": ("gone", "gone"),
}
"""By outcome: what is said of it, and what after a dry run."""


def render_letters(report: LettersReport, console: Console) -> None:
    """A few lines for each letter, the newest last."""
    if not report.letters:
        console.print("No such dead letter.")
        return
    for letter in report.letters:
        _tell(letter, console)
    if report.more:
        _say(f"{plural(report.more, 'older one is', 'older ones are')} not shown; --limit shows more.", console)


def render_letter(report: LetterReport, console: Console) -> None:
    """All that is known of a letter, and the record itself."""
    letter = report.letter
    console.print(
        grid(
            [
                ("number", str(letter.dead_letter_id)),
                ("reason", clean(letter.reason)),
                ("SQLSTATE", shown(letter.sqlstate)),
                ("constraint", shown(letter.constraint_name)),
                ("read at", clean(str(letter.at))),
                ("published", shown(letter.published)),
                ("page", _page(letter)),
                ("set aside", f"{plural(letter.seen, 'time', 'times')}, first {shown(letter.first_seen)}"),
                ("last", shown(letter.last_seen)),
                ("sha256", shown(letter.payload_sha256)),
                ("takes away", _taken(letter)),
            ],
            indent=0,
        ),
        soft_wrap=True,
    )
    console.print()
    if report.without is not None:
        _say(report.without, console)
    else:
        _say(json.dumps(report.payload, ensure_ascii=False, indent=2), console)


def render_redrive(report: RedriveReport, console: Console) -> None:
    """What became of each letter, and the counts."""
    for redriven in report.letters[:_SHOWN]:
        _say(_redriven(redriven, report.dry_run), console)
    more = len(report.letters) + report.more - _SHOWN
    if more > 0:
        console.print(f"and {more:,} more")
    if not report.counts:
        console.print("No such dead letter.")
        return
    told = {_WORDS[outcome][report.dry_run]: count for outcome, count in report.counts.items()}
    console.print(counts(told), style="bold")
    if report.dry_run:
        console.print("A dry run: nothing was written.")


def render_discard(report: DiscardReport, console: Console) -> None:
    """The letters that went, or would go, and what was left."""
    for letter in report.letters:
        _say(_line(letter), console)
    if not report.letters:
        console.print("No letter goes.")
    elif report.dry_run:
        console.print(f"{plural(len(report.letters), 'letter', 'letters')} would go. A dry run: nothing was written.")
    else:
        told = f"{plural(len(report.letters), 'letter', 'letters')} discarded; `wikimirror operations` tells which."
        _say(told, console)
    for remark in _remarks(report):
        _say(remark, console)


def stderr_plan(report: DiscardReport) -> None:
    """What would go, before somebody is asked."""
    console = stderr()
    for letter in report.letters[:_PLANNED]:
        _say(_line(letter), console)
    if len(report.letters) > _PLANNED:
        console.print(f"and {len(report.letters) - _PLANNED:,} more; --dry-run shows all")
    for remark in _remarks(report):
        _say(remark, console)


def question(report: DiscardReport) -> str:
    """What is asked before letters go."""
    asked = f"Discard {plural(len(report.letters), 'letter', 'letters')}?"
    retracting = sum(letter.retracts for letter in report.letters)
    if not retracting:
        return asked
    takes = plural(retracting, "of them takes something away, and that", "of them take something away, and that")
    return f"{takes} will not come again by itself. {asked}"


def _remarks(report: DiscardReport) -> list[str]:
    told = []
    if report.retracting:
        some = plural(report.retracting, "letter that takes", "letters that take")
        told.append(f"{some} something away stay: give their numbers (`wikimirror dead-letters list --retractions`).")
    if report.more:
        told.append(f"{plural(report.more, 'more fits', 'more fit')}: 1,000 go at once. Run it again.")
    if report.busy:
        told.append(f"Left, for they are gone or being worked on: {', '.join(map(str, report.busy))}.")
    return told


def _tell(letter: Letter, console: Console) -> None:
    console.print(Text.assemble((f"{letter.dead_letter_id}", "bold"), "  ", clean(_why(letter))), soft_wrap=True)
    kept = {True: "payload kept", False: "no payload", None: "payload not told"}[letter.payload_kept]
    seen = f"seen {plural(letter.seen, 'time', 'times')}, {shown(letter.first_seen)} to {shown(letter.last_seen)}"
    for line in (str(letter.at), f"{_page(letter)}, {kept}", seen, *([_taken(letter)] if letter.retracts else [])):
        _say(f"    {line}", console)


def _why(letter: Letter) -> str:
    codes = [
        *([f"SQLSTATE {letter.sqlstate}"] if letter.sqlstate else []),
        *([f"constraint {letter.constraint_name}"] if letter.constraint_name else []),
    ]
    return f"{letter.reason} ({', '.join(codes)})" if codes else letter.reason


def _page(letter: Letter) -> str:
    known = [
        letter.wiki_id,
        *([f"page {letter.page_id}"] if letter.page_id is not None else []),
        *([f"revision {letter.rev_id}"] if letter.rev_id is not None else []),
    ]
    return clean(" ".join(each for each in known if each)) or "page not known"


def _taken(letter: Letter) -> str:
    if not letter.retracts:
        return "nothing"
    return "takes something away; its page is hidden" if letter.hidden else "takes something away; NOT hidden"


def _line(letter: Letter) -> str:
    takes = f"; {_taken(letter)}" if letter.retracts else ""
    return f"{letter.dead_letter_id}  {_why(letter)}  {letter.at}  {_page(letter)}{takes}"


def _redriven(redriven: Redriven, dry_run: bool) -> str:
    codes = f" on {redriven.constraint_name}" if redriven.constraint_name else ""
    why = f": {redriven.why}{codes}" if redriven.why else ""
    return f"{redriven.dead_letter_id}  {redriven.where}  {_WORDS[redriven.outcome][dry_run]}{why}"


def _say(text: str, console: Console) -> None:
    """In one piece: a terminal wraps it, and what is copied from it is whole."""
    console.print(Text(clean(text)), soft_wrap=True)
