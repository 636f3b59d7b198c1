"""`explain`: from checked settings to a report, whether Postgres is there or not."""

from __future__ import annotations

from wikimirror.app.places import reading
from wikimirror.app.running import run_to_end
from wikimirror.errors import DatabaseRefused, DatabaseUnavailable
from wikimirror.ops.explaining import look as ops_explain
from wikimirror.ops.explaining.reports import ExplainReport
from wikimirror.settings import Settings


def explain(settings: Settings, source: str | None) -> ExplainReport:
    """What holds each source back, or the one that is named. That Postgres is gone is an explanation."""
    try:
        return run_to_end(
            reading(settings, lambda session: ops_explain.explain(session, source, configured=settings.sources))
        )
    except (DatabaseRefused, DatabaseUnavailable) as error:
        return ops_explain.unavailable(error)
