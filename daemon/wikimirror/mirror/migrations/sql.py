"""How a migration speaks to Postgres: one plain statement at a time, online or into a script."""

from __future__ import annotations

from collections.abc import Mapping

from alembic import context


def run(statement: str) -> None:
    """Execute one statement as it stands (no placeholders), or write it into the script of `migrate --sql`."""
    migration = context.get_context()
    if migration.as_sql:
        migration.impl.static_output(f"{statement.strip()};")
        return
    connection = migration.connection
    assert connection is not None
    connection.exec_driver_sql(statement)


def literal(text: str) -> str:
    """`text` as an SQL string constant."""
    escaped = text.replace("'", "''")
    return f"E'{escaped.replace(chr(92), chr(92) * 2)}'" if "\\" in text else f"'{escaped}'"


def identifier(name: str) -> str:
    """`name` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def comment_relation(kind: str, name: str, text: str, columns: Mapping[str, str]) -> None:
    """COMMENT ON a table or view and each of its columns."""
    run(f"COMMENT ON {kind} {identifier(name)} IS {literal(text)}")
    for column, words in columns.items():
        run(f"COMMENT ON COLUMN {identifier(name)}.{identifier(column)} IS {literal(words)}")
