"""What holds the sources back, as Postgres knows it: without asking any daemon."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from wikimirror.errors import ConfigurationError, DatabaseRefused, DatabaseUnavailable, WikimirrorError
from wikimirror.mirror.activity import Server, read_server
from wikimirror.mirror.connect import Session
from wikimirror.mirror.facts import Facts, read_facts
from wikimirror.observe.withhold import mask_secrets
from wikimirror.ops.explaining.cases import Thresholds
from wikimirror.ops.explaining.for_a_person import remarks, waits_for_person
from wikimirror.ops.explaining.judging import explain as explanations_of
from wikimirror.ops.explaining.judging import unreachable
from wikimirror.ops.explaining.reports import ExplainReport

_THRESHOLDS: Final = Thresholds()
_NOTHING: Final = Facts([], [], [], [], [], [], [], [])


async def explain(session: Session, source: str | None, *, configured: Collection[str] = ()) -> ExplainReport:
    """Read, then explain. The session may be read-only. `source`: only this one; raises ConfigurationError where
    neither settings nor Postgres know it.
    """
    server = await _server(session)
    try:
        facts = (await read_facts(session))._replace(server=server)
    except DatabaseUnavailable as error:
        # Postgres answers, and our tables do not: what it says of itself may tell why.
        report = unavailable(error)
        return ExplainReport(report.explanations, remarks=remarks(_NOTHING._replace(server=server), _THRESHOLDS))
    if source is not None:
        facts, configured = _only(facts, source, configured), (source,)
    return ExplainReport(
        [each for each in explanations_of(facts, _THRESHOLDS, configured) if source in {None, each.source}],
        waits_for_person(facts, _THRESHOLDS),
        remarks(facts, _THRESHOLDS),
    )


def unavailable(error: WikimirrorError) -> ExplainReport:
    """Postgres is gone, or refuses: that is what holds all of them back."""
    return ExplainReport([unreachable(mask_secrets(str(error)).rstrip("."), mask_secrets(error.remedy))])


async def _server(session: Session) -> Server | None:
    """What Postgres does not tell in time, or not to this role, is not known."""
    try:
        return await read_server(session, old_after=_THRESHOLDS.old)
    except (DatabaseRefused, DatabaseUnavailable):
        return None


def _only(facts: Facts, source: str, configured: Collection[str]) -> Facts:
    """What is known of one source; what is kept of all sources together stays."""
    known = {each.source for rows in (facts.lanes, facts.positioned, facts.leases, facts.members) for each in rows}
    if source not in known and source not in configured:
        told = ", ".join(sorted(known | set(configured))) or "none"
        raise ConfigurationError(
            f"there is no source {source}; settings and Postgres know: {told}", remedy="Name one of them, or none."
        )
    return facts._replace(
        letters=[each for each in facts.letters if each.source == source],
        gaps=[each for each in facts.gaps if each.source == source],
        replays=[each for each in facts.replays if each.source == source],
    )
