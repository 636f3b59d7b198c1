"""What migrations are written with: one plain statement at a time, executed or written into a script."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Run = Callable[[str], None]
"""Takes one statement as it stands (no placeholders, no semicolon at its end)."""


def literal(text: str) -> str:
    """`text` as an SQL string constant."""
    escaped = text.replace("'", "''")
    return f"E'{escaped.replace(chr(92), chr(92) * 2)}'" if "\\" in text else f"'{escaped}'"


def identifier(name: str) -> str:
    """`name` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def comment_relation(run: Run, kind: str, name: str, text: str, columns: Mapping[str, str]) -> None:
    """COMMENT ON a table or view and each of its columns."""
    run(f"COMMENT ON {kind} {identifier(name)} IS {literal(text)}")
    for column, words in columns.items():
        run(f"COMMENT ON COLUMN {identifier(name)}.{identifier(column)} IS {literal(words)}")
