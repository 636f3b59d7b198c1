"""Purging wikis that are no longer mirrored: what is deleted, and whether it stays so."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wikimirror.errors import Refused
from wikimirror.mirror.connect import Session
from wikimirror.mirror.purging import TABLES, Purge, count_rows, lacking_rights
from wikimirror.ops.purge_reports import PurgeReport, WikiRows


def in_scope(wikis: Sequence[str], scope: Sequence[str]) -> list[str]:
    """Those of `wikis` that a scope still has; an empty scope has all."""
    return [wiki for wiki in wikis if not scope or wiki in scope]


def refuse_in_scope(wikis: Sequence[str], scope: Sequence[str]) -> None:
    """Raise Refused where a scope still has one of them, with what to do."""
    if still := in_scope(wikis, scope):
        how = "take it out of scope.wikis" if scope else "list the wikis to keep in scope.wikis, which is empty: all"
        raise Refused(
            f"{', '.join(still)} is still mirrored by these settings, and would come back; nothing was deleted",
            remedy=f"First {how}, restart every daemon of this mirror, then give the command again. docs/scope.md",
        )


async def count(session: Session, wikis: Sequence[str], scope: Sequence[str]) -> PurgeReport:
    """What would be deleted. The session may be read-only."""
    found = []
    for wiki in wikis:
        rows = await count_rows(session, wiki)
        corrections = rows.pop("correction")
        found.append(WikiRows(wiki, rows, corrections, 0))
    return PurgeReport(purged=False, wikis=found, in_scope=in_scope(wikis, scope))


async def purge(session: Session, wikis: Sequence[str], on_rows: Callable[[int], None]) -> PurgeReport:
    """Delete it, a bounded number of rows in each transaction. Broken off, it goes on when it is begun again.

    `on_rows` is told how many rows each transaction deleted. Raises Refused where the session's role lacks rights.
    """
    lacking = await lacking_rights(session)
    if lacking.tables:
        raise Refused(
            f"the role {lacking.role} may not delete from {', '.join(lacking.tables)}; nothing was deleted",  # noqa: S608  # it is no SQL
            remedy=f"Give the command with a role that is {lacking.owner}, the schema's owner, or is granted it:"
            " the daemon's own role must not delete pages.",
        )
    found = []
    for wiki in wikis:
        work = Purge(session, wiki, on_rows)
        await work.run()
        corrections = (await count_rows(session, wiki))["correction"]
        found.append(WikiRows(wiki, {table: work.rows[table] for table in TABLES}, corrections, work.came_back))
    return PurgeReport(purged=True, wikis=found, in_scope=[])
