"""`dead-letters`, each command from checked settings to a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wikimirror.app.operating import operating
from wikimirror.app.places import find_place, readable, reading
from wikimirror.app.ranges import range_source
from wikimirror.app.running import now, run_to_end
from wikimirror.errors import Refused
from wikimirror.mirror.letters import Filter
from wikimirror.ops.letters import work as ops_letters
from wikimirror.ops.letters.records import Records
from wikimirror.ops.letters.reports import DiscardReport, LetterReport, LettersReport, RedriveReport
from wikimirror.ops.play import law_of
from wikimirror.ops.reports import OnProgress
from wikimirror.settings import Settings
from wikimirror.sources.ranges import RangeSource
from wikimirror.wire import CAPTURE


def list_letters(settings: Settings, chosen: Filter, *, limit: int) -> LettersReport:
    """The letters seen last, newest last."""
    return run_to_end(reading(settings, lambda session: ops_letters.list_letters(session, chosen, limit)))


def show_letter(settings: Settings, letter_id: int) -> LetterReport:
    """One letter and what was in it."""
    return run_to_end(reading(settings, lambda session: ops_letters.show_letter(session, letter_id)))


def redrive_letters(
    settings: Settings,
    chosen: Filter,
    *,
    everything: bool,
    dry_run: bool,
    files: Sequence[Path],
    on_progress: OnProgress,
) -> RedriveReport:
    """Put letters back. `everything`: all are meant where the filter is empty. Raises Refused where neither is said."""
    if chosen.is_empty and not everything:
        raise Refused("no letter is named", remedy="Give numbers or a filter, or say --all. --dry-run changes nothing.")

    def range_of(name: str) -> RangeSource:
        return range_source(settings, name, files if name == CAPTURE else ())

    async def work() -> RedriveReport:
        async with find_place(settings) as place:
            there = await readable(settings, place)
            given = {**_given(chosen), "all": everything, "files": [str(file) for file in files]}
            async with operating(there, place, "dead-letters redrive", given, dry_run=dry_run) as operation:
                how = ops_letters.Redrive(
                    law_of(settings),
                    Records(settings, range_of, now),
                    dry_run=dry_run,
                    note=lambda counts: operation.summary.update(outcomes=counts),
                    on_progress=on_progress,
                )
                return await ops_letters.redrive(operation.session, chosen, how)

    return run_to_end(work())


def plan_discard(settings: Settings, chosen: Filter, *, dry_run: bool) -> DiscardReport:
    """What a discard would delete; noted as an operation where it is a dry run. Raises Refused where none is named."""
    if chosen.is_empty:
        raise Refused("no letter is named, and all of them cannot be discarded", remedy="Give numbers or a filter.")
    if not dry_run:
        return run_to_end(reading(settings, lambda session: ops_letters.plan_discard(session, chosen)))

    async def work() -> DiscardReport:
        async with find_place(settings) as place:
            there = await readable(settings, place)
            async with operating(there, place, "dead-letters discard", _given(chosen), dry_run=True) as operation:
                report = await ops_letters.plan_discard(operation.session, chosen)
                operation.summary.update(letters=ops_letters.traces(report.letters), left=report.more)
                return report

    return run_to_end(work())


def discard_letters(settings: Settings, chosen: Filter, plan: DiscardReport) -> DiscardReport:
    """Delete the letters of a plan that somebody looked at. `chosen` is what it was made by."""

    async def work() -> DiscardReport:
        async with find_place(settings) as place:
            there = await readable(settings, place)
            # Their numbers are noted before they go.
            numbers = {"letters": [letter.dead_letter_id for letter in plan.letters]}
            async with operating(there, place, "dead-letters discard", {**_given(chosen), **numbers}) as operation:
                report = await ops_letters.discard(operation.session, plan)
                operation.summary.update(
                    discarded=len(report.letters), letters=ops_letters.traces(report.letters), left=report.more
                )
                return report

    return run_to_end(work())


def _given(chosen: Filter) -> dict[str, Any]:
    return {**chosen._asdict(), "ids": list(chosen.ids)}
