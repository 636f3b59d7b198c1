"""Several processes that follow one source: who they are and how they fare."""

from __future__ import annotations

from wikimirror.mirror.migrations.sql import Run, comment_relation, literal
from wikimirror.mirror.migrations.third.comments import COMMENTS, TYPE_COMMENTS
from wikimirror.mirror.migrations.third.tables import TABLES, TYPES

revision = "0003"
down_revision = "0002"


def upgrade(run: Run) -> None:
    """Add the table of members, and types in which rows travel."""
    for statement in (*TYPES, *TABLES):
        run(statement)
    for name, text in TYPE_COMMENTS.items():
        run(f"COMMENT ON TYPE {name} IS {literal(text)}")
    for name, (kind, text, columns) in COMMENTS.items():
        comment_relation(run, kind, name, text, columns)
