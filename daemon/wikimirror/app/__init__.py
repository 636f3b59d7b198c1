"""The only room that builds objects: each function is one command's work, from checked settings to a report."""

from __future__ import annotations

from wikimirror.app.commands import (
    migrate,
    migration_check,
    migration_sql,
    open_psql,
    page_history,
    page_show,
    play,
    settings_from,
    sql_session,
    status,
)
from wikimirror.app.demo import demo
from wikimirror.app.live import check_source, run

__all__ = [
    "check_source",
    "demo",
    "migrate",
    "migration_check",
    "migration_sql",
    "open_psql",
    "page_history",
    "page_show",
    "play",
    "run",
    "settings_from",
    "sql_session",
    "status",
]
