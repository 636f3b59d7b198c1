"""On call: who did what, replays, how each lane fares, and which dead letters take something away."""

from __future__ import annotations

from wikimirror.mirror.migrations.fourth.comments import COLUMN_COMMENTS, COMMENTS
from wikimirror.mirror.migrations.fourth.tables import TABLES
from wikimirror.mirror.migrations.sql import Run, comment_relation, literal

revision = "0004"
down_revision = "0003"


def upgrade(run: Run) -> None:
    """Add four tables and some columns."""
    for statement in TABLES:
        run(statement)
    for name, text in COLUMN_COMMENTS.items():
        run(f"COMMENT ON COLUMN {name} IS {literal(text)}")
    for name, (kind, text, columns) in COMMENTS.items():
        comment_relation(run, kind, name, text, columns)
