"""The reports of `dead-letters`: what is set aside, and what became of it. Times are UTC."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from wikimirror.mirror.letters import Letter


@dataclass(frozen=True, slots=True)
class LettersReport:
    """The letters seen last, newest last."""

    letters: list[Letter]
    more: int
    """Older ones that fit and are not told."""


@dataclass(frozen=True, slots=True)
class LetterReport:
    """One letter and what was in it."""

    letter: Letter
    payload: Any
    """The record as far as it may be kept (promise P3), parsed; None: see `without`."""
    without: str | None
    """Why there is no payload, and how redriving gets the record."""


class Outcome(StrEnum):
    """What became of a letter that was redriven, or with a dry run would become of it."""

    APPLIED = "applied"
    STALE = "stale"
    """The mirror has what it says, or has something newer."""
    IGNORED = "ignored"
    """It says nothing about what is mirrored."""
    STILL_FAILS = "still_fails"
    UNAVAILABLE = "unavailable"
    """The record cannot be had."""
    GONE = "gone"
    """There is no such letter any more."""

    @property
    def stays(self) -> bool:
        """Whether the letter stays in the table."""
        return self in {Outcome.STILL_FAILS, Outcome.UNAVAILABLE}


@dataclass(frozen=True, slots=True)
class Redriven:
    """One letter that was redriven."""

    dead_letter_id: int
    where: str
    """Its coordinates; empty where it is gone."""
    outcome: Outcome
    why: str | None
    """The refusal's name, the reason it is ignored for or set aside for, or why the record cannot be had."""
    sqlstate: str | None = None
    constraint_name: str | None = None


@dataclass(frozen=True, slots=True)
class RedriveReport:
    """What became of the letters, in order of coordinates."""

    dry_run: bool
    counts: dict[str, int]
    """By outcome, of all."""
    letters: list[Redriven]
    more: int
    """Letters of which only the counts tell."""

    @property
    def exit_code(self) -> int:
        """1 where a record could not be had, 3 where one still fails."""
        if self.counts.get(Outcome.UNAVAILABLE):
            return 1
        return 3 if self.counts.get(Outcome.STILL_FAILS) else 0


@dataclass(frozen=True, slots=True)
class DiscardReport:
    """Letters that were discarded, or would be."""

    dry_run: bool
    letters: list[Letter]
    more: int
    """Letters that fit, too, and are left for the next time: one discard takes no more than 1000."""
    retracting: int
    """Letters that fit and stay, for they take something away: those go by their number only."""
    busy: list[int]
    """Letters that somebody worked on, or that were gone already: they were left."""
