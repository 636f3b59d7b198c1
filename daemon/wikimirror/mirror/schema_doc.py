"""docs/schema.md, written from what the database says of itself (COMMENT ON)."""

from __future__ import annotations

from typing import Final

from wikimirror.mirror.connect import Session

_HEAD: Final = """# The schema

Generated from the comments in the database by `tools/schema_doc.py`; do not edit. All of it lies in one schema,
`wikimirror` unless set otherwise. Times are `timestamptz`. docs/postgres.md tells who may read what.
"""

_RELATIONS: Final = """
SELECT c.oid, c.relname::text AS name, c.relkind::text AS kind, obj_description(c.oid, 'pg_class') AS comment,
       array_to_string(c.reloptions, ', ') AS options, pg_get_partkeydef(c.oid) AS partitioned
FROM pg_class c
WHERE c.relnamespace = to_regnamespace(quote_ident($1)) AND c.relkind IN ('r', 'p', 'v')
  AND (NOT c.relispartition OR c.relname = 'change_default')
ORDER BY c.relkind = 'v', c.relname
"""
_COLUMNS: Final = """
SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS required,
       col_description(a.attrelid, a.attnum) AS comment
FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_CONSTRAINTS: Final = """
SELECT conname::text AS name, pg_get_constraintdef(oid) AS definition
FROM pg_constraint WHERE conrelid = $1 AND contype IN ('p', 'u', 'c') ORDER BY contype = 'c', conname
"""
_INDEXES: Final = """
SELECT regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING ', '') AS definition
FROM pg_index i WHERE i.indrelid = $1 AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
ORDER BY 1
"""
_FUNCTIONS: Final = """
SELECT p.proname::text AS name, pg_get_function_identity_arguments(p.oid) AS arguments,
       pg_get_function_result(p.oid) AS result, obj_description(p.oid, 'pg_proc') AS comment
FROM pg_proc p WHERE p.pronamespace = to_regnamespace(quote_ident($1)) ORDER BY p.proname
"""


async def schema_markdown(session: Session) -> str:
    """The page, from the schema of `session`. Raises ValueError naming anything that has no comment."""
    parts = [_HEAD]
    async with session.transaction():
        for relation in await session.fetch(_RELATIONS, session.schema):
            parts += [await _relation(session, *relation)]
        parts.append("## Functions\n")
        for function in await session.fetch(_FUNCTIONS, session.schema):
            signature = f"{function['name']}({function['arguments']})"
            parts.append(
                f"### `{signature}`\n\nReturns `{function['result']}`. {_said(function['comment'], signature)}\n"
            )
    return "\n".join(parts)


async def _relation(
    session: Session, oid: int, name: str, kind: str, comment: str | None, options: str | None, partitioned: str | None
) -> str:
    lines = [f"## {'View' if kind == 'v' else 'Table'} `{name}`", "", _said(comment, name), ""]
    if name != "change_default":
        lines += ["| column | type | |", "|---|---|---|"]
        for column in await session.fetch(_COLUMNS, oid):
            required = "" if kind == "v" or not column["required"] else ", not null"
            text = _said(column["comment"], f"{name}.{column['name']}").replace("|", "\\|")
            lines.append(f"| `{column['name']}` | {column['type']}{required} | {text} |")
        lines.append("")
        for constraint in await session.fetch(_CONSTRAINTS, oid):
            lines.append(f"- `{constraint['name']}`: `{constraint['definition']}`")
        for index in await session.fetch(_INDEXES, oid):
            lines.append(f"- index `{index['definition']}`")
    if partitioned:
        lines.append(f"- partitioned by `{partitioned}`")
    if options:
        lines.append(f"- with `{options}`")
    return "\n".join(lines).rstrip() + "\n"


def _said(comment: str | None, name: str) -> str:
    if not comment:
        raise ValueError(f"{name} has no comment in the database")
    return comment
