"""Following a live source: positions that have a time, and leases."""

from __future__ import annotations

from wikimirror.mirror.migrations.second.comments import COLUMN_COMMENTS, COMMENTS
from wikimirror.mirror.migrations.second.tables import TABLES
from wikimirror.mirror.migrations.sql import Run, comment_relation, literal

revision = "0002"
down_revision = "0001"


def upgrade(run: Run) -> None:
    """Add a column to the checkpoints, and the table of leases."""
    for statement in TABLES:
        run(statement)
    for column, text in COLUMN_COMMENTS.items():
        run(f"COMMENT ON COLUMN {column} IS {literal(text)}")
    for name, (kind, text, columns) in COMMENTS.items():
        comment_relation(run, kind, name, text, columns)
