"""The mirror: pages, revisions, bodies, the ledger, corrections, and the program's own books."""

from __future__ import annotations

from wikimirror.mirror.migrations.first.comments import COMMENTS, FUNCTION_COMMENTS
from wikimirror.mirror.migrations.first.functions import FUNCTIONS
from wikimirror.mirror.migrations.first.tables import COMPRESSION, TABLES
from wikimirror.mirror.migrations.first.views import VIEWS
from wikimirror.mirror.migrations.sql import Run, comment_relation, literal

revision = "0001"
down_revision = None


def upgrade(run: Run) -> None:
    """Create everything."""
    for statement in (*TABLES, COMPRESSION, *FUNCTIONS, *VIEWS):
        run(statement)
    for name, (kind, text, columns) in COMMENTS.items():
        comment_relation(run, kind, name, text, columns)
    for signature, text in FUNCTION_COMMENTS.items():
        run(f"COMMENT ON FUNCTION {signature} IS {literal(text)}")
