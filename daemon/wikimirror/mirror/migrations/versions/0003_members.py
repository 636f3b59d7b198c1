"""Several processes that follow one source: who they are and how they fare."""

from __future__ import annotations

from wikimirror.mirror.migrations.sql import Run, comment_relation
from wikimirror.mirror.migrations.third.comments import COMMENTS
from wikimirror.mirror.migrations.third.tables import TABLES

revision = "0003"
down_revision = "0002"


def upgrade(run: Run) -> None:
    """Add the table of members."""
    for statement in TABLES:
        run(statement)
    for name, (kind, text, columns) in COMMENTS.items():
        comment_relation(run, kind, name, text, columns)
