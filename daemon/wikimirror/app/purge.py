"""Purging wikis, built from the settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from wikimirror.app.operating import Operating, operating
from wikimirror.app.places import find_place, readable, reading
from wikimirror.app.running import run_to_end
from wikimirror.ops import purge as ops_purge
from wikimirror.ops.purge_reports import PurgeReport
from wikimirror.ops.reports import OnProgress, no_progress
from wikimirror.settings import Settings


def plan_purge(settings: Settings, wikis: Sequence[str]) -> PurgeReport:
    """What a purge would delete. Writes nothing, and notes nothing."""
    return run_to_end(reading(settings, lambda session: ops_purge.count(session, wikis, settings.scope.wikis)))


def purge(
    settings: Settings,
    wikis: Sequence[str],
    *,
    dry_run: bool,
    yes: bool = False,
    total: int | None = None,
    on_progress: OnProgress = no_progress,
) -> PurgeReport:
    """Delete all of these wikis but their corrections, or only count it. Raises Refused while they are in scope.

    `total`: how many rows are expected, for the progress.
    """

    async def work() -> PurgeReport:
        async with find_place(settings) as place:
            there = await readable(settings, place)
            given = {"wiki": list(wikis), "yes": yes}
            async with operating(there, place, "purge", given, dry_run=dry_run) as operation:
                if dry_run:
                    report = await ops_purge.count(operation.session, wikis, settings.scope.wikis)
                else:
                    ops_purge.refuse_in_scope(wikis, settings.scope.wikis)
                    report = await ops_purge.purge(operation.session, wikis, _counter(operation, total, on_progress))
                operation.summary.update({each.wiki: each.rows for each in report.wikis})
                if report.came_back:
                    operation.summary["came back"] = report.came_back
                return report

    return run_to_end(work())


def _counter(operation: Operating, total: int | None, on_progress: OnProgress) -> Callable[[int], None]:
    """Tells of rows as progress, and keeps their sum where it is noted even if the purge is broken off."""
    began, done = time.monotonic(), 0

    def count(rows: int) -> None:
        nonlocal done
        done += rows
        operation.summary["rows"] = done
        on_progress(done, total, done / max(time.monotonic() - began, 0.001))

    return count
