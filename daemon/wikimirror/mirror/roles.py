"""Who may do what: the four roles, what each is granted, and the SQL that prepares a schema for a migration."""

from __future__ import annotations

from typing import Final

from wikimirror.mirror.migrations.sql import literal

DEFAULT_PREFIX: Final = "wikimirror"
ROLES: Final = ("owner", "writer", "reader", "auditor")

READABLE_PAGE: Final = (
    "wiki_id, page_id, state, title, namespace_id, is_redirect, rev_id, rev_dt, deleted_at, url, wikibase_item_id, "
    "published"
)
READABLE_REVISION: Final = (
    "wiki_id, rev_id, page_id, parent_rev_id, rev_dt, editor_name, editor_id, comment, is_minor, sha1, size, "
    "content_model, content_visible, editor_visible, comment_visible"
)
_DEAD_LETTER_WITHOUT_PAYLOAD: Final = (
    'dead_letter_id, source, topic, partition, "offset", reason, sqlstate, constraint_name, wiki_id, page_id, rev_id, '
    "payload_sha256, first_seen, last_seen, seen, published, retracts, hidden"
)

WRITER_TABLES: Final[dict[str, tuple[str, ...]]] = {
    "page": ("SELECT", "INSERT", "UPDATE"),
    "revision": ("SELECT", "INSERT", "UPDATE"),
    "revision_page": ("SELECT", "INSERT"),
    "body": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "change": ("SELECT", "INSERT"),
    "correction": ("SELECT", "INSERT"),
    "checkpoint": ("SELECT", "INSERT", "UPDATE"),
    "lease": ("SELECT", "INSERT", "UPDATE"),
    "member": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "dead_letter": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "gap": ("SELECT", "INSERT", "UPDATE"),
    "reconcile": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "operation": ("SELECT", "INSERT", "UPDATE"),
    "replay": ("SELECT", "INSERT", "UPDATE"),
    "replay_lane": ("SELECT", "INSERT", "UPDATE"),
    "lane": ("SELECT", "INSERT", "UPDATE", "DELETE"),
}
"""Rights the writing program needs. Page and revision rows hold registers, which are never pruned: no DELETE.
The ledger and the corrections are append-only."""

GRANTS: Final[dict[str, tuple[str, ...]]] = {
    "writer": (
        *(f"{', '.join(rights)} ON {table}" for table, rights in WRITER_TABLES.items()),
        "EXECUTE ON FUNCTION ensure_change_partitions(date, date), prune_change(interval)",
        "EXECUTE ON FUNCTION correction_text(correction), correction_chain_breaks()",
        "SELECT ON current_page, attribution, schema_version",
        "EXECUTE ON FUNCTION page_as_of(text, bigint, timestamptz)",
    ),
    "reader": (
        f"SELECT ({READABLE_PAGE}) ON page",
        f"SELECT ({READABLE_REVISION}) ON revision",
        "SELECT ON body, current_page, attribution, schema_version",
        "EXECUTE ON FUNCTION page_as_of(text, bigint, timestamptz)",
    ),
    "auditor": (
        "SELECT ON page, revision, revision_page, body, current_page, attribution, schema_version",
        "SELECT ON change, correction, checkpoint, lease, member, gap, reconcile, operation, replay, replay_lane, lane",
        f"SELECT ({_DEAD_LETTER_WITHOUT_PAYLOAD}) ON dead_letter",
        "EXECUTE ON FUNCTION page_as_of(text, bigint, timestamptz)",
        "EXECUTE ON FUNCTION correction_text(correction), correction_chain_breaks()",
    ),
}


def role_names(prefix: str = DEFAULT_PREFIX) -> tuple[str, ...]:
    """The names of the four roles."""
    return tuple(f"{prefix}_{role}" for role in ROLES)


def prepare_sql(schema: str, prefix: str, wait: str, lock_timeout: str) -> tuple[str, ...]:
    """Statements that begin a migration: one at a time, roles where they may be made, the schema, its owner's hat.

    `wait` is how long another migration of the schema is waited for, `lock_timeout` how long any table is; both in
    Postgres's notation of times. Everything is local to the transaction, so that poolers do not matter.
    """
    names = ", ".join(literal(name) for name in role_names(prefix))
    return (
        f"SET LOCAL lock_timeout TO {literal(wait)}",
        f"SELECT pg_advisory_xact_lock(hashtextextended({literal('wikimirror migrate ' + schema)}, 0))",
        f"SET LOCAL lock_timeout TO {literal(lock_timeout)}",
        "SET LOCAL client_min_messages TO warning",
        f"""
DO $prepare$
DECLARE
    schema_name constant text := {literal(schema)};
    owner_role constant text := {literal(prefix + "_owner")};
    role_name text;
    schema_owner text;
BEGIN
    IF (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user) THEN
        FOREACH role_name IN ARRAY ARRAY[{names}] LOOP
            CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = role_name);
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
                IF role_name = owner_role AND NOT pg_has_role(current_user, owner_role, 'USAGE') THEN
                    EXECUTE format('GRANT %I TO %I', role_name, current_user);
                END IF;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- A migration of another database made it at this moment: roles belong to the whole server.
            END;
        END LOOP;
    END IF;
    IF to_regnamespace(quote_ident(schema_name)) IS NULL THEN
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = owner_role AND pg_has_role(current_user, oid, 'USAGE')) THEN
            EXECUTE format('CREATE SCHEMA %I AUTHORIZATION %I', schema_name, owner_role);
        ELSE
            EXECUTE format('CREATE SCHEMA %I', schema_name);
        END IF;
        EXECUTE format('COMMENT ON SCHEMA %I IS %L', schema_name, 'A mirror of Wikimedia content, kept by wikimirror.');
    END IF;
    SELECT pg_get_userbyid(nspowner) INTO schema_owner FROM pg_namespace WHERE nspname = schema_name;
    IF schema_owner <> current_user AND pg_has_role(current_user, schema_owner, 'USAGE') THEN
        EXECUTE format('SET LOCAL ROLE %I', schema_owner);
    END IF;
    PERFORM set_config('search_path', format('%I, pg_temp', schema_name), true);
END
$prepare$""",  # noqa: S608  # literals are quoted
    )


def grants_sql(prefix: str) -> str:
    """One statement that grants the roles what they need; roles that do not exist are skipped with a warning."""
    body = "\n".join(_grant(literal(f"{prefix}_{role}"), grants) for role, grants in GRANTS.items())
    return f"""
DO $grants$
DECLARE
    missing text[] := ARRAY[]::text[];
BEGIN
{body}
    IF cardinality(missing) > 0 THEN
        RAISE WARNING 'nothing was granted to %, which do not exist and which % may not create',
            array_to_string(missing, ', '), session_user
            USING HINT = 'Have them created by an administrator (CREATE ROLE ... NOLOGIN) and migrate again.';
    END IF;
END
$grants$"""


def _grant(role: str, grants: tuple[str, ...]) -> str:
    statements = "\n".join(f"        EXECUTE format({literal(f'GRANT {grant} TO %I')}, {role});" for grant in grants)
    return f"""    IF to_regrole(quote_ident({role})) IS NULL THEN
        missing := array_append(missing, {role});
    ELSE
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), {role});
{statements}
    END IF;"""
