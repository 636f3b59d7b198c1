"""The only room that builds objects: each function is one command's work, from checked settings to a report."""

from __future__ import annotations

from wikimirror.app.checkpoints import checkpoints, gaps, move_checkpoints, operations, plan_checkpoints
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
from wikimirror.app.explain import explain
from wikimirror.app.letters import discard_letters, list_letters, plan_discard, redrive_letters, show_letter
from wikimirror.app.live import check_source, run
from wikimirror.app.purge import plan_purge, purge
from wikimirror.app.replaying import replay, replays, resume

__all__ = [
    "check_source",
    "checkpoints",
    "demo",
    "discard_letters",
    "explain",
    "gaps",
    "list_letters",
    "migrate",
    "migration_check",
    "migration_sql",
    "move_checkpoints",
    "open_psql",
    "operations",
    "page_history",
    "page_show",
    "plan_checkpoints",
    "plan_discard",
    "plan_purge",
    "play",
    "purge",
    "redrive_letters",
    "replay",
    "replays",
    "resume",
    "run",
    "settings_from",
    "show_letter",
    "sql_session",
    "status",
]
